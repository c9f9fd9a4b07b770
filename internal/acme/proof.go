package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
)

// Protocol is what an authority speaks that looks for a certificate as proof,
// RFC 8737 section 6.2.
const Protocol = acme.ALPNProto

// answers are the proofs that authorities may come for now.
type answers struct {
	mu    sync.Mutex
	certs map[string]*tls.Certificate // by name
	pages map[string]string           // by path
}

func (a *answers) set(change func(certs map[string]*tls.Certificate, pages map[string]string)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.certs == nil {
		a.certs, a.pages = map[string]*tls.Certificate{}, map[string]string{}
	}
	change(a.certs, a.pages)
}

// Answer gives the certificate that proves a name to the authority, if that is
// who asks; else nil.
func (m *Manager) Answer(hello *tls.ClientHelloInfo) *tls.Certificate {
	if !slices.Equal(hello.SupportedProtos, []string{Protocol}) {
		return nil
	}
	m.answer.mu.Lock()
	defer m.answer.mu.Unlock()
	return m.answer.certs[strings.ToLower(hello.ServerName)]
}

// ServeHTTP answers an authority that looks for a page.
func (m *Manager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.answer.mu.Lock()
	page, ok := m.answer.pages[r.URL.Path]
	m.answer.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write([]byte(page))
}

// authorize proves one name.
func (m *Manager) authorize(ctx context.Context, c *acme.Client, url string) error {
	z, err := c.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("an authorization: %w", err)
	}
	if z.Status == acme.StatusValid {
		return nil
	}
	name := z.Identifier.Value
	fail := func(what string, err error) error {
		return &nameError{name, fmt.Errorf("%s by %s: %w", what, m.o.Proof, err)}
	}
	i := slices.IndexFunc(z.Challenges, func(x *acme.Challenge) bool { return x.Type == string(m.o.Proof) })
	if i < 0 {
		return fail("prove", errors.New("the authority does not take that"))
	}
	clear, err := m.prove(ctx, c, name, z.Challenges[i])
	if err != nil {
		return fail("prepare the proof", err)
	}
	defer clear()
	if _, err := c.Accept(ctx, z.Challenges[i]); err != nil {
		return fail("prove", err)
	}
	if _, err := c.WaitAuthorization(ctx, z.URI); err != nil {
		return fail("prove", err)
	}
	return nil
}

// nameError is why a name could not be proved.
type nameError struct {
	name string
	err  error
}

func (e *nameError) Error() string { return e.name + ": " + e.err.Error() }
func (e *nameError) Unwrap() error { return e.err }

// prove puts the proof of a name where the authority will look; clear takes it
// away.
func (m *Manager) prove(ctx context.Context, c *acme.Client, name string, x *acme.Challenge) (clear func(), err error) {
	switch m.o.Proof {
	case TLSALPN:
		cert, err := c.TLSALPN01ChallengeCert(x.Token, name)
		if err != nil {
			return nil, err
		}
		m.answer.set(func(certs map[string]*tls.Certificate, _ map[string]string) { certs[name] = &cert })
		return func() {
			m.answer.set(func(certs map[string]*tls.Certificate, _ map[string]string) { delete(certs, name) })
		}, nil
	case HTTP:
		page, err := c.HTTP01ChallengeResponse(x.Token)
		if err != nil {
			return nil, err
		}
		path := c.HTTP01ChallengePath(x.Token)
		m.answer.set(func(_ map[string]*tls.Certificate, pages map[string]string) { pages[path] = page })
		return func() {
			m.answer.set(func(_ map[string]*tls.Certificate, pages map[string]string) { delete(pages, path) })
		}, nil
	}
	text, err := c.DNS01ChallengeRecord(x.Token)
	if err != nil {
		return nil, err
	}
	return m.publish(ctx, "_acme-challenge."+strings.TrimPrefix(name, "*."), text)
}

// publish adds a record and waits until our resolver sees it.
func (m *Manager) publish(ctx context.Context, owner, text string) (clear func(), err error) {
	clear = func() {
		within, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := m.o.Update.Clear(within, owner, text); err != nil {
			m.o.Log.Warn("a record that proved a name to the authority is left", "name", owner, "error", err)
		}
	}
	if err := m.o.Update.Set(ctx, owner, text, recordTTL); err != nil {
		return nil, err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range 60 {
		if texts, _, err := m.o.Resolver.TXT(ctx, owner); err == nil && slices.Contains(texts, text) {
			return clear, nil
		}
		select {
		case <-ctx.Done():
			clear()
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
	return clear, nil // the authority asks others than we do: let it try
}
