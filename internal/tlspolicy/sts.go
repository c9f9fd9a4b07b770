package tlspolicy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"plic/internal/dns"
	"plic/internal/mail"
	"plic/internal/mtasts"
	"plic/internal/notebook"
)

const (
	stsRetry   = 5 * time.Minute // after a fetch that failed, RFC 8461 section 3.3
	stsRefresh = 24 * time.Hour  // of a policy that is kept

	recordTimeout = 10 * time.Second // of the record, without which mail goes on
)

// stsNote is what is kept of a domain's policy.
type stsNote struct {
	ID      string    `json:"id"`
	Policy  string    `json:"policy,omitempty"` // as it was served
	Fetched time.Time `json:"fetched,omitzero"`
	// Failed is when a fetch failed the last time, of which id and why.
	Failed   time.Time `json:"failed,omitzero"`
	FailedID string    `json:"failed_id,omitempty"`
	Problem  string    `json:"problem,omitempty"`
	Kind     string    `json:"kind,omitempty"` // of the failure, as reports name it
}

// policy is what is kept, if it still holds.
func (n *stsNote) policy(now time.Time) (mtasts.Policy, bool) {
	if n.Policy == "" {
		return mtasts.Policy{}, false
	}
	p, err := mtasts.Parse([]byte(n.Policy))
	return p, err == nil && now.Before(n.Fetched.Add(p.MaxAge)) && !now.Before(n.Fetched.Add(-time.Hour))
}

// sts applies the domain's MTA-STS policy, and says whether it decided.
func (d *decider) sts() bool {
	domain := d.peer.Domain
	if d.peer.Exact || !strings.Contains(domain, ".") || strings.HasPrefix(domain, "[") {
		return false
	}
	n, ok := d.stsPolicy(domain)
	if !ok {
		return false
	}
	p, _ := n.policy(d.p.o.Now())
	d.say("MTA-STS policy %s of %s, fetched %s, good until %s: %s for %s", n.ID, domain, at(n.Fetched), at(n.Fetched.Add(p.MaxAge)), p.Mode, strings.Join(p.MX, ", "))
	if p.Mode == mtasts.None {
		return false
	}
	d.Kind = STS
	d.found = policy{kind: foundSTS, domain: domain, text: strings.Split(strings.TrimSpace(strings.ReplaceAll(n.Policy, "\r", "")), "\n"), mx: p.MX}
	d.Why = fmt.Sprintf("%s, policy %s of %s", p.Mode, n.ID, domain)
	host := d.peer.Host
	named := p.Matches(host)
	if p.Mode == mtasts.Enforce {
		if !named {
			d.refuse(mail.Reply(451, "4.7.5", "the MTA-STS policy of "+domain+" does not name the host "+host), failed(invalid, errors.New("the policy does not name the host")))
			return false
		}
		d.Level = Verified
		d.say("the policy names %s, whose certificate must be good for that name", host)
		return true
	}
	d.Level = Opportunistic
	d.say("the policy is in testing: mail goes, failures are only counted")
	d.Verify = func(state tls.ConnectionState) error {
		if d.soft = d.p.pkix(state, host); !named {
			d.soft = failed(invalid, errors.New("the policy does not name the host"))
		}
		return nil
	}
	return true
}

// stsPolicy finds the policy that holds for a domain, RFC 8461 section 5.1: the
// one that its record names, or else one that is kept.
func (d *decider) stsPolicy(domain string) (*stsNote, bool) {
	p, now := d.p, d.p.o.Now()
	kept, _, err := get[stsNote](d.ctx, p.o.Notes, stsPrefix+domain)
	if err != nil {
		d.unreadable(err)
		return nil, false
	}
	_, holds := kept.policy(now)
	within, cancel := context.WithTimeout(d.ctx, recordTimeout)
	defer cancel()
	texts, _, err := p.o.Resolver.TXT(within, "_mta-sts."+domain)
	var id string
	switch {
	case err == nil:
		id, err = mtasts.ParseRecord(texts)
	case dns.IsNotFound(err):
		err = mtasts.ErrNoRecord
	}
	switch {
	case err != nil: // a record that is gone takes no policy away
		d.say("TXT of _mta-sts.%s: %v", domain, err)
		return &kept, holds
	case holds && id == kept.ID:
		return &kept, true
	}
	d.say("TXT of _mta-sts.%s: policy %s", domain, id)
	fresh, err := p.refetch(d.ctx, domain, id, kept)
	if err != nil {
		d.say("the MTA-STS policy cannot be had: %v", err)
		d.found.problem = kindOf(err)
		return &kept, holds
	}
	return fresh, true
}

// refetch gets the policy of a domain and keeps it; many who ask at once wait
// for one fetch.
func (p *Policies) refetch(ctx context.Context, domain, id string, kept stsNote) (*stsNote, error) {
	now := p.o.Now()
	if kept.FailedID == id && now.Sub(kept.Failed) < stsRetry && !now.Before(kept.Failed) {
		return nil, failed(kept.Kind, fmt.Errorf("at %s: %s", at(kept.Failed), kept.Problem))
	}
	waiting := p.fetch.DoChan(domain, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		defer cancel()
		text, err := p.fetchPolicy(ctx, domain)
		n := stsNote{ID: id, Policy: string(text), Fetched: now}
		if err != nil {
			n = kept
			n.Failed, n.FailedID, n.Problem, n.Kind = now, id, err.Error(), kindOf(err)
		}
		if e := put(ctx, p.o.Notes, stsPrefix+domain, n); e != nil {
			p.o.Log.Error("cannot keep an MTA-STS policy", "domain", domain, "error", e)
		}
		return &n, err
	})
	select {
	case r := <-waiting:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*stsNote), nil
	case <-ctx.Done():
		return nil, failed(fetchError, ctx.Err())
	}
}

// refreshAll gets those policies anew that are kept for a day, long before they
// run out, and forgets those that did: RFC 8461 section 10.2.
func (p *Policies) refreshAll(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(8)
	now := p.o.Now()
	for x, err := range p.o.Notes.Notes(ctx, stsPrefix) {
		if err != nil {
			return err
		}
		domain := strings.TrimPrefix(x.Key, stsPrefix)
		n, _, err := get[stsNote](ctx, p.o.Notes, x.Key)
		if err != nil {
			p.o.Log.Error("cannot read what is kept of an MTA-STS policy", "domain", domain, "error", err)
			continue
		}
		_, holds := n.policy(now)
		switch {
		case !holds && now.Sub(n.Failed) > stsRefresh:
			if err := p.o.Notes.PutNotes(ctx, notebook.Note{Key: x.Key}); err != nil {
				return err
			}
		case holds && now.Sub(n.Fetched) > stsRefresh:
			g.Go(func() error { p.refresh(ctx, domain, n); return nil })
		}
	}
	return g.Wait()
}

// refresh asks a domain again; a domain that took its record away, or does not
// answer, keeps the policy that it had.
func (p *Policies) refresh(ctx context.Context, domain string, kept stsNote) {
	texts, _, err := p.o.Resolver.TXT(ctx, "_mta-sts."+domain)
	if err != nil {
		return
	}
	id, err := mtasts.ParseRecord(texts)
	if err != nil {
		return
	}
	if _, err := p.refetch(ctx, domain, id, kept); err != nil {
		p.o.Log.Warn("an MTA-STS policy cannot be had anew", "domain", domain, "kept until", kept.Fetched, "error", err)
	}
}
