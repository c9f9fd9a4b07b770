package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"plic/internal/directory"
	"plic/internal/sasl"
)

// Exchange is one SASL exchange. It holds nothing that must be given back: one
// that is not carried on is just forgotten.
type Exchange struct {
	a         *Auth
	p         Peer
	mechanism string
	server    sasl.Server
	ctx       context.Context // of the step being taken
	try       *try            // once the user is known
	found     found
	secrets   []*directory.AppPassword // of what a proof may fit, nil for the password itself
	lacks     string                   // why no proof can fit
	login     Login
	over      bool
}

// Begin starts an exchange; the name of the mechanism may be in any case.
func (a *Auth) Begin(_ context.Context, p Peer, mechanism string) (*Exchange, error) {
	x := &Exchange{a: a, p: p, mechanism: strings.ToUpper(mechanism)}
	if !slices.Contains(a.o.Mechanisms, x.mechanism) {
		return nil, ErrNoMechanism
	}
	if err := a.offers(p, x.mechanism); err != nil {
		return nil, err
	}
	switch x.mechanism {
	case sasl.Plain:
		x.server = sasl.NewPlain(x.check)
	case sasl.Login:
		x.server = sasl.NewLogin(x.check)
	case sasl.SCRAM, sasl.SCRAMPlus, sasl.SCRAM1, sasl.SCRAM1Plus:
		x.server = sasl.NewSCRAM(sasl.SCRAMOptions{Mechanism: x.mechanism, Lookup: x.verifiers, Bindings: a.bindings(p)})
	case sasl.CRAM:
		x.server = sasl.NewCRAM(fmt.Sprintf("<%s.%d@%s>", rand.Text(), a.o.Now().Unix(), a.o.Host), x.keys)
	case sasl.External:
		x.server = sasl.NewExternal(x.external)
	case sasl.Anonymous:
		x.server = sasl.NewAnonymous(x.anonymous)
	case sasl.Bearer:
		x.server = sasl.NewBearer(x.token)
	case sasl.XBearer:
		x.server = sasl.NewXBearer(x.token)
	default:
		return nil, ErrNoMechanism
	}
	return x, nil
}

// Next takes a response, decoded, and gives the next challenge, until done. The
// first response is nil if the client sent no initial one; empty is not nil.
// After an error the exchange is over.
func (x *Exchange) Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error) {
	if x.over {
		return nil, false, ErrMalformed
	}
	if x.try != nil && !x.try.allowed() {
		x.over = true
		return nil, false, x.try.end(ErrThrottled, "too many failed logins")
	}
	x.ctx = ctx
	challenge, done, err = x.server.Next(response)
	if err == nil && done {
		err = x.finish(ctx)
	}
	if err != nil {
		x.over = true
		return nil, false, x.public(err)
	}
	x.over = done
	return challenge, done, nil
}

// Login is who has logged in, once the exchange is done.
func (x *Exchange) Login() Login { return x.login }

// Account is the account of Login.
func (x *Exchange) Account() string { return x.login.Account }

// public makes of an error of the machine one of ours, and counts a proof that
// did not fit as what it is: a wrong guess.
func (x *Exchange) public(err error) error {
	switch {
	case errors.Is(err, sasl.ErrMalformed), errors.Is(err, sasl.ErrTooLong):
		x.begin("").end(ErrMalformed, err.Error())
		return ErrMalformed
	case errors.Is(err, sasl.ErrFailed):
		if x.try != nil {
			return x.try.bad(x.found.Account, x.lacks)
		}
		return x.begin("").end(ErrBad, err.Error())
	}
	return err // of check, lookup or finish: ours already
}

// begin makes the try of this exchange, now that the user is known.
func (x *Exchange) begin(user string) *try { return x.a.begin(x.p, x.mechanism, user) }

// check is the look at the credentials of PLAIN and LOGIN.
func (x *Exchange) check(user, password string) (err error) {
	t := x.begin(user)
	if x.found, err = t.password(x.ctx, password); err == nil {
		x.try = t
	}
	return err
}

// lookup finds the account of a mechanism whose proof comes later.
func (x *Exchange) lookup(user string) error {
	t := x.begin(user)
	done, err := t.admit(x.ctx)
	if err != nil {
		return err
	}
	done()
	account, err := t.find(x.ctx)
	if err != nil {
		return err
	}
	x.found, x.try = found{Account: account}, t
	return nil
}

// finish looks at whether and as whom the client may come in.
func (x *Exchange) finish(ctx context.Context) (err error) {
	if x.mechanism == sasl.Anonymous {
		return nil // anonymous has seen to it
	}
	if m, ok := x.server.(interface{ Matched() int }); ok {
		x.found.app = x.secrets[m.Matched()]
	}
	authz, _ := x.server.Identity()
	x.login, err = x.try.good(ctx, x.found, authz)
	return err
}
