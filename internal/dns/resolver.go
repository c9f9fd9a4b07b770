// Package dns asks the domain name system what mail needs to know: exchangers,
// addresses, texts, names of addresses and TLSA records. It is a stub resolver
// with a small cache in front of recursive servers; it checks what they answer
// and bounds what an answer may cost, but does not validate DNSSEC itself: it
// passes on the AD bit of servers that it was told to trust.
//
// RFC 1034 and 1035, RFC 2308 (negative answers), RFC 3596 (AAAA), RFC 5452
// (resilience to forgery), RFC 6698 (TLSA), RFC 6840 section 5.7 (AD),
// RFC 6891 (EDNS0), RFC 7505 (null MX), RFC 7766 (TCP); RFC 2782 (SRV); RFC 2136 (updates, for
// proofs to an authority), RFC 8945 (TSIG).
package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	wire "github.com/miekg/dns"
)

// Answer is what is known of an answer beside its records.
type Answer struct {
	Name      string        // who has the records: the end of the CNAME chain
	TTL       time.Duration // how long they may be kept
	Authentic bool          // a trusted server has validated every step
}

// MX is a mail exchanger.
type MX struct {
	Host       string // lower case, no trailing dot; "." in a null MX
	Preference uint16
}

// Null says that this is the exchanger of a domain without mail, RFC 7505.
func (m MX) Null() bool { return m.Host == "." }

// TLSA is a TLSA record, RFC 6698 section 2.1.
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// SRV is a server of a service, RFC 2782.
type SRV struct {
	Priority, Weight, Port uint16
	Host                   string // lower case, no trailing dot; "." where the service is not offered
}

// String is the record as a zone file has it.
func (s SRV) String() string {
	return fmt.Sprintf("%d %d %d %s.", s.Priority, s.Weight, s.Port, strings.TrimSuffix(s.Host, "."))
}

// Resolver answers questions about names, which are A-labels with or without a
// trailing dot. An error is or wraps an *Error; no error means at least one
// record. All methods may be called at the same time.
type Resolver interface {
	// MX gives the exchangers of a domain by rising preference.
	MX(ctx context.Context, domain string) ([]MX, Answer, error)
	// Addrs gives the IPv4, then the IPv6 addresses of a host.
	Addrs(ctx context.Context, host string) ([]netip.Addr, Answer, error)
	// AddrsOf gives the addresses of one family, "ip4" or "ip6".
	AddrsOf(ctx context.Context, family, host string) ([]netip.Addr, Answer, error)
	// TXT gives the texts of a name, each with its strings joined.
	TXT(ctx context.Context, name string) ([]string, Answer, error)
	// PTR gives the names of an address.
	PTR(ctx context.Context, addr netip.Addr) ([]string, Answer, error)
	// TLSA gives the TLSA records of a name such as _25._tcp.mx.example.org.
	TLSA(ctx context.Context, name string) ([]TLSA, Answer, error)
	// CNAME gives the name that another is an alias of.
	CNAME(ctx context.Context, name string) (string, Answer, error)
}

// MX implements Resolver.
func (c *Client) MX(ctx context.Context, domain string) ([]MX, Answer, error) {
	rrs, a, err := c.lookup(ctx, domain, wire.TypeMX)
	if err != nil {
		return nil, a, err
	}
	mxs := make([]MX, 0, len(rrs))
	for _, rr := range rrs {
		mx := rr.(*wire.MX)
		mxs = append(mxs, MX{canonical(mx.Mx), mx.Preference})
	}
	slices.SortStableFunc(mxs, func(a, b MX) int { return int(a.Preference) - int(b.Preference) })
	return mxs, a, nil
}

// TXT implements Resolver.
func (c *Client) TXT(ctx context.Context, name string) ([]string, Answer, error) {
	rrs, a, err := c.lookup(ctx, name, wire.TypeTXT)
	if err != nil {
		return nil, a, err
	}
	texts := make([]string, 0, len(rrs))
	for _, rr := range rrs {
		var b strings.Builder
		for _, s := range rr.(*wire.TXT).Txt {
			b.WriteString(unescape(s))
		}
		texts = append(texts, b.String())
	}
	return texts, a, nil
}

// PTR implements Resolver.
func (c *Client) PTR(ctx context.Context, addr netip.Addr) ([]string, Answer, error) {
	arpa, err := wire.ReverseAddr(addr.Unmap().WithZone("").String())
	if err != nil {
		return nil, Answer{}, &Error{Type: "PTR", Name: addr.String(), Kind: Malformed, Err: err}
	}
	rrs, a, err := c.lookup(ctx, arpa, wire.TypePTR)
	if err != nil {
		return nil, a, err
	}
	names := make([]string, 0, len(rrs))
	for _, rr := range rrs {
		names = append(names, canonical(rr.(*wire.PTR).Ptr))
	}
	return names, a, nil
}

// TLSA implements Resolver.
func (c *Client) TLSA(ctx context.Context, name string) ([]TLSA, Answer, error) {
	rrs, a, err := c.lookup(ctx, name, wire.TypeTLSA)
	if err != nil {
		return nil, a, err
	}
	var records []TLSA
	for _, rr := range rrs {
		t := rr.(*wire.TLSA)
		if data, ok := unhex(t.Certificate); ok {
			records = append(records, TLSA{t.Usage, t.Selector, t.MatchingType, data})
		}
	}
	if len(records) == 0 {
		return nil, a, &Error{Type: "TLSA", Name: canonical(name), Kind: Malformed, Err: errors.New("no usable record")}
	}
	return records, a, nil
}

// SRV gives the servers of a service by rising priority.
func (c *Client) SRV(ctx context.Context, name string) ([]SRV, Answer, error) {
	rrs, a, err := c.lookup(ctx, name, wire.TypeSRV)
	if err != nil {
		return nil, a, err
	}
	servers := make([]SRV, 0, len(rrs))
	for _, rr := range rrs {
		s := rr.(*wire.SRV)
		servers = append(servers, SRV{s.Priority, s.Weight, s.Port, canonical(s.Target)})
	}
	slices.SortStableFunc(servers, func(a, b SRV) int { return int(a.Priority) - int(b.Priority) })
	return servers, a, nil
}

// CNAME implements Resolver.
func (c *Client) CNAME(ctx context.Context, name string) (string, Answer, error) {
	rrs, a, err := c.lookup(ctx, name, wire.TypeCNAME)
	if err != nil {
		return "", a, err
	}
	return canonical(rrs[0].(*wire.CNAME).Target), a, nil
}

// Addrs implements Resolver. It asks for A and AAAA at once. Addresses of one
// family are enough, whatever became of the other; without any, the host is
// not found only if both answers say so. They are authentic if every answer is
// that came: one that was kept from us takes nothing from the other.
func (c *Client) Addrs(ctx context.Context, host string) ([]netip.Addr, Answer, error) {
	type part struct {
		rrs []wire.RR
		a   Answer
		err error
	}
	six := make(chan part, 1)
	go func() {
		rrs, a, err := c.lookup(ctx, host, wire.TypeAAAA)
		six <- part{rrs, a, err}
	}()
	rrs, a, err := c.lookup(ctx, host, wire.TypeA)
	p4, p6 := part{rrs, a, err}, <-six

	addrs := addresses(p4.rrs, p6.rrs)
	both := Answer{Name: p4.a.Name, TTL: min(p4.a.TTL, p6.a.TTL), Authentic: p4.a.Authentic && p6.a.Authentic}
	vouched := func(has, lacks part) bool {
		return has.a.Authentic && (lacks.a.Authentic || !IsNotFound(lacks.err))
	}
	switch {
	case len(addrs) > 0 && p4.err != nil:
		return addrs, Answer{Name: p6.a.Name, TTL: p6.a.TTL, Authentic: vouched(p6, p4)}, nil
	case len(addrs) > 0 && p6.err != nil:
		return addrs, Answer{Name: p4.a.Name, TTL: p4.a.TTL, Authentic: vouched(p4, p6)}, nil
	case len(addrs) > 0:
		return addrs, both, nil
	case p4.err != nil && !IsNotFound(p4.err):
		return nil, both, p4.err
	case p6.err != nil && !IsNotFound(p6.err):
		return nil, both, p6.err
	case p4.err == nil && p6.err == nil:
		return nil, both, &Error{Type: "A", Name: canonical(host), Kind: Malformed, Err: errors.New("no usable address")}
	case p4.err == nil:
		return nil, both, p6.err
	}
	return nil, both, p4.err
}

// AddrsOf implements Resolver.
func (c *Client) AddrsOf(ctx context.Context, family, host string) ([]netip.Addr, Answer, error) {
	qtype := wire.TypeA
	if family == "ip6" {
		qtype = wire.TypeAAAA
	}
	rrs, a, err := c.lookup(ctx, host, qtype)
	if err != nil {
		return nil, a, err
	}
	return addresses(rrs), a, nil
}

// addresses takes the addresses out of records.
func addresses(sets ...[]wire.RR) (addrs []netip.Addr) {
	for _, rrs := range sets {
		for _, rr := range rrs {
			var addr netip.Addr
			ok := false
			switch rr := rr.(type) {
			case *wire.A:
				addr, ok = netip.AddrFromSlice(rr.A.To4())
			case *wire.AAAA:
				addr, ok = netip.AddrFromSlice(rr.AAAA.To16())
			}
			if ok {
				addrs = append(addrs, addr.Unmap())
			}
		}
	}
	return addrs
}
