package auth

import (
	"context"
	"errors"
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
	try       *try            // of SCRAM, once the user is known
	found     directory.Account
	account   string
	over      bool
}

// Begin starts an exchange; the name of the mechanism may be in any case.
func (a *Auth) Begin(_ context.Context, p Peer, mechanism string) (*Exchange, error) {
	x := &Exchange{a: a, p: p, mechanism: strings.ToUpper(mechanism)}
	if !slices.Contains(a.o.Mechanisms, x.mechanism) {
		return nil, ErrNoMechanism
	}
	if !slices.Contains(a.Mechanisms(p), x.mechanism) {
		if p.TLS != nil { // PLUS without a binding
			return nil, ErrNoMechanism
		}
		return nil, ErrNeedTLS
	}
	switch x.mechanism {
	case sasl.Plain:
		x.server = sasl.NewPlain(x.check)
	case sasl.Login:
		x.server = sasl.NewLogin(x.check)
	case sasl.SCRAM, sasl.SCRAMPlus:
		x.server = sasl.NewSCRAM(sasl.SCRAMOptions{Lookup: x.lookup, Plus: x.mechanism == sasl.SCRAMPlus, Bindings: a.bindings(p)})
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

// Account is who has logged in, once the exchange is done.
func (x *Exchange) Account() string { return x.account }

// public makes of an error of the machine one of ours, and counts a proof that
// did not fit as what it is: a wrong guess.
func (x *Exchange) public(err error) error {
	switch {
	case errors.Is(err, sasl.ErrMalformed), errors.Is(err, sasl.ErrTooLong):
		return ErrMalformed
	case errors.Is(err, sasl.ErrFailed):
		if x.try != nil {
			return x.try.bad(x.found, nil)
		}
		return x.a.begin(x.p, x.mechanism, "").end(ErrBad, err.Error())
	}
	return err // of check, lookup or finish: ours already
}

// check is the look at the credentials of PLAIN and LOGIN.
func (x *Exchange) check(user, password string) error {
	var err error
	x.account, err = x.a.begin(x.p, x.mechanism, user).password(x.ctx, password)
	return err
}

// lookup finds the verifier for SCRAM. Whoever has none gets one that no proof
// fits, always the same.
func (x *Exchange) lookup(user string) (*sasl.Verifier, error) {
	t := x.a.begin(x.p, x.mechanism, user)
	done, err := t.admit(x.ctx)
	if err != nil {
		return nil, err
	}
	done()
	if x.found, err = t.find(x.ctx); err != nil {
		return nil, err
	}
	x.try = t
	if x.found.Secret.SCRAM == nil || x.found.Disabled {
		return sasl.FakeVerifier(x.a.o.Secret, key(user), x.a.o.Cost.Iterations), nil
	}
	return x.found.Secret.SCRAM, nil
}

// finish looks at whom the client wants to be: nobody else, RFC 4422 section
// 3.4.1.
func (x *Exchange) finish(ctx context.Context) error {
	authz, user := x.server.Identity()
	if x.try != nil {
		var err error
		if x.account, err = x.try.good(x.found); err != nil {
			return err
		}
	}
	if authz == "" || key(authz) == key(user) {
		return nil
	}
	if other, err := x.a.o.Directory.Account(ctx, authz); err == nil && other.Name == x.account {
		return nil
	}
	x.account = ""
	return x.a.begin(x.p, x.mechanism, user).end(ErrBad, "wants to act as "+cut(authz))
}
