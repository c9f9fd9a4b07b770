package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plic/internal/directory"
	"plic/internal/journal"
	"plic/internal/sasl"
)

// try is one attempt to log in, from its user name to its end in the journal.
type try struct {
	a       *Auth
	p       Peer
	how     string
	typed   string // as the client gave it
	login   string // whose credentials it shows
	as      string // whom a master wants to act for, in the form "user*master"
	started time.Time
	guess   *mac // of the secret, where it is known
	hashes  int  // that were computed
	outcome Outcome
}

// found is an account and which of its secrets was right.
type found struct {
	directory.Account
	app *directory.AppPassword // nil for the password itself
}

func (a *Auth) begin(p Peer, how, login string) *try {
	t := &try{a: a, p: p, how: how, typed: login, login: login, started: a.o.Now()}
	if i := strings.LastIndex(login, a.o.Separator); a.o.Separator != "" && len(a.o.Masters) > 0 && i > 0 {
		t.as, t.login = login[:i], login[i+len(a.o.Separator):]
	}
	return t
}

// password checks the password of the try.
func (t *try) password(ctx context.Context, password string) (found, error) {
	guess := t.a.cache.mac(t.login, "", password) // so that the guard need not keep the password
	t.guess = &guess
	done, err := t.admit(ctx)
	if err != nil {
		return found{}, err
	}
	defer done()
	account, err := t.find(ctx)
	if err != nil {
		return found{}, err
	}
	f, ok, err := t.verify(ctx, account, password)
	if err == nil && !ok && !account.External {
		f, ok, err = t.again(ctx, account, password)
	}
	switch {
	case errors.Is(err, ErrThrottled):
		return found{}, t.end(ErrThrottled, "too many failed logins")
	case err != nil:
		return found{}, t.end(ErrTemporary, err.Error())
	case !ok:
		return found{}, t.bad(account, "")
	}
	return f, nil
}

// admit slows the peer down or turns it away.
func (t *try) admit(ctx context.Context) (done func(), err error) {
	delay, done, err := t.a.guard.admit(ctx, t.p.Remote, key(t.login))
	if errors.Is(err, ErrThrottled) {
		return nil, t.end(ErrThrottled, "too many failed logins")
	}
	if err == nil && delay > 0 {
		if err = t.a.o.Wait(ctx, delay); err != nil {
			done()
		}
	}
	if err != nil {
		return nil, t.end(ErrTemporary, "gave up while it was slowed down: "+err.Error())
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

// verify compares the password with what the account has or, for the same cost,
// with nobody's hash.
func (t *try) verify(ctx context.Context, account directory.Account, password string) (f found, ok bool, err error) {
	f = found{Account: account}
	prepared := "\x00" // which is no password
	if p, err := sasl.Prepare(password); err == nil {
		prepared = p
	}
	if !t.allowed() {
		return f, false, ErrThrottled
	}
	for i := range account.Apps { // made up by us: a quick hash does
		if ok, err := directory.Verify(account.Apps[i].Secret.Hash, prepared); err == nil && ok {
			f.app = &account.Apps[i]
			return f, true, nil
		}
	}
	if account.External && prepared != "\x00" {
		return t.ask(ctx, account, password)
	}
	hash := account.Secret.Hash
	if hash == "" {
		hash = t.a.dummy
	}
	if t.a.cache.has(account.Name, hash, prepared) {
		return f, true, nil
	}
	ok, err = t.hash(ctx, hash, prepared)
	if ok = ok && account.Name != "" && account.Secret.Hash != ""; ok && !account.Disabled {
		t.a.cache.add(account.Name, hash, prepared)
		err = errors.Join(err, t.upgrade(ctx, account, password))
	}
	return f, ok, err
}

// again looks whether the password is a new one, of which the directory's memory
// does not know yet.
func (t *try) again(ctx context.Context, account directory.Account, password string) (found, bool, error) {
	fresh, err := t.find(directory.WithFresh(ctx))
	if err != nil || fresh.Name == "" || fresh.Name == account.Name && fresh.Secret.Hash == account.Secret.Hash && len(fresh.Apps) == len(account.Apps) {
		return found{Account: account}, false, nil
	}
	return t.verify(ctx, fresh, password)
}

// hash does the work, when there is a place to do it.
func (t *try) hash(ctx context.Context, hash, prepared string) (bool, error) {
	select {
	case t.a.slots <- struct{}{}:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { <-t.a.slots }()
	if !t.allowed() { // any more: many may have been waiting
		return false, ErrThrottled
	}
	t.hashes++
	return directory.Verify(hash, prepared)
}

// ask lets the source of an account check a password that only it can.
func (t *try) ask(ctx context.Context, account directory.Account, password string) (found, bool, error) {
	f := found{Account: account}
	checker, ok := t.a.o.Directory.(directory.Checker)
	if !ok {
		return f, false, fmt.Errorf("the directory of %s cannot check passwords", account.Name)
	}
	checked, err := checker.Check(ctx, t.login, password)
	switch {
	case errors.Is(err, directory.ErrNotFound), errors.Is(err, directory.ErrPassword):
		return f, false, nil
	case err != nil:
		return f, false, fmt.Errorf("directory: %w", err)
	case checked.Name != account.Name:
		return f, false, fmt.Errorf("directory: %s is %s when its password is checked", account.Name, checked.Name)
	}
	return f, true, nil
}

// upgrade lets the directory make a better secret of a password that was right.
// That it fails is no reason to keep anybody out.
func (t *try) upgrade(ctx context.Context, account directory.Account, password string) error {
	if t.a.o.Upgrade == nil || !account.Secret.Outdated(t.a.o.Cost) {
		return nil
	}
	if err := t.a.o.Upgrade(ctx, account.Name, account.Secret.Hash, password); err != nil {
		t.record(journal.Event{Kind: journal.Error, Account: account.Name, Reason: "upgrade the password hash: " + err.Error()})
	}
	return nil
}

// good ends a try with the right secret: what is left is whether the account may
// log in here, and as whom.
func (t *try) good(ctx context.Context, f found, authz string) (Login, error) {
	if why := t.denied(f); why != "" {
		return Login{}, t.bad(f.Account, why)
	}
	l := Login{Account: f.Name, Groups: f.Groups, ReadOnly: f.app != nil && f.app.ReadOnly}
	if authz == "" || key(authz) == key(t.login) || t.as != "" && key(authz) == key(t.typed) {
		authz = t.as
	}
	how := ""
	if f.app != nil {
		how = "app password " + f.app.Name
	}
	if authz != "" && key(authz) != key(t.login) {
		other, err := t.other(ctx, f, authz)
		if err != nil {
			return Login{}, err
		}
		if other != f.Name {
			l.Account, l.By, l.Groups, how = other, f.Name, nil, "by the master user "+f.Name
			if account, err := t.a.o.Directory.Account(ctx, other); err == nil {
				l.Groups = account.Groups
			}
		}
	}
	t.a.guard.success(t.p.Remote, key(t.login))
	t.observe(Accepted)
	t.record(journal.Event{Kind: journal.Auth, Account: l.Account, Status: "250 2.7.0 " + t.how, Reason: how})
	return l, nil
}

// denied says why an account may not log in although its secret is right.
func (t *try) denied(f found) string {
	service := directory.Protocol(t.p.Service)
	switch {
	case f.Disabled:
		return "the account is disabled"
	case !f.Allow.Service(t.p.Service):
		return "the account may not use " + service
	case !f.Allow.Network(t.p.Remote):
		return "the account may not log in from here"
	case f.app != nil:
		if why := f.app.Denies(t.p.Service, t.a.o.Now()); why != "" {
			return "the app password " + f.app.Name + " " + why
		}
	case f.AppOnly && slices.Contains(directory.MailProtocols(), service) && t.how != sasl.External:
		return "only app passwords are good for " + service
	}
	return ""
}

// other is whom the client wants to be instead, RFC 4422 section 3.4.1: another
// name of itself, or anybody if it is a master.
func (t *try) other(ctx context.Context, f found, authz string) (string, error) {
	account, err := t.a.o.Directory.Account(ctx, authz)
	switch {
	case err != nil && !errors.Is(err, directory.ErrNotFound):
		return "", t.end(ErrTemporary, "directory: "+err.Error())
	case err == nil && account.Name == f.Name:
		return f.Name, nil
	case f.app != nil || !slices.Contains(t.a.o.Masters, f.Name):
		return "", t.end(ErrBad, f.Name+" wants to act as "+cut(authz))
	case err != nil:
		return "", t.end(ErrBad, f.Name+" wants to act as "+cut(authz)+", who does not exist")
	}
	return account.Name, nil
}

// bad ends a try with a wrong secret, or one that is of no use here. The guess,
// if known, makes the same mistake made again by a forgotten device count once.
func (t *try) bad(account directory.Account, why string) error {
	t.a.guard.failure(t.p.Remote, key(t.login), t.guess)
	t.outcome = Wrong
	switch {
	case why != "" && account.Name != "":
		t.outcome = Refused
	case why != "":
	case account.Disabled:
		why, t.outcome = "the account is disabled", Refused
	case account.Name == "":
		why, t.outcome = "no such account", Unknown
	default:
		why = "wrong secret"
	}
	return t.end(ErrBad, why)
}

// end records a failure and gives the error back.
func (t *try) end(err error, reason string) error {
	status, outcome := "535 5.7.8 "+t.how, t.outcome
	switch {
	case errors.Is(err, ErrTemporary):
		status, outcome = "454 4.7.0 "+t.how, Trouble
	case errors.Is(err, ErrThrottled):
		status, outcome = "454 4.7.0 "+t.how, Throttled
	case errors.Is(err, ErrMalformed):
		status, outcome = "501 5.5.2 "+t.how, Malformed
	case outcome == "": // a right secret that is not good for this
		outcome = Refused
	}
	t.observe(outcome)
	t.record(journal.Event{Kind: journal.AuthFail, Account: cut(t.typed), Status: status, Reason: reason})
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
