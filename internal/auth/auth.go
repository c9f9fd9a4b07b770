// Package auth decides who logs in: a SASL exchange (RFC 4422) or a user name
// and password against the directory, for all protocols together, so that
// guessing is slowed down once and not by each of them.
//
// What is told to a peer never says whether an account exists: a user who does
// not costs the same work and gets the same answer as a wrong password.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"plic/internal/directory"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/oauth"
	"plic/internal/sasl"
)

// Errors of logging in, and all that a peer may know; why is in the journal.
var (
	ErrBad         = errors.New("wrong user name or password")
	ErrThrottled   = errors.New("too many failed logins from here, try again later")
	ErrTemporary   = errors.New("temporary trouble with logins, try again later")
	ErrNoMechanism = errors.New("no such authentication mechanism")
	ErrNeedTLS     = errors.New("encryption is needed for this login")
	ErrMalformed   = errors.New("malformed authentication response")
)

// Options are what logging in needs.
type Options struct {
	Directory directory.Directory
	Journal   *journal.Journal
	Now       func() time.Time                                 // time.Now if nil
	Wait      func(ctx context.Context, d time.Duration) error // a timer if nil

	// Mechanisms are those to offer; if nil, those that show no password, and
	// PLAIN and LOGIN. EXTERNAL needs ClientCAs too, OAUTHBEARER and XOAUTH2
	// Tokens, ANONYMOUS an account.
	Mechanisms []string
	// Host is what CRAM-MD5 puts into its challenges.
	Host string
	// ClientCAs vouch for the certificates of clients.
	ClientCAs *x509.CertPool
	// Tokens decide on OAuth 2.0; nil for none.
	Tokens *oauth.Verifier
	// Anonymous is the account that anybody may read by IMAP and POP3; "" for
	// none.
	Anonymous string
	// Masters are the accounts that may act for any other.
	Masters []string
	// Separator stands between whom a master acts for and the master's own name
	// in a login; "" lets only mechanisms name both.
	Separator string
	// Codes are second factors, for services that can ask for them; nil for none.
	Codes Codes
	// Upgrade is told a right password whose secret is Outdated; nil for none.
	Upgrade func(ctx context.Context, account, hash, password string) error
	// Certificate finds our certificate by the server name that the client
	// asked for; nil, or its nil, goes without tls-server-end-point.
	Certificate func(serverName string) *x509.Certificate
	// Secret keys the salts of users who do not exist. Random if empty, and
	// then different after each start.
	Secret []byte
	// Cost is that of the hashes in the directory; directory.DefaultCost if
	// zero. A user who does not exist costs as much.
	Cost directory.Cost
	// Parallel is how many hashes are computed at once, and so how much
	// memory they take; one for each processor if 0.
	Parallel int
	// Remember is how long a password that was right need not be hashed
	// again; 5 minutes if 0, not at all if negative.
	Remember time.Duration
	Guard    GuardOptions
	// Observe is told what came of each try to log in, and how many hashes of
	// passwords it took; nil for none.
	Observe func(protocol string, o Outcome, hashes int)
}

// Peer is who wants to log in.
type Peer struct {
	Service  string // for the journal
	Remote   netip.Addr
	Conn     mail.ID
	TLS      *tls.ConnectionState // nil without
	Loopback bool                 // may use the clear without TLS
}

func (p Peer) private() bool { return p.TLS != nil || p.Loopback }

// Auth decides on logins. Its methods may be called at the same time.
type Auth struct {
	o     Options
	guard *guard
	cache *cache
	slots chan struct{} // one for each hash being computed
	dummy string        // the hash of nobody's password
	plain atomic.Bool   // some secrets are kept in plain
}

// Login is who has logged in, and for what.
type Login struct {
	Account  string
	ReadOnly bool     // it may change nothing
	By       string   // the master who acts for the account; "" for nobody
	Groups   []string // that the account is in
}

// New makes an Auth.
func New(o Options) *Auth {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	if o.Mechanisms == nil {
		o.Mechanisms = []string{sasl.SCRAMPlus, sasl.SCRAM, sasl.Plain, sasl.Login, sasl.Bearer, sasl.XBearer, sasl.External}
	}
	if o.Observe == nil {
		o.Observe = func(string, Outcome, int) {}
	}
	if len(o.Secret) == 0 {
		o.Secret = []byte(rand.Text())
	}
	if o.Cost == (directory.Cost{}) {
		o.Cost = directory.DefaultCost()
	}
	if o.Parallel <= 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	if o.Remember == 0 {
		o.Remember = 5 * time.Minute
	}
	return &Auth{
		o: o, guard: newGuard(o.Guard, o.Now), cache: newCache(o.Remember, o.Now),
		slots: make(chan struct{}, o.Parallel), dummy: directory.Dummy(o.Cost),
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Mechanisms are those that the peer may use, best first: those that show the
// password only where nobody listens.
func (a *Auth) Mechanisms(p Peer) []string {
	var all []string
	for _, m := range a.o.Mechanisms {
		if a.offers(p, m) == nil {
			all = append(all, m)
		}
	}
	return all
}

// offers says whether a mechanism that is on can be used by the peer.
func (a *Auth) offers(p Peer, mechanism string) error {
	var possible, private bool
	switch mechanism {
	case sasl.Plain, sasl.Login:
		possible, private = true, true
	case sasl.SCRAM, sasl.SCRAM1, sasl.CRAM:
		possible = true
	case sasl.SCRAMPlus, sasl.SCRAM1Plus:
		if p.TLS == nil {
			return ErrNeedTLS
		}
		possible = len(a.bindings(p)) > 0
	case sasl.Bearer, sasl.XBearer:
		possible, private = a.o.Tokens != nil, true
	case sasl.External:
		if p.TLS == nil && a.o.ClientCAs != nil {
			return ErrNeedTLS
		}
		possible = len(a.certified(p)) > 0
	case sasl.Anonymous:
		protocol := directory.Protocol(p.Service)
		possible = a.o.Anonymous != "" && (protocol == "imap" || protocol == "pop3")
	}
	switch {
	case !possible:
		return ErrNoMechanism
	case private && !p.private():
		return ErrNeedTLS
	}
	return nil
}

func (a *Auth) bindings(p Peer) []sasl.Binding {
	if p.TLS == nil || !slices.Contains(a.o.Mechanisms, sasl.SCRAMPlus) && !slices.Contains(a.o.Mechanisms, sasl.SCRAM1Plus) {
		return nil
	}
	var certificate *x509.Certificate
	if a.o.Certificate != nil {
		certificate = a.o.Certificate(p.TLS.ServerName)
	}
	return sasl.Bindings(p.TLS, certificate)
}

// Password checks a user name and password, as LOGIN of IMAP and USER and PASS
// of POP3 have them.
func (a *Auth) Password(ctx context.Context, p Peer, user, password string) (Login, error) {
	t := a.begin(p, "password", user)
	if !p.private() { // before anything is made of the secret
		return Login{}, t.end(ErrNeedTLS, "not encrypted")
	}
	found, err := t.password(ctx, password)
	if err != nil {
		return Login{}, err
	}
	return t.good(ctx, found, "")
}
