// Package dovecot keeps the users of a Dovecot: whether they exist, and what is
// known of them, by its socket auth-userdb, and their passwords by its socket
// auth-client. So another server can take over while the users stay where they
// are, whatever that is.
package dovecot

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plic/internal/directory"
	"plic/internal/directory/source"
	"plic/internal/dovecot"
	"plic/internal/mail"
)

// Options say where Dovecot is.
type Options struct {
	// Users and Passwords are the sockets auth-userdb and auth-client: paths, or
	// host:port.
	Users, Passwords string
	// Domains are those of its users, which it cannot tell.
	Domains     []mail.Domain
	Form        source.Form
	Connections int           // kept open, of each kind; 10 if 0
	Timeout     time.Duration // of a question; 5 seconds if 0
}

// Records are the users of a Dovecot; source.New makes a directory of them.
type Records struct {
	o                Options
	users, passwords *socket
}

// New makes Records; nothing is asked yet.
func New(o Options) *Records {
	if o.Connections <= 0 {
		o.Connections = 10
	}
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	return &Records{o: o, users: newSocket(o.Users, "SPID", &o), passwords: newSocket(o.Passwords, "DONE", &o)}
}

// Close ends the connections.
func (r *Records) Close() error { return errors.Join(r.users.links.Close(), r.passwords.links.Close()) }

// Domain says whether a domain is one of those that were named.
func (r *Records) Domain(_ context.Context, d mail.Domain) (bool, error) {
	return slices.Contains(r.o.Domains, d), nil
}

// Account asks for what is known of a user.
func (r *Records) Account(ctx context.Context, login string) (directory.Account, error) {
	answer, err := r.users.ask(ctx, "USER", login, "service=smtp")
	if err != nil {
		return directory.Account{}, err
	}
	switch answer[0] {
	case "USER":
		if len(answer) < 3 {
			break
		}
		fields := source.Fields(dovecot.Parameters(answer[3:]))
		fields["account"] = answer[2]
		delete(fields, "password") // no business of ours
		a, err := r.o.Form.Account(fields)
		a.External = true
		return a, err
	case "NOTFOUND":
		return directory.Account{}, fmt.Errorf("account %s: %w", login, directory.ErrNotFound)
	case "FAIL":
		return directory.Account{}, fmt.Errorf("Dovecot cannot tell of %s: %s", login, dovecot.Parameters(answer[2:])["reason"])
	}
	return directory.Account{}, fmt.Errorf("Dovecot answers %q", answer[0])
}

// Mailbox is the user of an address.
func (r *Records) Mailbox(ctx context.Context, a mail.Address) (string, error) {
	found, err := r.Account(ctx, a.String())
	return found.Name, err
}

// Aliases are none: Dovecot has no aliases.
func (r *Records) Aliases(context.Context, mail.Address) ([]string, error) { return nil, nil }

// Check has Dovecot check a password.
func (r *Records) Check(ctx context.Context, login, password string) (directory.Account, error) {
	if _, err := r.Account(ctx, login); err != nil {
		return directory.Account{}, err // whoever does not exist has no password
	}
	response := base64.StdEncoding.EncodeToString([]byte("\x00" + login + "\x00" + password))
	answer, err := r.passwords.ask(ctx, "AUTH", "PLAIN", "service=smtp", "secured", "nologin",
		"no-penalty", "resp="+response) // who guesses is slowed by us, and not all of us together
	if err != nil {
		return directory.Account{}, err
	}
	p := dovecot.Parameters(answer[min(2, len(answer)):])
	switch answer[0] {
	case "OK":
		if p["user"] != "" {
			login = p["user"]
		}
		return r.Account(ctx, strings.ToLower(login))
	case "FAIL":
		if _, temp := p["temp"]; temp || p["code"] == "temp_fail" {
			return directory.Account{}, errors.New("Dovecot cannot check passwords now")
		}
		return directory.Account{}, directory.ErrPassword
	}
	return directory.Account{}, fmt.Errorf("Dovecot answers %q", answer[0])
}
