package zone

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"plic/internal/dane"
	"plic/internal/dns"
)

// exchangers are the hosts that take the domain's mail, with their addresses.
func (z *zone) exchangers() (out []Finding) {
	say := func(state State, value, format string, args ...any) {
		out = append(out, Finding{State: state, Name: z.domain, Type: "MX", Value: value, Says: fmt.Sprintf(format, args...)})
	}
	list, _, err := z.o.Resolver.MX(z.ctx, z.domain)
	wanted := z.wanted(z.domain, "MX")
	switch {
	case dns.IsNotFound(err):
		say(Missing, "", "There is none: mail goes to the address of the domain itself, if it has one.")
		out[0].Should = z.want(z.domain, "MX", "10 mail."+z.domain+".")
		if _, _, err := z.o.Resolver.Addrs(z.ctx, z.domain); err == nil {
			list = []dns.MX{{Host: z.domain}}
		}
	case err != nil:
		return []Finding{unasked(z.domain, "MX", err)}
	case list[0].Null() && len(list) == 1:
		z.null = true
		if wanted == nil {
			say(Note, "0 .", "The domain takes no mail (RFC 7505).")
		} else {
			say(Wrong, "0 .", "It says that the domain takes no mail, but this site takes it.")
			out[0].Should = wanted[0]
		}
		return out
	}
	for _, mx := range list {
		value := fmt.Sprintf("%d %s.", mx.Preference, mx.Host)
		if mx.Null() {
			say(Wrong, "0 .", "It says that the domain takes no mail, but must then be the only one (RFC 7505).")
			continue
		}
		z.hosts = append(z.hosts, mx.Host)
		if trouble := z.host(mx.Host); trouble != "" {
			say(Wrong, value, "%s", trouble)
		} else if err == nil {
			say(Good, value, "Mail goes there.")
		}
	}
	for _, want := range wanted {
		_, host, _ := strings.Cut(strings.TrimSuffix(want, "."), " ")
		if err == nil && !slices.Contains(z.hosts, host) {
			say(Wrong, "", "None leads to this site, so no mail comes.")
			out[len(out)-1].Should = want
		}
	}
	return out
}

// host says what is wrong with a host that takes mail, and learns its addresses.
func (z *zone) host(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return "It must name a host, not an address."
	}
	if to, _, err := z.o.Resolver.CNAME(z.ctx, host); err == nil {
		return fmt.Sprintf("It names an alias (CNAME) of %s, which it must not (RFC 5321 section 5.1): some find nobody there.", to)
	}
	addrs, _, err := z.o.Resolver.Addrs(z.ctx, host)
	if err != nil {
		return fmt.Sprintf("The host has no address: %v.", err)
	}
	for _, a := range addrs {
		if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Sprintf("The host has the address %s, where others cannot reach it.", a)
		}
	}
	for _, a := range addrs {
		if !slices.Contains(z.addrs, a) {
			z.addrs = append(z.addrs, a)
		}
	}
	return ""
}

// reverse looks for names of the addresses that lead back to them.
func (z *zone) reverse() (out []Finding) {
	for _, addr := range z.addrs {
		f := Finding{State: Good, Name: addr.String(), Type: "PTR"}
		names, _, err := z.o.Resolver.PTR(z.ctx, addr)
		f.Value = strings.Join(names, ", ")
		switch {
		case dns.IsNotFound(err):
			f.State, f.Says, f.Should = Missing, "The address has no name: many refuse mail that comes from it.", z.hosts[0]+"."
		case err != nil:
			f = unasked(f.Name, "PTR", err)
		case !slices.ContainsFunc(names, func(name string) bool { return z.leads(name, addr) }):
			f.State, f.Says, f.Should = Wrong, "The name does not lead back to the address: many distrust mail that comes from it.", z.hosts[0]+"."
		default:
			f.Says = "The name leads back to the address."
		}
		out = append(out, f)
	}
	return out
}

func (z *zone) leads(name string, addr netip.Addr) bool {
	addrs, _, err := z.o.Resolver.Addrs(z.ctx, name)
	return err == nil && slices.Contains(addrs, addr)
}

// dane looks at the TLSA records of each host, RFC 7672.
func (z *zone) dane() (out []Finding) {
	_, mx, _ := z.o.Resolver.MX(z.ctx, z.domain)
	for _, host := range z.hosts {
		name := "_25._tcp." + host
		var wanted, later []string
		for _, w := range z.o.Wanted {
			switch {
			case w.Type != "TLSA" || w.Name != name:
			case w.Later:
				later = append(later, w.Value)
			default:
				wanted = append(wanted, w.Value)
			}
		}
		found, answer, err := z.o.Resolver.TLSA(z.ctx, name)
		f := Finding{State: Good, Name: name, Type: "TLSA", Says: "Senders that do DANE know the key of the host."}
		var records []dane.Record
		var values []string
		for _, t := range found {
			r := dane.Record{Usage: t.Usage, Selector: t.Selector, Matching: t.Matching, Data: t.Data}
			records, values = append(records, r), append(values, r.String())
		}
		f.Value = strings.Join(values, ", ")
		ours := slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(values, w) })
		switch {
		case dns.IsNotFound(err):
			f.State, f.Says = Advice, "There is none; where the zone is signed, it would keep others from posing as the host."
			f.Should = strings.Join(slices.Concat(wanted, later), ", ")
		case err != nil:
			f = unasked(name, "TLSA", err)
			f.Says += " Senders that do DANE then put their mail off."
		case len(dane.Usable(records)) == 0:
			f.State, f.Says = Wrong, "None of them can be used for mail: that takes usage 2 or 3 (RFC 7672 section 3.1)."
			f.Should = strings.Join(wanted, ", ")
		case len(wanted) > 0 && !ours:
			f.State, f.Says = Wrong, "None of them is of the key that the host shows: senders that do DANE bring no mail."
			f.Should = strings.Join(wanted, ", ")
		case !answer.Authentic:
			f.State, f.Says = Note, "They count only where the zone is signed, which this DNS server does not vouch for."
		case !mx.Authentic:
			f.State, f.Says = Wrong, "They do not count, since the MX records of the domain are not signed (RFC 7672 section 2.2)."
		}
		out = append(out, f)
		for _, next := range later {
			if f.State == Good && !slices.Contains(values, next) {
				out = append(out, Finding{State: Advice, Name: name, Type: "TLSA", Says: "The next key has no record yet; it must have one before `plic tls rotate`.", Should: next})
			}
		}
	}
	return out
}
