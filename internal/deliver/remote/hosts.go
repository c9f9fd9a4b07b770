package remote

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"plic/internal/dns"
	"plic/internal/mail"
)

// maxHosts bounds how many exchangers of a domain are looked at.
const maxHosts = 20

// place is one address of one host that may take mail for a hop.
type place struct {
	host string // name for logs, TLS and reports
	addr netip.AddrPort
	path string // of a socket on this host, in place of addr
	why  string // which policy holds there
	rank int    // by preference, 0 is tried first
	known
}

// String is the address as it is dialled and told.
func (p place) String() string {
	if p.path != "" {
		return p.path
	}
	return p.addr.String()
}

// known is how sure we are of a host, as in Peer.
type known struct {
	secure    bool
	canonical string
	validated bool
}

// peer is the place as a policy sees it.
func (p place) peer(hop mail.Hop) Peer {
	return Peer{Hop: hop, Host: p.host, Port: p.addr.Port(), Secure: p.secure, Canonical: p.canonical, Validated: p.validated}
}

// host is an exchanger with what is known of its addresses.
type host struct {
	name       string
	preference uint16
	addrs      []netip.Addr
	err        error
	known
}

// places finds where mail for a hop goes, in the order to try, RFC 5321
// section 5.1. All trouble in it is final for this try.
func (t *Transport) places(ctx context.Context, hop mail.Hop) ([]place, *trouble) {
	ctx, cancel := context.WithTimeout(ctx, t.o.Timeouts.Lookup)
	defer cancel()
	if path, ok := strings.CutPrefix(hop.Host, "unix:"); ok {
		return []place{{host: t.o.Hostname, path: path}}, nil
	}
	port := hop.Port
	switch {
	case port != 0:
	case hop.Kind == mail.HopLMTP:
		port = lmtpPort
	default:
		port = t.o.Port
	}
	if addr, ok := literal(hop.Host); ok {
		return t.checked(hop, port, []host{{name: hop.Host, addrs: []netip.Addr{addr}, known: known{secure: true}}})
	}
	hosts := []host{{name: hop.Host, known: known{secure: true}}}
	if !hop.Exact {
		var bad *trouble
		if hosts, bad = t.exchangers(ctx, hop.Host); bad != nil {
			return nil, bad
		}
	}
	var wg sync.WaitGroup
	for i := range hosts {
		wg.Go(func() { t.resolve(ctx, &hosts[i]) })
	}
	wg.Wait()
	return t.checked(hop, port, hosts)
}

// resolve finds the addresses of a host.
func (t *Transport) resolve(ctx context.Context, h *host) {
	var a dns.Answer
	h.addrs, a, h.err = t.o.Resolver.Addrs(ctx, h.name)
	h.canonical, h.validated = a.Name, a.Authentic
}

// literal reads the address of "[192.0.2.1]", or of a bare address as an
// administrator may write it.
func literal(text string) (netip.Addr, bool) {
	if d, err := mail.ParseDomain(text); err == nil {
		if addr, ok := d.Literal(); ok {
			return addr, true
		}
	}
	addr, err := netip.ParseAddr(text)
	return addr, err == nil && addr.Zone() == ""
}

// exchangers gives the MX hosts of a domain by preference, those of the same
// in random order; the domain itself when it has none.
func (t *Transport) exchangers(ctx context.Context, domain string) ([]host, *trouble) {
	mxs, a, err := t.o.Resolver.MX(ctx, domain)
	switch {
	case dns.KindOf(err) == dns.NoData && err != nil:
		return []host{{name: domain, known: known{secure: a.Authentic}}}, nil // the implicit MX
	case dns.KindOf(err) == dns.NoName && err != nil:
		return nil, &trouble{status: mail.Reply(550, "5.1.2", "the domain "+domain+" does not exist"), err: err}
	case err != nil:
		return nil, &trouble{status: mail.Reply(451, "4.4.3", "the mail exchangers of "+domain+" cannot be found now"), err: err}
	}
	if !slices.ContainsFunc(mxs, func(mx dns.MX) bool { return !mx.Null() }) {
		return nil, &trouble{status: mail.Reply(556, "5.1.10", "the domain "+domain+" takes no mail")} // RFC 7505
	}
	rand.Shuffle(len(mxs), func(i, j int) { mxs[i], mxs[j] = mxs[j], mxs[i] })
	slices.SortStableFunc(mxs, func(a, b dns.MX) int { return int(a.Preference) - int(b.Preference) })
	var hosts []host
	for _, mx := range mxs {
		if !mx.Null() && len(hosts) < maxHosts {
			hosts = append(hosts, host{name: mx.Host, preference: mx.Preference, known: known{secure: a.Authentic}})
		}
	}
	return hosts, nil
}

// checked turns hosts into places. If we are among them, only those that are
// preferred to us may be used: any other would send the mail back to us.
func (t *Transport) checked(hop mail.Hop, port uint16, hosts []host) ([]place, *trouble) {
	for i := range hosts {
		if t.isLocal(&hosts[i], hop, port) {
			ours := hosts[i].preference
			hosts = slices.DeleteFunc(hosts, func(h host) bool { return h.preference >= ours })
			if len(hosts) == 0 {
				return nil, &trouble{status: mail.Reply(554, "5.4.6", "mail for "+hop.Host+" loops back to this host")}
			}
			break
		}
	}
	var places []place
	var temporary, absent error
	rank := 0
	for i, h := range hosts {
		if i > 0 && h.preference != hosts[i-1].preference {
			rank++
		}
		for _, addr := range mix(h.addrs) {
			places = append(places, place{host: h.name, addr: netip.AddrPortFrom(addr, port), rank: rank, known: h.known})
		}
		if h.err != nil && dns.IsNotFound(h.err) {
			absent = h.err
		} else if h.err != nil {
			temporary = h.err
		}
	}
	switch {
	case len(places) > 0:
		return places, nil
	case temporary != nil:
		return nil, &trouble{status: mail.Reply(451, "4.4.3", "no mail host of "+hop.Host+" can be found now"), err: temporary}
	}
	return nil, &trouble{status: mail.Reply(550, "5.4.4", "no mail host of "+hop.Host+" has an address"), err: absent}
}

// isLocal says that a host is us. A smart host at our own address is another
// program, unless it is on a port of ours.
func (t *Transport) isLocal(h *host, hop mail.Hop, port uint16) bool {
	if !hop.Exact {
		if sameName(h.name, t.o.Hostname) || slices.ContainsFunc(t.o.LocalNames, func(n string) bool { return sameName(n, h.name) }) {
			return true
		}
	}
	return slices.ContainsFunc(h.addrs, func(a netip.Addr) bool {
		return slices.Contains(t.o.LocalAddrs, netip.AddrPortFrom(a.Unmap(), port))
	})
}

// mix shuffles the addresses of a host and lets the families take turns, IPv6
// first, so that one that does not work costs one try. Those that are no
// host's are left out.
func mix(addrs []netip.Addr) []netip.Addr {
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	var six, four, mixed []netip.Addr
	for _, a := range addrs {
		switch a = a.Unmap(); {
		case a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		case a.Is4():
			four = append(four, a)
		default:
			six = append(six, a)
		}
	}
	for i := range max(len(six), len(four)) {
		if i < len(six) {
			mixed = append(mixed, six[i])
		}
		if i < len(four) {
			mixed = append(mixed, four[i])
		}
	}
	return mixed
}

// greetsAsUs says that a greeting gives our own name, RFC 5321 section 4.2: we
// are talking to ourselves.
func (t *Transport) greetsAsUs(line string) bool {
	name, _, _ := strings.Cut(line, " ")
	return sameName(name, t.o.Hostname)
}
