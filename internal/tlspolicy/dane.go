package tlspolicy

import (
	"crypto/tls"
	"fmt"
	"slices"

	"plic/internal/dane"
	"plic/internal/dns"
	"plic/internal/mail"
)

// dane applies DANE, RFC 7672 section 2.2, and says whether it did. A look-up
// that fails refuses the host for now: whoever can make it fail must not be
// able to take DANE away.
func (d *decider) dane() bool {
	base, records, err := d.tlsa()
	if err != nil {
		d.Why = "the TLSA records of " + d.peer.Host + " cannot be found now"
		d.found = policy{kind: foundDANE, domain: d.peer.Host}
		d.refuse(mail.Reply(451, "4.7.5", d.Why), failed(dnssecInvalid, err))
		return false
	}
	if records == nil {
		return false
	}
	d.Name = base
	d.found = policy{kind: foundDANE, domain: base}
	for _, r := range records {
		d.found.text = append(d.found.text, r.String())
	}
	usable := dane.Usable(records)
	d.Level = Encrypted
	if len(usable) == 0 { // RFC 7672 section 2.2
		d.Why = fmt.Sprintf("TLSA of %s, of which none is usable, so TLS with anybody", base)
		d.say("none of the records is usable, so TLS is needed, with whoever it is")
		return true
	}
	names := []string{base}
	for _, name := range []string{d.peer.Host, d.peer.Domain} { // section 3.2.2
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	d.Why = fmt.Sprintf("%d TLSA of %s", len(usable), base)
	d.Verify = func(state tls.ConnectionState) error {
		if _, err := dane.Verify(usable, state.PeerCertificates, names, d.p.o.Now()); err != nil {
			return failed(invalid, err)
		}
		return nil
	}
	d.say("the host must show what a TLSA record names")
	return true
}

// tlsa finds the TLSA records that hold for the peer and whose they are; none
// where DANE does not apply.
func (d *decider) tlsa() (base string, records []dane.Record, err error) {
	for _, base := range d.bases() {
		name := fmt.Sprintf("_%d._tcp.%s", d.peer.Port, base)
		found, a, err := d.p.o.Resolver.TLSA(d.ctx, name)
		switch {
		case dns.IsNotFound(err):
			d.say("TLSA of %s: none", name)
			d.unsigned = d.unsigned || !a.Authentic
			continue
		case err != nil && !(dns.KindOf(err) == dns.Malformed && a.Authentic):
			d.say("TLSA of %s: %v", name, err)
			return "", nil, err
		case !a.Authentic:
			d.say("TLSA of %s: %d, which DNSSEC does not vouch for, so they do not count", name, len(found))
			d.unsigned = true
			continue
		}
		records := []dane.Record{} // perhaps none that can be read: still DANE
		for _, r := range found {
			record := dane.Record{Usage: r.Usage, Selector: r.Selector, Matching: r.Matching, Data: r.Data}
			records = append(records, record)
			d.say("TLSA of %s, validated: %v", name, record)
		}
		return base, records, nil
	}
	return "", nil, nil
}

// bases are the names at which TLSA records may stand, RFC 7672 section 2.2.2:
// where the aliases of the host lead, then the host itself.
func (d *decider) bases() []string {
	peer := d.peer
	switch {
	case !d.p.o.TrustAD:
		d.say("no DANE: the name servers are not trusted to validate DNSSEC (see the setting dns.trusted)")
		return nil
	case !peer.Secure:
		d.unsigned = true
		d.say("no DANE: DNSSEC does not vouch for the MX records of %s", peer.Domain)
		return nil
	case peer.Canonical == "":
		d.say("no DANE: %s has no name", peer.Host)
		return nil
	case peer.Validated && peer.Canonical != peer.Host:
		d.say("%s is an alias of %s, validated", peer.Host, peer.Canonical)
		return []string{peer.Canonical, peer.Host}
	case peer.Validated:
		return []string{peer.Host}
	case peer.Canonical != peer.Host:
		// The alias may be signed although what it leads to is not.
		if _, a, err := d.p.o.Resolver.CNAME(d.ctx, peer.Host); err == nil && a.Authentic {
			d.say("%s is an alias, validated, of what is not", peer.Host)
			return []string{peer.Host}
		}
	}
	d.unsigned = true
	d.say("no DANE: DNSSEC does not vouch for the addresses of %s", peer.Host)
	return nil
}
