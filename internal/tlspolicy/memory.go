package tlspolicy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/notebook"
)

const (
	// memoryStep is how exact the memory is: it need not be written for every
	// message.
	memoryStep = 12 * time.Hour
	// mostBroken bounds the hosts of a domain that are remembered.
	mostBroken = 50
)

// memory is what a domain could do before.
type memory struct {
	Since    time.Time            `json:"since"`             // TLS was seen first
	Last     time.Time            `json:"last"`              // and last
	Verified bool                 `json:"verified"`          // with a certificate that was good
	Broken   map[string]time.Time `json:"broken,omitempty"`  // hosts without TLS since then
	Signed   time.Time            `json:"signed,omitzero"`   // DANE proved a host last
	Unsigned time.Time            `json:"unsigned,omitzero"` // DNSSEC is gone since then
}

// remembered holds a domain that has no policy to what it could do before, so
// that TLS cannot be taken from us unnoticed. Mail waits for it, but not for
// ever: a domain may give TLS up.
func (d *decider) remembered() {
	d.Kind, d.Level = May, Opportunistic
	if d.peer.Exact {
		d.Why = "a host of this site's settings"
		d.say("the host stands in this site's settings, which ask for nothing: TLS is used where offered")
		return
	}
	if d.p.o.Memory < 0 || d.p.o.Hold < 0 {
		d.Why = "the domain asks for nothing, and this site remembers nothing"
		d.say("the domain asks for nothing, and this site does not remember TLS: it is used where offered")
		return
	}
	now := d.p.o.Now()
	m, found, err := get[memory](d.ctx, d.p.o.Notes, seenPrefix+d.peer.Domain)
	if err != nil {
		d.unreadable(err)
		return
	}
	d.memory = &m
	if d.unsigned && now.Sub(m.Signed) <= d.p.o.Memory && d.lostDNSSEC(&m) {
		return
	}
	broken, since := m.Broken[d.peer.Host]
	switch {
	case !found || now.Sub(m.Last) > d.p.o.Memory:
		d.memory = &memory{}
		d.Why = "the domain asks for nothing"
		d.say("the domain asks for nothing and no TLS is remembered of it: it is used where offered")
	case since && now.Sub(broken) > d.p.o.Hold:
		d.Kind = Remembered
		d.Why = fmt.Sprintf("TLS was there on %s, but is gone from this host since %s, so no longer demanded", at(m.Last), at(broken))
		d.say("%s", d.Why)
	default:
		d.Kind, d.Level = Remembered, Encrypted
		d.Why = fmt.Sprintf("TLS was there on %s", at(m.Last))
		d.say("%s: without it mail waits, for %v at most", d.Why, d.p.o.Hold)
		if since {
			d.say("the host has no TLS since %s", at(broken))
		}
	}
}

// lostDNSSEC holds a domain that DANE proved before, and for which there are no
// signatures now rather than a signed word that it has no TLSA records: a
// resolver that stopped to validate, or somebody between, must not end DANE.
func (d *decider) lostDNSSEC(m *memory) bool {
	now := d.p.o.Now()
	if m.Unsigned.IsZero() {
		m.Unsigned = now
		if err := put(d.ctx, d.p.o.Notes, seenPrefix+d.peer.Domain, m); err != nil {
			d.p.o.Log.Error("cannot remember TLS", "domain", d.peer.Domain, "error", err)
		}
		d.p.o.Log.Warn("a domain that had DANE has no DNSSEC: its mail waits", "domain", d.peer.Domain, "signed", m.Signed, "hold", d.p.o.Hold)
	}
	if now.Sub(m.Unsigned) > d.p.o.Hold {
		d.say("the domain had DANE on %s, but has no DNSSEC since %s", at(m.Signed), at(m.Unsigned))
		return false
	}
	d.Kind = Remembered
	d.Why = fmt.Sprintf("DANE was there on %s, and now there is no DNSSEC", at(m.Signed))
	d.refuse(mail.Reply(451, "4.7.5", "the domain "+d.peer.Domain+" was signed on "+at(m.Signed)+", and is not now"), failed(dnssecInvalid, nil))
	return true
}

// learn remembers what came of a session.
func (d *decider) learn(o Outcome) {
	if d.p.o.Memory < 0 || d.p.o.Hold < 0 || d.want.Optional || d.peer.Exact {
		return
	}
	key, now := seenPrefix+d.peer.Domain, d.p.o.Now()
	m, found, err := get[memory](d.ctx, d.p.o.Notes, key)
	if err != nil {
		d.p.o.Log.Error("cannot read what is remembered of TLS", "domain", d.peer.Domain, "error", err)
		return
	}
	broken, marked := m.Broken[d.peer.Host]
	if o.TLS == nil {
		// Only a host that we hold to its past is marked: the others had none.
		if !found || marked || d.Kind != Remembered || d.Level != Encrypted || len(m.Broken) >= mostBroken {
			return
		}
		if m.Broken == nil {
			m.Broken = map[string]time.Time{}
		}
		m.Broken[d.peer.Host] = now
		d.p.o.Log.Warn("a domain that had TLS has none: its mail waits", "domain", d.peer.Domain, "host", d.peer.Host, "seen", m.Last, "hold", d.p.o.Hold)
	} else {
		good := d.Kind == DANE || d.p.pkix(*o.TLS, d.peer.Host) == nil
		if found && m.Verified && !good && o.Err == nil {
			d.p.o.Log.Warn("a domain that had a good certificate shows one that is not", "domain", d.peer.Domain, "host", d.peer.Host)
		}
		if marked {
			d.p.o.Log.Info("a domain has TLS again", "domain", d.peer.Domain, "host", d.peer.Host, "gone", broken)
		}
		proved := d.Kind == DANE && d.Verify != nil
		if found && !marked && m.Verified == good && now.Sub(m.Last).Abs() < memoryStep && proved == (now.Sub(m.Signed) < memoryStep) && m.Unsigned.IsZero() {
			return
		}
		delete(m.Broken, d.peer.Host)
		if proved {
			m.Signed, m.Unsigned = now, time.Time{}
		}
		if m.Last, m.Verified = now, good; m.Since.IsZero() {
			m.Since = now
		}
	}
	if err := put(d.ctx, d.p.o.Notes, key, m); err != nil {
		d.p.o.Log.Error("cannot remember TLS", "domain", d.peer.Domain, "error", err)
	}
}

// forgetOld drops what is too old to hold anybody to.
func (p *Policies) forgetOld(ctx context.Context) error {
	var old []notebook.Note
	for x, err := range p.o.Notes.Notes(ctx, seenPrefix) {
		if err != nil {
			return err
		}
		m, _, err := get[memory](ctx, p.o.Notes, x.Key)
		if err != nil || p.o.Now().Sub(m.Last) > max(p.o.Memory, 0) {
			old = append(old, notebook.Note{Key: x.Key})
		}
	}
	return p.o.Notes.PutNotes(ctx, old...)
}

// Forget drops what is remembered of a domain: its TLS and its MTA-STS policy.
func (p *Policies) Forget(ctx context.Context, domain string) error {
	domain = strings.ToLower(domain)
	return p.o.Notes.PutNotes(ctx, notebook.Note{Key: seenPrefix + domain}, notebook.Note{Key: stsPrefix + domain})
}
