// Package signer signs mail of ours with keys that it makes, keeps and changes.
// Each domain has a key of RSA and one of Ed25519, and each message a signature
// by both, since not everybody can check the second. It also seals what others
// sent and we send on.
//
// RFC 6376 (DKIM), RFC 8301 (keys of RSA), RFC 8463 (Ed25519), RFC 8617 (ARC).
package signer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"plic/internal/arc"
	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/mail"
	"plic/internal/message"
)

// Notes are small durable records: store.Notes of the site.
type Notes interface {
	Get(ctx context.Context, key string) ([]byte, error)
	Update(ctx context.Context, key string, change func(old []byte) ([]byte, error)) error
}

// Options are what a Signer works with. Notes and Ours must be set.
type Options struct {
	Notes Notes
	Ours  func(ctx context.Context, d mail.Domain) bool
	Now   func() time.Time // time.Now if nil
	Log   *slog.Logger     // nil for none
}

// Signer signs for all domains of a site. Its methods may be called at the same
// time.
type Signer struct {
	o Options

	mu    sync.Mutex
	rings map[string]*ring // by domain, as far as they were needed
}

// New makes a Signer.
func New(o Options) *Signer {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Signer{o: o, rings: map[string]*ring{}}
}

// Sign gives the signatures of a message, to be put before it; none if its
// author is not of ours, or it cannot be signed at all. The error is one of
// reading, or of the keys.
func (s *Signer) Sign(ctx context.Context, header []message.Field, body mail.Body) ([]byte, error) {
	author, err := dmarc.Author(header)
	if err != nil {
		return nil, nil // there is nobody to sign for
	}
	d, err := mail.ParseDomain(author)
	if err != nil {
		return nil, nil
	}
	domain, ok := s.signs(ctx, d)
	if !ok {
		return nil, nil
	}
	m, err := dkim.Read(body, body.Size())
	if errors.Is(err, dkim.ErrHeader) {
		s.o.Log.Warn("a message is not signed", "domain", domain, "error", err)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sign a message: %w", err)
	}
	return s.all(ctx, domain, func(k *dkim.Signer) ([]byte, error) {
		k.Lifetime = lifetime
		return k.Sign(m)
	})
}

// all joins what each current key of a domain gives.
func (s *Signer) all(ctx context.Context, domain string, sign func(*dkim.Signer) ([]byte, error)) ([]byte, error) {
	r, err := s.ring(ctx, domain)
	if err != nil {
		return nil, err
	}
	var out []byte
	for i := range r.keys {
		if k := &r.keys[i]; k.State == Current {
			field, err := sign(s.signer(domain, k))
			if err != nil {
				return nil, err
			}
			out = append(out, field...)
		}
	}
	return out, nil
}

func (s *Signer) signer(domain string, k *held) *dkim.Signer {
	return &dkim.Signer{Domain: domain, Selector: k.Selector, Key: k.private, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: s.o.Now}
}

// signs is the domain that signs for one: itself, or the nearest of ours above
// it, which DMARC takes for the same organization.
func (s *Signer) signs(ctx context.Context, d mail.Domain) (string, bool) {
	for {
		if s.o.Ours(ctx, d) {
			return d.String(), true
		}
		_, above, _ := strings.Cut(d.String(), ".")
		var err error
		if d, err = mail.ParseDomain(above); above == "" || err != nil {
			return "", false
		}
	}
}

// Seal gives the fields that extend a message's chain by what we found of it,
// in the name of the first domain that is ours; none if there is none, or the
// chain cannot be extended.
func (s *Signer) Seal(ctx context.Context, by []mail.Domain, body mail.Body, chain arc.Chain, results string) ([]byte, error) {
	if chain.Temporary {
		return nil, nil // it would be called broken for ever
	}
	for _, d := range by {
		domain, ok := s.signs(ctx, d)
		if !ok {
			continue
		}
		r, err := s.ring(ctx, domain)
		if err != nil {
			return nil, err
		}
		m, err := dkim.Read(body, body.Size())
		if errors.Is(err, dkim.ErrHeader) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("seal a message: %w", err)
		}
		for i := range r.keys { // only RSA is known to all who check chains
			if k := &r.keys[i]; k.State == Current && k.Algorithm == dkim.RSASHA256 {
				return arc.Seal(s.signer(domain, k), m, chain, results)
			}
		}
	}
	return nil, nil
}
