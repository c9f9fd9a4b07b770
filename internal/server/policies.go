package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/deliver/remote"
	"plic/internal/mail"
	"plic/internal/notebook"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/table"
	"plic/internal/tlspolicy"
)

// newPolicies makes what decides on TLS with other servers.
func (s *site) newPolicies(c *config.Config, trusted bool, now func() time.Time) (*tlspolicy.Policies, error) {
	rules, err := s.rules(c)
	if err != nil {
		return nil, err
	}
	o := tlspolicy.Options{
		Resolver: s.resolver, TrustAD: trusted, Notes: siteNotes{s.store, s.log}, Hostname: c.Hostname.String(),
		Table:   rules,
		Default: map[config.RemoteTLS]tlspolicy.Kind{config.TLSRequire: tlspolicy.Verify, config.TLSOff: tlspolicy.None}[c.Remote.TLS],
		Dial:    dialer(c.Remote.Family), Memory: orNone(c.Remote.TLSMemory), Hold: orNone(c.Remote.TLSHold), Now: now, Log: s.log,
	}
	if c.TLSRPT.Send {
		from := c.TLSRPT.Contact
		if from.IsNull() {
			from = mail.Address{Local: "postmaster", Domain: c.Hostname}
		}
		o.Reports = tlspolicy.Reports{
			From: from, Contact: from.String(), Send: s.submit,
			Organization: c.Hostname.String(),
		}
	}
	return tlspolicy.New(o), nil
}

// rules are the site's own table of policies. What stands in the settings
// themselves is looked at now.
func (s *site) rules(c *config.Config) (func(context.Context, string) (tlspolicy.Rule, bool, error), error) {
	const setting = "remote.tls_policies"
	op := opener{o: s.tables()}
	list := op.open(setting, c.Remote.TLSPolicies)
	for _, spec := range c.Remote.TLSPolicies {
		text, inline := strings.CutPrefix(spec, "inline:")
		if pairs, err := table.ParseInline(text); inline && err == nil {
			for _, key := range slices.Sorted(maps.Keys(pairs)) {
				if _, err := tlspolicy.ParseRule(pairs[key]); err != nil {
					op.errs = append(op.errs, fmt.Errorf("%s: %s: %w", setting, key, err))
				}
			}
		}
	}
	return func(ctx context.Context, domain string) (tlspolicy.Rule, bool, error) {
		for _, key := range parents(domain) {
			value, found, err := list.Lookup(ctx, key)
			if !found || err != nil {
				if err != nil {
					return tlspolicy.Rule{}, false, err
				}
				continue
			}
			rule, err := tlspolicy.ParseRule(value)
			if err != nil {
				err = fmt.Errorf("%s: %s: %w", setting, key, err)
			}
			return rule, err == nil, err
		}
		return tlspolicy.Rule{}, false, nil
	}, errors.Join(op.errs...)
}

// parents are the keys of a domain: itself, those above it behind a dot, and
// "*".
func parents(domain string) []string {
	keys := []string{domain}
	for rest := domain; ; {
		_, above, ok := strings.Cut(rest, ".")
		if !ok {
			return append(keys, "*")
		}
		keys = append(keys, "."+above)
		rest = above
	}
}

// require asks the policies what a host must prove, in the words of the
// transport.
func (s *site) require(ctx context.Context, p remote.Peer, env *mail.Envelope) remote.Requirement {
	// A report goes on where it would not be safe, rather than be lost: RFC 8689
	// section 5.
	demand := tlspolicy.Demand{RequireTLS: env.RequireTLS && !env.From.IsNull(), Optional: env.TLSOptional}
	d := s.policies.Decide(ctx, tlspolicy.Peer{
		Domain: p.Hop.Host, Host: p.Host, Port: p.Port, Exact: p.Hop.Exact || p.Hop.Kind != mail.HopRemote, Login: p.Hop.Login != "",
		Secure: p.Secure, Validated: p.Validated, Canonical: p.Canonical,
	}, demand)
	return remote.Requirement{
		TLS: map[tlspolicy.Level]remote.Policy{
			tlspolicy.Opportunistic: remote.Opportunistic, tlspolicy.Clear: remote.Cleartext,
			tlspolicy.Encrypted: remote.Encrypted, tlspolicy.Verified: remote.Verified,
		}[d.Level],
		Name: d.Name, Verify: d.Verify, Offer: d.Offer, Refuse: d.Refuse, Why: d.Why, Evidence: d.Evidence,
		Done: func(r remote.Result) { d.Done(tlspolicy.Outcome(r)) },
	}
}

// siteNotes are the notes of the site.
type siteNotes struct {
	store *store.Store
	log   *slog.Logger
}

// Note gives a note's value, nil if there is none, or it is damaged for good.
func (n siteNotes) Note(ctx context.Context, key string) ([]byte, error) {
	value, err := n.store.Notes().Get(ctx, key)
	if errors.Is(err, engine.ErrDamaged) {
		n.log.Error("a note is damaged, and so forgotten", "note", key, "error", err)
		return nil, nil
	}
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	return value, err
}

// Notes gives those whose keys begin with a prefix, one after the other: there may be
// much of them.
func (n siteNotes) Notes(ctx context.Context, prefix string) iter.Seq2[notebook.Note, error] {
	return func(yield func(notebook.Note, error) bool) {
		keys, err := n.store.Notes().Keys(ctx, prefix)
		if err != nil {
			yield(notebook.Note{}, err)
			return
		}
		for _, key := range keys {
			value, err := n.Note(ctx, key)
			if err == nil && value == nil { // it went meanwhile
				continue
			}
			if !yield(notebook.Note{Key: key, Value: value}, err) || err != nil {
				return
			}
		}
	}
}

// PutNotes keeps notes in one commit.
func (n siteNotes) PutNotes(ctx context.Context, notes ...notebook.Note) error {
	if len(notes) == 0 {
		return nil
	}
	tx := n.store.Begin()
	for _, x := range notes {
		tx.PutNote(n.store.Notes(), x.Key, x.Value)
	}
	_, err := tx.Commit(ctx)
	return err
}

// security is control.TLS over the policies and the transport.
type security struct{ s *site }

// Policy tells what each host of a domain must prove.
func (x security) Policy(ctx context.Context, domain string) iter.Seq2[control.TLSPolicy, error] {
	return func(yield func(control.TLSPolicy, error) bool) {
		hop, err := x.hop(ctx, domain)
		if err != nil {
			yield(control.TLSPolicy{}, err)
			return
		}
		hosts, err := x.s.transport.Explain(ctx, hop, &mail.Envelope{})
		if err != nil {
			yield(control.TLSPolicy{}, err)
			return
		}
		for _, h := range hosts {
			if !yield(explained(domain, h), nil) {
				return
			}
		}
	}
}

// hop is where mail for a domain goes.
func (x security) hop(ctx context.Context, domain string) (mail.Hop, error) {
	d, err := mail.ParseDomain(domain)
	if err != nil {
		return mail.Hop{}, err
	}
	e, err := x.s.routing.router.Explain(ctx, mail.Address{}, mail.Address{Local: "postmaster", Domain: d})
	if err != nil {
		return mail.Hop{}, err
	}
	for _, to := range e.Destinations {
		if to.Hop.Kind == mail.HopRemote || to.Hop.Kind == mail.HopLMTP {
			return to.Hop, nil
		}
	}
	return mail.Hop{}, fmt.Errorf("mail for %s goes to no other server: see `plic route postmaster@%s`", d, d)
}

func explained(domain string, h remote.Explained) control.TLSPolicy {
	p := control.TLSPolicy{Domain: domain, Host: h.Peer.Host, Policy: h.Requirement.Why, Evidence: h.Requirement.Evidence}
	for _, a := range h.Addrs {
		p.Addresses = append(p.Addresses, a.String())
	}
	switch need := h.Requirement; {
	case need.Refuse != nil:
		p.Needs, p.Refused = "no mail goes there now", mail.StatusOf(need.Refuse).String()
	case need.TLS == remote.Cleartext:
		p.Needs = "no TLS is used"
	case need.TLS == remote.Verified:
		p.Needs = "TLS with a good certificate for " + cmp.Or(need.Name, p.Host)
	case need.TLS == remote.Encrypted && need.Verify != nil:
		p.Needs = "TLS with the right certificate"
	case need.TLS == remote.Encrypted:
		p.Needs = "TLS with whoever it is"
	default:
		p.Needs = "nothing: TLS is used if it is offered"
	}
	return p
}

// Forget drops what is remembered of a domain.
func (x security) Forget(ctx context.Context, domain string) error {
	d, err := mail.ParseDomain(strings.TrimSpace(domain))
	if err != nil {
		return err
	}
	return x.s.policies.Forget(ctx, d.String())
}
