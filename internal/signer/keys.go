package signer

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plic/internal/dkim"
	"plic/internal/mail"
	"plic/internal/store/engine"
)

// State says what a key is for.
type State string

// The states of a key, in their order.
const (
	Next    State = "next"    // to be published, so that it can take over
	Current State = "current" // it signs
	Old     State = "old"     // what it signed is still under way; its private half is gone
)

// Key is a key of a domain, as the world may know it.
type Key struct {
	Selector  string         `json:"selector"`
	Algorithm dkim.Algorithm `json:"algorithm"`
	State     State          `json:"state"`
	Since     time.Time      `json:"since"` // it is in this state
	Record    string         `json:"record"`
}

// Name is where the key's record stands in the DNS.
func (k *Key) Name(domain string) string { return k.Selector + "._domainkey." + domain }

// lifetime is how long a signature counts: longer than mail waits in queues on
// its way, ours and another's, and not so long that it can be used for ever by
// whoever sends a message again. The record of an old key must stay as long.
const lifetime = 10 * 24 * time.Hour

// held is a Key with its private half, as notes have it.
type held struct {
	Key
	PEM     string `json:"pem,omitempty"` // PKCS #8
	private crypto.Signer
}

// ring are the keys of a domain.
type ring struct{ keys []held }

// notePrefix begins the notes of the keys of domains.
const notePrefix = "dkim/"

// errNotOurs says that a domain has no keys here.
var errNotOurs = errors.New("not a domain of ours")

// ring gives the keys of a domain, which are made when they are first needed.
func (s *Signer) ring(ctx context.Context, domain string) (*ring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rings[domain]; r != nil {
		return r, nil
	}
	note, err := s.o.Notes.Get(ctx, notePrefix+domain)
	if err == nil {
		r, err := parse(domain, note)
		if err == nil {
			s.rings[domain] = r
		}
		return r, err
	}
	if !errors.Is(err, engine.ErrNotFound) {
		return nil, fmt.Errorf("read the keys of %s: %w", domain, err)
	}
	made, err := s.pair(Current)
	if err != nil {
		return nil, err
	}
	return s.change(ctx, domain, func(r *ring) error {
		r.add(made)
		return nil
	})
}

// change changes the keys of a domain in one commit. The lock is held.
func (s *Signer) change(ctx context.Context, domain string, change func(*ring) error) (*ring, error) {
	var next *ring
	err := s.o.Notes.Update(ctx, notePrefix+domain, func(old []byte) ([]byte, error) {
		next = &ring{}
		if old != nil {
			var err error
			if next, err = parse(domain, old); err != nil {
				return nil, err
			}
		}
		if err := change(next); err != nil {
			return nil, err
		}
		return json.Marshal(next.keys)
	})
	if err != nil {
		return nil, fmt.Errorf("change the keys of %s: %w", domain, err)
	}
	s.rings[domain] = next
	return next, nil
}

func parse(domain string, note []byte) (*ring, error) {
	r := &ring{}
	if err := json.Unmarshal(note, &r.keys); err != nil {
		return nil, fmt.Errorf("read the keys of %s: %w", domain, err)
	}
	for i := range r.keys {
		if k := &r.keys[i]; k.State != Old {
			var err error
			if k.private, err = dkim.ReadKey([]byte(k.PEM)); err != nil {
				return nil, fmt.Errorf("read the key %s: %w", k.Name(domain), err)
			}
		}
	}
	return r, nil
}

// rsaBits is the size of RFC 8301 section 3.2 that fits into one answer of DNS.
const rsaBits = 2048

// pair makes a key of each algorithm.
func (s *Signer) pair(state State) (made []held, err error) {
	long, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	_, short, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	now := s.o.Now().UTC()
	for _, x := range []struct {
		key       crypto.Signer
		algorithm dkim.Algorithm
		name      string
	}{{long, dkim.RSASHA256, "rsa"}, {short, dkim.Ed25519SHA256, "ed"}} {
		k, err := hold(Key{Selector: now.Format("20060102") + x.name, Algorithm: x.algorithm, State: state, Since: now}, x.key)
		if err != nil {
			return nil, err
		}
		made = append(made, k)
	}
	return made, nil
}

// hold adds to what is known of a key what follows from it.
func hold(k Key, private crypto.Signer) (held, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return held{}, fmt.Errorf("write a key: %w", err)
	}
	if k.Record, err = dkim.Record(private.Public()); err != nil {
		return held{}, err
	}
	return held{k, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), private}, nil
}

// add takes keys into a ring, under names that no other has.
func (r *ring) add(made []held) {
	for _, k := range made {
		k.Selector = r.selector(k.Selector)
		r.keys = append(r.keys, k)
	}
}

// selector is a name that no key has.
func (r *ring) selector(name string) string {
	for n, try := 1, name; ; n++ {
		if !slices.ContainsFunc(r.keys, func(k held) bool { return k.Selector == try }) {
			return try
		}
		try = fmt.Sprintf("%s-%d", name, n+1)
	}
}

// Keys gives the keys of a domain of ours, and makes them if there are none:
// those that sign, then those to come, then old ones.
func (s *Signer) Keys(ctx context.Context, d mail.Domain) ([]Key, error) {
	if !s.o.Ours(ctx, d) {
		return nil, fmt.Errorf("%s is %w", d, errNotOurs)
	}
	r, err := s.ring(ctx, d.String())
	if err != nil {
		return nil, err
	}
	return r.public(s.o.Now()), nil
}

func (r *ring) public(now time.Time) []Key {
	var all []Key
	for _, state := range []State{Current, Next, Old} {
		for _, k := range r.keys {
			if k.State == state && (state != Old || now.Sub(k.Since) < lifetime) {
				all = append(all, k.Key)
			}
		}
	}
	return all
}

// Prepare makes the next keys of a domain, unless they are there, and gives
// them.
func (s *Signer) Prepare(ctx context.Context, d mail.Domain) ([]Key, error) {
	if _, err := s.Keys(ctx, d); err != nil {
		return nil, err
	}
	made, err := s.pair(Next)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.change(ctx, d.String(), func(r *ring) error {
		if !slices.ContainsFunc(r.keys, func(k held) bool { return k.State == Next }) {
			r.add(made)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(r.public(s.o.Now()), func(k Key) bool { return k.State != Next }), nil
}

// Rotate has the next keys sign from now on. The private halves of the ones
// before are destroyed; their records must stay for a while.
func (s *Signer) Rotate(ctx context.Context, d mail.Domain) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.change(ctx, d.String(), func(r *ring) error {
		now := s.o.Now().UTC()
		if !slices.ContainsFunc(r.keys, func(k held) bool { return k.State == Next }) {
			return errors.New("there are no next keys")
		}
		r.keys = slices.DeleteFunc(r.keys, func(k held) bool { return k.State == Old && now.Sub(k.Since) >= lifetime })
		for i := range r.keys {
			k := &r.keys[i]
			switch k.State {
			case Current:
				k.State, k.PEM, k.private = Old, "", nil
			case Next:
				k.State = Current
			default:
				continue
			}
			k.Since = now
		}
		return nil
	})
	return err
}

// Import has a key that others made sign for a domain, beside those that are
// there or in place of one of the same algorithm.
func (s *Signer) Import(ctx context.Context, d mail.Domain, selector, text string) error {
	if _, err := s.Keys(ctx, d); err != nil {
		return err
	}
	if _, err := mail.ParseDomain(selector + ".test"); err != nil || strings.HasPrefix(selector, ".") {
		return fmt.Errorf("%q is no selector: %w", selector, err)
	}
	key, err := dkim.ReadKey([]byte(text))
	if err != nil {
		return err
	}
	now, algorithm := s.o.Now().UTC(), dkim.RSASHA256
	if _, ok := key.(ed25519.PrivateKey); ok {
		algorithm = dkim.Ed25519SHA256
	}
	made, err := hold(Key{Selector: selector, Algorithm: algorithm, State: Current, Since: now}, key)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.change(ctx, d.String(), func(r *ring) error {
		if r.selector(selector) != selector {
			return fmt.Errorf("there is a key %s already", selector)
		}
		for i := range r.keys {
			if k := &r.keys[i]; k.State == Current && k.Algorithm == algorithm {
				k.State, k.PEM, k.private, k.Since = Old, "", nil, now
			}
		}
		r.add([]held{made})
		return nil
	})
	return err
}
