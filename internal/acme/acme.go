// Package acme gets the certificate of this host from an authority by ACME and
// renews it in time. The protocol itself is a library's; what is decided here
// is which names, which proof, which key, and when.
//
// RFC 8555 (ACME, http-01, dns-01), RFC 8737 (tls-alpn-01), RFC 2136 (dns-01),
// RFC 9773 (renewal information).
//
// A renewal keeps the key, so that TLSA records stay true; Rotate takes the key
// whose record was published beforehand.
package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"plic/internal/dns"
	"plic/internal/pki"
	"plic/internal/vfs"
)

// The files in the directory.
const (
	AccountFile = "acme-account.pem" // our key at the authority
	CertFile    = "acme-key.pem"     // the certificate with its chain and key
)

// Proof is how we show that a name is ours.
type Proof string

// The proofs.
const (
	TLSALPN Proof = "tls-alpn-01" // by a certificate on port 443
	HTTP    Proof = "http-01"     // by a page on port 80
	DNS     Proof = "dns-01"      // by a TXT record
)

const (
	obtainTimeout = 10 * time.Minute
	retryMin      = time.Hour
	retryMax      = 24 * time.Hour
	nameRetry     = 24 * time.Hour // of a name that cannot be proved
	mostNames     = 100            // in one certificate, as authorities have it
	recordTTL     = time.Minute
)

// Options are what a Manager works with. FS, Dir, Directory and Names must be
// set.
type Options struct {
	FS        vfs.FS
	Dir       string
	Directory string         // URL of the authority
	Roots     *x509.CertPool // for that URL; nil for those of the system
	Contact   string         // a mail address, "" for none
	KeyID     string         // of an account at the authority, RFC 8555 section 7.3.4
	KeyMAC    []byte
	Names     func() []string // the certificate is for these; without the first there is none
	Proof     Proof
	Update    dns.Update // for DNS
	Resolver  dns.Resolver
	Agent     string // how we name ourselves to the authority
	Now       func() time.Time
	Random    func() float64 // from 0 to below 1, for a moment in the window of the authority
	Log       *slog.Logger
}

// Manager keeps the certificate. Make it with Open; Run renews it.
type Manager struct {
	o      Options
	answer answers
	wake   chan struct{}
	web    *http.Client

	one   sync.Mutex // held while a certificate is got
	mu    sync.Mutex
	cert  *tls.Certificate
	err   error                // of the last try
	bad   map[string]time.Time // names that could not be proved, and when
	told  advice
	rest  time.Time // until then the certificate is new
	young int       // how many in a row were renewed soon after they were got
}

// Open reads the certificate that there is.
func Open(o Options) (*Manager, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = uniform
	}
	m := &Manager{o: o, wake: make(chan struct{}, 1), bad: map[string]time.Time{}}
	m.web = &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
	}}
	cert, err := pki.Load(o.FS, o.Dir, CertFile)
	if err != nil && !errors.Is(err, pki.ErrDamaged) {
		return nil, fmt.Errorf("the certificate from %s: %w", o.Directory, err)
	}
	m.cert = cert
	return m, nil
}

// Certificate is the newest one, nil if there is none.
func (m *Manager) Certificate() *tls.Certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cert
}

// Err is why the last try to get one failed, nil if it did not.
func (m *Manager) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// Due says whether a certificate is wanted: there is none, it lacks a name, or
// the time of its renewal has come. A name that could not be proved is not missed
// for a day.
func (m *Manager) Due() bool { return m.old() || m.lacks(m.names()) }

// old says that there is no certificate, or that it is to be renewed.
func (m *Manager) old() bool { return m.o.Now().After(m.Renewal().At) }

// lacks says that the certificate is not for all of the names.
func (m *Manager) lacks(names []string) bool {
	leaf := m.Certificate().Leaf
	return slices.ContainsFunc(names, func(name string) bool { return leaf.VerifyHostname(name) != nil })
}

// names are those to ask for now.
func (m *Manager) names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []string
	for i, name := range m.o.Names() {
		since, bad := m.bad[name]
		if i > 0 && bad && m.o.Now().Sub(since).Abs() < nameRetry || slices.Contains(list, name) {
			continue
		}
		list = append(list, name)
	}
	return list[:min(len(list), mostNames)]
}

// Wake lets Run look at once whether a certificate is wanted: names may have
// changed.
func (m *Manager) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run gets and renews the certificate until ctx ends, and tells of each new one.
// What fails is tried again, ever more slowly.
func (m *Manager) Run(ctx context.Context, got func()) error {
	for failed := 0; ; {
		m.ask(ctx)
		next := m.pause()
		if m.Due() {
			m.o.Log.Info("a certificate is wanted", "from", m.o.Directory, "because", m.reason())
			err := m.Obtain(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				next = m.patience(failed)
				failed++
				m.o.Log.Error("cannot get a certificate", "from", m.o.Directory, "again in", next, "error", err)
			default:
				failed = 0
				got()
				m.ask(ctx)
				next = m.pause()
			}
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-m.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// reason is why a certificate is wanted now.
func (m *Manager) reason() string {
	if m.old() {
		return m.Renewal().Why
	}
	return "names are missing"
}

// Obtain gets a certificate now, with the key of the one there is.
func (m *Manager) Obtain(ctx context.Context) error {
	m.one.Lock()
	defer m.one.Unlock()
	var key crypto.Signer
	if cert := m.Certificate(); cert != nil {
		key, _ = cert.PrivateKey.(crypto.Signer)
	}
	if key == nil {
		var err error
		if key, err = pki.Next(m.o.FS, m.o.Dir); err != nil {
			return err
		}
		if err := m.obtain(ctx, key); err != nil {
			return err
		}
		return pki.Forget(m.o.FS, m.o.Dir)
	}
	return m.obtain(ctx, key)
}

// Rotate gets a certificate with the next key.
func (m *Manager) Rotate(ctx context.Context) error {
	m.one.Lock()
	defer m.one.Unlock()
	key, err := pki.Next(m.o.FS, m.o.Dir)
	if err != nil {
		return err
	}
	if err := m.obtain(ctx, key); err != nil {
		return err
	}
	return pki.Forget(m.o.FS, m.o.Dir)
}

func (m *Manager) obtain(ctx context.Context, key crypto.Signer) error {
	ctx, cancel := context.WithTimeout(ctx, obtainTimeout)
	defer cancel()
	cert, err := m.whatCanBeProved(ctx, key)
	if cert == nil && err == nil {
		return nil // what there is, is as good
	}
	if err == nil {
		err = pki.Save(m.o.FS, m.o.Dir, CertFile, cert)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err = err; err != nil {
		return err
	}
	var old *x509.Certificate
	if m.cert != nil {
		old = m.cert.Leaf
	}
	m.settle(old, cert.Leaf)
	m.cert = cert
	m.o.Log.Info("got a certificate", "from", m.o.Directory, "names", cert.Leaf.DNSNames, "until", cert.Leaf.NotAfter)
	return nil
}

// whatCanBeProved asks for a certificate for all names, and when one of them
// cannot be proved, for the others: a domain whose policy host leads elsewhere
// must not cost this host its certificate. If that would give no more than
// there is, it gives nil.
func (m *Manager) whatCanBeProved(ctx context.Context, key crypto.Signer) (*tls.Certificate, error) {
	for failed := false; ; failed = true {
		names := m.names()
		if failed && !m.old() && !m.lacks(names) && m.shows(key) {
			return nil, nil
		}
		cert, err := m.order(ctx, key, names)
		var name *nameError
		if !errors.As(err, &name) || name.name == m.o.Names()[0] || ctx.Err() != nil {
			return cert, err
		}
		m.o.Log.Error("a name is left out of the certificate: it cannot be proved", "name", name.name, "again in", nameRetry, "error", name.err)
		m.mu.Lock()
		m.bad[name.name] = m.o.Now()
		m.mu.Unlock()
	}
}

// shows says that the certificate has the key.
func (m *Manager) shows(key crypto.Signer) bool {
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	return err == nil && bytes.Equal(public, m.Certificate().Leaf.RawSubjectPublicKeyInfo)
}

// order asks for a certificate: account, order, proofs, request, RFC 8555
// section 7.
func (m *Manager) order(ctx context.Context, key crypto.Signer, names []string) (*tls.Certificate, error) {
	c, err := m.client(ctx)
	if err != nil {
		return nil, err
	}
	order, err := m.newOrder(ctx, c, names)
	if err != nil {
		return nil, fmt.Errorf("order a certificate for %v: %w", names, err)
	}
	for _, url := range order.AuthzURLs {
		if err := m.authorize(ctx, c, url); err != nil {
			return nil, err
		}
	}
	ready, err := c.WaitOrder(ctx, order.URI)
	if err != nil {
		return nil, fmt.Errorf("the order of a certificate: %w", err)
	}
	ready.URI = order.URI // which not every answer repeats
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := c.CreateCertFromOrder(ctx, ready, request, true)
	if err != nil {
		return nil, fmt.Errorf("the certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, nil
}

// client is us at the authority, with an account.
func (m *Manager) client(ctx context.Context) (*acme.Client, error) {
	key, err := pki.Key(m.o.FS, m.o.Dir, AccountFile)
	if err != nil {
		return nil, fmt.Errorf("the account at %s: %w", m.o.Directory, err)
	}
	c := &acme.Client{
		Key: key, DirectoryURL: m.o.Directory, UserAgent: m.o.Agent,
		HTTPClient: m.web,
	}
	account := &acme.Account{}
	if m.o.Contact != "" {
		account.Contact = []string{"mailto:" + m.o.Contact}
	}
	if m.o.KeyID != "" {
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: m.o.KeyID, Key: m.o.KeyMAC}
	}
	if _, err := c.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("the account at %s: %w", m.o.Directory, err)
	}
	return c, nil
}
