package zone

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/dns"
	"plic/internal/spf"
)

// strangers are addresses that nobody has, RFC 5737 and RFC 3849.
func strangers() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, 254}), netip.MustParseAddr("2001:db8:ffff::fffe")}
}

// spf looks at who may send in the name of the domain.
func (z *zone) spf() []Finding {
	f := Finding{State: Good, Name: z.domain, Type: "TXT"}
	texts, err := z.texts(z.domain, "v=spf1")
	if err != nil {
		return []Finding{unasked(z.domain, "TXT", err)}
	}
	other := "v=spf1 mx -all"
	if z.null {
		other = "v=spf1 -all"
	}
	if len(texts) == 0 {
		f.State, f.Says, f.Should = Missing, "There is no SPF record: anybody may send in the name of the domain.", z.want(z.domain, "TXT", other)
		return []Finding{f}
	}
	f.Value = strings.Join(texts, ", ")
	check := spf.Checker{Resolver: z.o.Resolver, Now: z.o.Now}
	var v spf.Verdict
	for _, addr := range strangers() {
		v = check.Check(z.ctx, spf.Question{IP: addr, Helo: "stranger.invalid", From: "postmaster@" + z.domain})
		if v.Result == spf.Pass {
			break
		}
	}
	switch v.Result {
	case spf.PermError, spf.TempError:
		f.State, f.Says = Wrong, "The SPF record is of no use: "+v.Reason+"."
		f.Should = z.want(z.domain, "TXT", other)
	case spf.Pass:
		f.State, f.Says = Wrong, fmt.Sprintf("SPF lets anybody send in the name of the domain, by %q.", v.Term)
	case spf.Neutral, spf.None:
		f.State, f.Says = Note, "SPF says nothing of those whom it does not name: the record should end in -all or ~all."
	default:
		f.Says = fmt.Sprintf("SPF says who may send in the name of the domain, with %d of 10 look-ups.", v.Lookups)
	}
	out := []Finding{f}
	if z.ours && v.Result != spf.PermError && v.Result != spf.TempError {
		for _, addr := range z.addrs {
			v := check.Check(z.ctx, spf.Question{IP: addr, Helo: z.hosts[0], From: "postmaster@" + z.domain})
			if v.Result != spf.Pass {
				out = append(out, Finding{State: Wrong, Name: z.domain, Type: "TXT", Value: f.Value,
					Says: fmt.Sprintf("SPF does not let this site send from %s: %s.", addr, v.Reason), Should: z.want(z.domain, "TXT", other)})
			}
		}
	}
	return out
}

// dkim looks at the keys.
func (z *zone) dkim() (out []Finding) {
	suffix := "._domainkey." + z.domain
	selectors := slices.Clone(z.o.Selectors)
	for _, w := range z.o.Wanted {
		if selector, ok := strings.CutSuffix(w.Name, suffix); ok && w.Type == "TXT" && !slices.Contains(selectors, selector) {
			selectors = append(selectors, selector)
		}
	}
	for _, selector := range selectors {
		out = append(out, z.key(selector, suffix))
	}
	if len(selectors) > 0 {
		return out
	}
	f := Finding{State: Note, Name: "*" + suffix, Type: "TXT", Says: "Keys of DKIM cannot be listed: name those that are in use with --selector."}
	_, _, err := z.o.Resolver.TXT(z.ctx, suffix[1:])
	if e, ok := errors.AsType[*dns.Error](err); ok && e.Kind == dns.NoName { // nothing is below it, RFC 8020
		f.State, f.Says = Missing, "There are no keys of DKIM: nothing that the domain sends can be known by its signature."
	}
	return []Finding{f}
}

// key looks at one key.
func (z *zone) key(selector, suffix string) Finding {
	f := Finding{State: Good, Name: selector + suffix, Type: "TXT"}
	texts, _, err := z.o.Resolver.TXT(z.ctx, f.Name)
	f.Value = strings.Join(texts, ", ")
	wanted, later := z.wanted(f.Name, "TXT"), false
	for _, w := range z.o.Wanted {
		later = later || w.Name == f.Name && w.Later
	}
	if len(wanted) > 0 {
		f.Should = quoted(wanted[0])
	}
	if dns.IsNotFound(err) {
		f.State, f.Says = Missing, "The key of DKIM is not there: what it signs is as if it was not signed."
		if later {
			f.State, f.Says = Advice, "The next key of DKIM has no record yet; it must have one before `plic dkim rotate`."
		}
		return f
	}
	key, err := dkim.LookupKey(z.ctx, z.o.Resolver, z.domain, selector)
	rsaKey, isRSA := key.Public.(*rsa.PublicKey)
	switch {
	case err != nil:
		f.State, f.Says = Wrong, fmt.Sprintf("The key of DKIM cannot be used: %v.", err)
	case len(wanted) > 0 && !sameKey(texts, wanted[0]):
		f.State, f.Says = Wrong, "It is not the key that this site signs with: its signatures fail."
	case len(texts) > 1:
		f.State, f.Says = Wrong, "There is more than one record: which key counts is left to chance (RFC 6376 section 3.6.2.2)."
	case key.Testing:
		f.State, f.Says = Note, "The key of DKIM is only being tried (t=y), so some take no account of it."
	case isRSA && rsaKey.N.BitLen() < 2048:
		f.State, f.Says = Note, fmt.Sprintf("The key of DKIM has %d bits: 2048 are wanted (RFC 8301 section 3.2).", rsaKey.N.BitLen())
	default:
		f.Says, f.Should = fmt.Sprintf("The key of DKIM can be used; it has %d bits.", key.Bits), ""
	}
	return f
}

// sameKey compares what counts of two records.
func sameKey(texts []string, wanted string) bool {
	want, err := dkim.ParseTags(wanted)
	return err == nil && slices.ContainsFunc(texts, func(text string) bool {
		have, err := dkim.ParseTags(text)
		return err == nil && strings.Join(strings.Fields(have["p"]), "") == want["p"]
	})
}

// dmarc looks at what the domain asks for.
func (z *zone) dmarc() []Finding {
	name := "_dmarc." + z.domain
	f := Finding{State: Good, Name: name, Type: "TXT"}
	texts, err := z.texts(name, "v=DMARC1")
	if err != nil {
		return []Finding{unasked(name, "TXT", err)}
	}
	f.Value = strings.Join(texts, ", ")
	should := z.want(name, "TXT", "v=DMARC1; p=reject; rua=mailto:postmaster@"+z.domain)
	switch len(texts) {
	case 0:
		v := (&dmarc.Checker{Resolver: z.o.Resolver}).Check(z.ctx, z.domain, nil)
		if v.PolicyDomain != "" {
			f.State, f.Says = Note, fmt.Sprintf("The policy of DMARC is that of %s, %s.", v.PolicyDomain, v.Policy)
		} else {
			f.State, f.Says, f.Should = Missing, "There is no policy of DMARC: what others send in the name of the domain is taken.", should
		}
		return []Finding{f}
	case 1:
	default:
		f.State, f.Says, f.Should = Wrong, "More than one policy of DMARC is none.", should
		return []Finding{f}
	}
	r, err := dmarc.ParseRecord(texts[0])
	switch {
	case err != nil:
		f.State, f.Says, f.Should = Wrong, fmt.Sprintf("The policy of DMARC is of no use: %v.", err), should
	case r.Policy == dmarc.NoPolicy:
		f.State, f.Says = Note, "DMARC asks for nothing (p=none): what others send in the name of the domain is taken."
	case r.Testing || r.Percent < 100:
		f.State, f.Says = Note, fmt.Sprintf("DMARC asks for %s, but only tries (t=y or pct), so less is done.", r.Policy)
	case len(r.Aggregate) == 0:
		f.State, f.Says = Note, fmt.Sprintf("DMARC asks for %s, but for no reports (rua): nobody learns what fails.", r.Policy)
		f.Should = should
	case z.unread(&r) != "":
		f.State, f.Says = Note, fmt.Sprintf("DMARC asks for %s, and for reports, but not to %s, where this site reads them.", r.Policy, z.unread(&r))
	default:
		f.Says = fmt.Sprintf("DMARC asks for %s, and for reports.", r.Policy)
	}
	return append([]Finding{f}, z.reports(&r)...)
}

// unread is the address at which this site reads reports, if they do not come there.
func (z *zone) unread(r *dmarc.Record) string {
	for _, text := range z.wanted("_dmarc."+z.domain, "TXT") {
		wanted, err := dmarc.ParseRecord(text)
		if err != nil || len(wanted.Aggregate) == 0 {
			continue
		}
		at := wanted.Aggregate[0]
		if at != "postmaster@"+z.domain && !slices.ContainsFunc(r.Aggregate, func(have string) bool { return strings.EqualFold(have, at) }) {
			return at
		}
	}
	return ""
}

// reports asks whether those whom reports go to want them, RFC 9990 section 4.
func (z *zone) reports(r *dmarc.Record) (out []Finding) {
	for _, address := range slices.Concat(r.Aggregate, r.Failure) {
		_, place, _ := strings.Cut(address, "@")
		place = strings.ToLower(place)
		if place == "" || place == z.domain || strings.HasSuffix(place, "."+z.domain) || strings.HasSuffix(z.domain, "."+place) {
			continue
		}
		name := z.domain + "._report._dmarc." + place
		if slices.ContainsFunc(out, func(f Finding) bool { return f.Name == name }) {
			continue
		}
		f := Finding{State: Good, Name: name, Type: "TXT", Says: place + " takes the reports of DMARC."}
		texts, err := z.texts(name, "v=DMARC1")
		if f.Value = strings.Join(texts, ", "); err != nil {
			f = unasked(name, "TXT", err)
		} else if len(texts) == 0 {
			f.State, f.Says, f.Should = Wrong, place+" does not say that it takes the reports of DMARC, so they are not sent.", `"v=DMARC1"`
		}
		out = append(out, f)
	}
	return out
}
