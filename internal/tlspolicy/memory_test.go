package tlspolicy

import (
	"errors"
	"testing"
	"time"

	"plic/internal/dane"
	"plic/internal/mail"
)

// A domain that had TLS does not lose it unnoticed: mail waits for it, for two
// days; then the domain has given it up, and the memory says so.
func TestMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := Outcome{Offered: true, TLS: state(w.certificate(t, "mx.example.test"))}
	gone := Outcome{Err: errors.New("it does not offer TLS")}
	decide := func() Decision { return w.policies(nil).Decide(t.Context(), plain, Demand{}) }
	d := decide()
	is(t, "a stranger", d, May, Opportunistic, false)
	d.Done(gone)
	is(t, "a domain without TLS", decide(), May, Opportunistic, false)
	decide().Done(good)
	puts := w.notes.Puts
	for range 10 {
		is(t, "a domain with TLS", decide(), Remembered, Encrypted, false)
		decide().Done(good)
	}
	if w.notes.Puts != puts {
		t.Errorf("%d writes for what was known", w.notes.Puts-puts)
	}

	w.now = w.now.Add(30 * 24 * time.Hour)
	decide().Done(gone)
	w.now = w.now.Add(24 * time.Hour)
	d = decide()
	is(t, "a day without TLS", d, Remembered, Encrypted, false)
	d.Done(gone) // does not begin the time anew
	is(t, "a message that says TLS-Required: No", w.policies(nil).Decide(t.Context(), plain, Demand{Optional: true}), May, Opportunistic, false)
	other := plain
	other.Host = "mx2.example.test"
	d = w.policies(nil).Decide(t.Context(), other, Demand{})
	is(t, "a new host of the domain", d, Remembered, Encrypted, false)
	d.Done(gone)

	w.now = w.now.Add(25 * time.Hour)
	d = decide()
	is(t, "two days without TLS", d, Remembered, Opportunistic, false)
	d.Done(gone)
	is(t, "the other host, a day", w.policies(nil).Decide(t.Context(), other, Demand{}), Remembered, Encrypted, false)
	decide().Done(good)
	is(t, "TLS again", decide(), Remembered, Encrypted, false)

	w.now = w.now.Add(91 * 24 * time.Hour)
	is(t, "long ago", decide(), May, Opportunistic, false)
	p := w.policies(nil)
	if err := p.forgetOld(t.Context()); err != nil || len(w.notes.All) != 0 {
		t.Errorf("%v is still remembered, %v", w.notes.All, err)
	}
	decide().Done(good)
	if err := p.Forget(t.Context(), "Example.Test"); err != nil {
		t.Error(err)
	}
	is(t, "forgotten", decide(), May, Opportunistic, false)

	decide().Done(good)
	off := w.policies(func(o *Options) { o.Memory = -1 })
	is(t, "no memory", off.Decide(t.Context(), plain, Demand{}), May, Opportunistic, false)
}

// Threat N1: a domain that DANE proved is not delivered to without DNSSEC, as
// long as no signed answer says that it gave DANE up, or for two days.
func TestDNSSECIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cert := w.certificate(t, "mx.example.test")
	host := Peer{Domain: "example.test", Host: "mx.example.test", Port: 25, Secure: true, Validated: true, Canonical: "mx.example.test"}
	if err := w.dns.Add("_25._tcp.mx.example.test 60 IN TLSA " + dane.New(cert.Leaf, dane.EE, dane.PublicKey, dane.SHA256).String()); err != nil {
		t.Fatal(err)
	}
	w.dns.Authentic("*", true)
	decide := func(p Peer) Decision { return w.policies(nil).Decide(t.Context(), p, Demand{}) }
	d := decide(host)
	is(t, "signed", d, DANE, Encrypted, false)
	d.Done(Outcome{Offered: true, TLS: state(cert)})
	w.dns.Remove("_25._tcp.mx.example.test")
	is(t, "a signed word that there is no record", decide(host), Remembered, Encrypted, false)

	lost := host
	lost.Secure, lost.Validated = false, false
	w.dns.Authentic("*", false)
	is(t, "no signatures", decide(lost), Remembered, Opportunistic, true)
	if s := mail.StatusOf(decide(lost).Refuse); !s.Temporary() {
		t.Errorf("refused for good: %v", s)
	}
	w.now = w.now.Add(47 * time.Hour)
	is(t, "for two days", decide(lost), Remembered, Opportunistic, true)
	w.now = w.now.Add(2 * time.Hour)
	is(t, "not for longer", decide(lost), Remembered, Encrypted, false)
	off := w.policies(func(o *Options) { o.TrustAD = false })
	is(t, "a site that trusts no resolver any more", off.Decide(t.Context(), lost, Demand{}), Remembered, Encrypted, false)
}

// What cannot be read is trouble, and no licence; what is no note of ours is
// none.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.policies(nil)
	w.notes.Fail = errors.New("no disk")
	d := p.Decide(t.Context(), plain, Demand{})
	if d.Refuse == nil || !mail.StatusOf(d.Refuse).Temporary() {
		t.Errorf("%s: %v", d.Why, d.Refuse)
	}
	w.notes.Fail = nil
	w.notes.All[seenPrefix+"example.test"], w.notes.All[stsPrefix+"example.test"] = []byte("rubbish"), []byte("[]")
	is(t, "rubbish", p.Decide(t.Context(), plain, Demand{}), May, Opportunistic, false)
}
