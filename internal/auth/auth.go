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
	"strings"
	"time"

	"plic/internal/directory"
	"plic/internal/journal"
	"plic/internal/mail"
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

	// Mechanisms are those to offer; all of package sasl if nil.
	Mechanisms []string
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
		o.Mechanisms = []string{sasl.SCRAMPlus, sasl.SCRAM, sasl.Plain, sasl.Login}
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
		switch m {
		case sasl.Plain, sasl.Login:
			if !p.private() {
				continue
			}
		case sasl.SCRAMPlus:
			if len(a.bindings(p)) == 0 {
				continue
			}
		}
		all = append(all, m)
	}
	return all
}

func (a *Auth) bindings(p Peer) []sasl.Binding {
	if p.TLS == nil || !slices.Contains(a.o.Mechanisms, sasl.SCRAMPlus) {
		return nil
	}
	var certificate *x509.Certificate
	if a.o.Certificate != nil {
		certificate = a.o.Certificate(p.TLS.ServerName)
	}
	return sasl.Bindings(p.TLS, certificate)
}

// Password checks a user name and password, as LOGIN of IMAP and USER and PASS
// of POP3 have them, and gives the account's name.
func (a *Auth) Password(ctx context.Context, p Peer, user, password string) (account string, err error) {
	t := a.begin(p, "password", user)
	if !p.private() { // before anything is made of the secret
		return "", t.end(ErrNeedTLS, "not encrypted")
	}
	return t.password(ctx, password)
}

// try is one attempt to log in, from its user name to its end in the journal.
type try struct {
	a       *Auth
	p       Peer
	how     string
	login   string
	started time.Time
}

func (a *Auth) begin(p Peer, how, login string) *try {
	return &try{a, p, how, login, a.o.Now()}
}

// password checks the password of the try.
func (t *try) password(ctx context.Context, password string) (string, error) {
	guess := t.a.cache.mac(t.login, "", password) // so that the guard need not keep the password
	done, err := t.admit(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	account, err := t.find(ctx)
	if err != nil {
		return "", err
	}
	ok, err := t.verify(ctx, account, password)
	switch {
	case errors.Is(err, ErrThrottled):
		return "", t.end(ErrThrottled, "too many failed logins")
	case err != nil:
		return "", t.end(ErrTemporary, err.Error())
	case !ok:
		return "", t.bad(account, &guess)
	}
	return t.good(account)
}

// admit slows the peer down or turns it away.
func (t *try) admit(ctx context.Context) (done func(), err error) {
	delay, done, ok := t.a.guard.admit(t.p.Remote, key(t.login))
	if !ok {
		return nil, t.end(ErrThrottled, "too many failed logins")
	}
	if delay > 0 {
		if err := t.a.o.Wait(ctx, delay); err != nil {
			done()
			return nil, t.end(ErrTemporary, "gave up while it was slowed down: "+err.Error())
		}
	}
	return done, nil
}

func (t *try) allowed() bool { return t.a.guard.allows(t.p.Remote, key(t.login)) }

// find looks the account up; one that does not exist has no name.
func (t *try) find(ctx context.Context) (directory.Account, error) {
	account, err := t.a.o.Directory.Account(ctx, t.login)
	if errors.Is(err, directory.ErrNotFound) {
		return directory.Account{}, nil
	}
	if err != nil {
		return directory.Account{}, t.end(ErrTemporary, "directory: "+err.Error())
	}
	return account, nil
}

// verify compares the password with the account's hash or, for the same cost,
// with nobody's.
func (t *try) verify(ctx context.Context, account directory.Account, password string) (bool, error) {
	hash, prepared := account.Secret.Hash, "\x00" // which is no password
	if hash == "" {
		hash = t.a.dummy
	}
	if p, err := sasl.Prepare(password); err == nil {
		prepared = p
	}
	if !t.allowed() {
		return false, ErrThrottled
	}
	if t.a.cache.has(account.Name, hash, prepared) {
		return true, nil
	}
	select {
	case t.a.slots <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-t.a.slots }()
	if !t.allowed() { // any more: many may have been waiting
		return false, ErrThrottled
	}
	ok, err := directory.Verify(hash, prepared)
	if ok = ok && account.Name != "" && account.Secret.Hash != ""; ok && !account.Disabled {
		t.a.cache.add(account.Name, hash, prepared)
	}
	return ok, err
}

// good ends a try with the right secret.
func (t *try) good(account directory.Account) (string, error) {
	if account.Disabled {
		return "", t.bad(account, nil)
	}
	t.a.guard.success(t.p.Remote, key(t.login))
	t.record(journal.Event{Kind: journal.Auth, Account: account.Name, Status: "250 2.7.0 " + t.how})
	return account.Name, nil
}

// bad ends a try with a wrong secret. The guess, if known, makes the same
// mistake made again by a forgotten device count once.
func (t *try) bad(account directory.Account, guess *mac) error {
	t.a.guard.failure(t.p.Remote, key(t.login), guess)
	switch {
	case account.Name == "":
		return t.end(ErrBad, "no such account")
	case account.Disabled:
		return t.end(ErrBad, "the account is disabled")
	}
	return t.end(ErrBad, "wrong secret")
}

// end records a failure and gives the error back.
func (t *try) end(err error, reason string) error {
	status := "535 5.7.8 " + t.how
	if errors.Is(err, ErrTemporary) || errors.Is(err, ErrThrottled) {
		status = "454 4.7.0 " + t.how
	}
	t.record(journal.Event{Kind: journal.AuthFail, Account: cut(t.login), Status: status, Reason: reason})
	return err
}

func (t *try) record(e journal.Event) {
	e.Conn, e.Service, e.Took = t.p.Conn, t.p.Service, t.a.o.Now().Sub(t.started)
	if t.p.Remote.IsValid() {
		e.Remote = t.p.Remote.String()
	}
	if t.p.TLS != nil {
		e.TLS = tls.VersionName(t.p.TLS.Version) + " " + tls.CipherSuiteName(t.p.TLS.CipherSuite)
	}
	t.a.o.Journal.Record(e)
}

// cut keeps what a stranger typed short in the journal.
func cut(login string) string {
	const enough = 64
	for i := range login {
		if i >= enough {
			return login[:i] + "…"
		}
	}
	return login
}

// key is the form of a login that counters are kept by.
func key(login string) string { return strings.ToLower(strings.TrimSpace(login)) }
