package server

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/post"
	"plic/internal/signer"
)

// signs is who signs mail of ours, nil if nothing is signed.
func (s *site) signs() post.Signer {
	if !s.config.Signing.DKIM {
		return nil
	}
	return s.signer
}

// seals is who seals mail that is sent on, nil if nothing is sealed.
func (s *site) seals() post.Sealer {
	if !s.config.Signing.ARC {
		return nil
	}
	return s.signer
}

// onwards is what is done with mail that is sent on and would fail DMARC.
func onwards(c *config.Config) post.Onward {
	return map[config.OnwardDMARC]post.Onward{config.KeepAuthor: post.KeepAuthor, config.RefuseOnward: post.RefuseOnward}[c.Rewrite.DMARC]
}

// signatures is control.DKIM over the keys of the site.
type signatures struct{ s *site }

// domain reads the name of a domain of ours.
func (s *site) domain(ctx context.Context, name string) (mail.Domain, error) {
	d, err := mail.ParseDomain(name)
	if err == nil && !s.local(ctx, d) {
		err = &control.Error{Text: fmt.Sprintf("%s is not a domain of ours", d), Missing: true}
	}
	return d, err
}

// Keys gives the records of a domain's keys, and makes the keys if need be.
func (x signatures) Keys(ctx context.Context, domain string) iter.Seq2[control.Record, error] {
	return x.records(ctx, domain, x.s.signer.Keys)
}

// Prepare gives the records of the next keys.
func (x signatures) Prepare(ctx context.Context, domain string) iter.Seq2[control.Record, error] {
	return x.records(ctx, domain, x.s.signer.Prepare)
}

func (x signatures) records(ctx context.Context, domain string, get func(context.Context, mail.Domain) ([]signer.Key, error)) iter.Seq2[control.Record, error] {
	var records []control.Record
	d, err := x.s.domain(ctx, domain)
	if err != nil {
		return sequence(records, err)
	}
	keys, err := get(ctx, d)
	for i := range keys {
		records = append(records, keyRecord(&keys[i], d))
	}
	return func(yield func(control.Record, error) bool) {
		for r, err := range sequence(records, err) {
			if err == nil {
				r.Published = security(x).published(ctx, r)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// keyRecord is the record of a key.
func keyRecord(k *signer.Key, d mail.Domain) control.Record {
	why := map[signer.State]string{
		signer.Current: "signs mail of %s", signer.Next: "the next key of %s: `plic dkim rotate`", signer.Old: "has signed mail of %s that may still be under way",
	}[k.State]
	return control.Record{Name: k.Name(d.String()), Type: "TXT", Value: k.Record, Why: fmt.Sprintf(why, d), Later: k.State == signer.Next}
}

// Rotate goes over to the next keys. Unless forced it wants to see their records
// first: what they sign would be worth nothing.
func (x signatures) Rotate(ctx context.Context, domain string, force bool) error {
	d, err := x.s.domain(ctx, domain)
	if err != nil {
		return err
	}
	keys, err := x.s.signer.Keys(ctx, d)
	if err != nil {
		return err
	}
	next := 0
	for i := range keys {
		if keys[i].State != signer.Next {
			continue
		}
		next++
		if r := keyRecord(&keys[i], d); !force && !security(x).published(ctx, r) {
			return fmt.Errorf("the DNS does not have the record of the next key at %s: publish what `plic dkim keys %s` prints, wait until it is known everywhere, and try again", r.Name, d)
		}
	}
	if next == 0 {
		return errors.New("there are no next keys: `plic dkim prepare` makes them and prints their records")
	}
	return x.s.signer.Rotate(ctx, d)
}

// Import has a key sign that others made.
func (x signatures) Import(ctx context.Context, domain, selector, key string) error {
	d, err := x.s.domain(ctx, domain)
	if err != nil {
		return err
	}
	return x.s.signer.Import(ctx, d, selector, key)
}
