package native

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"plic/internal/directory"
	"plic/internal/totp"
)

// factor is a second one beside the password: one-time codes, and codes for the
// day when the telephone is lost. The secret must be kept as it is, since codes
// are made of it.
type factor struct {
	Secret   string   `json:"secret"`
	On       bool     `json:"on,omitempty"`   // a code has shown that the owner has it
	Last     int64    `json:"last,omitempty"` // step of the last code that was used
	Recovery []string `json:"recovery,omitempty"`
}

// recoveryCodes is how many codes for emergencies there are.
const recoveryCodes = 10

// Factor is the second factor of an account as it stands.
type Factor struct {
	Enrolled, On bool
	Recovery     int // codes left
}

// EnrolTOTP begins a second factor: its secret, and codes for emergencies, which
// are shown once. It holds when ConfirmTOTP has seen a code. What was there
// before is gone.
func (d *Directory) EnrolTOTP(_ context.Context, login string) (secret string, recovery []string, err error) {
	f := &factor{Secret: totp.NewSecret()}
	for range recoveryCodes {
		text := strings.ToLower(rand.Text())
		code := text[0:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:16]
		recovery = append(recovery, code)
		f.Recovery = append(f.Recovery, digest(code))
	}
	err = d.update(login, func(r *record) error {
		r.TOTP = f
		return nil
	})
	return f.Secret, recovery, err
}

// digest is what is kept of a code that nobody can guess.
func digest(code string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(strings.TrimSpace(code))))
	return hex.EncodeToString(sum[:])
}

// ConfirmTOTP has the second factor hold from now on, if the code is right.
func (d *Directory) ConfirmTOTP(ctx context.Context, login, code string) error {
	ok, err := d.useCode(ctx, login, code, true)
	if err == nil && !ok {
		err = fmt.Errorf("the code is wrong: %w", directory.ErrPassword)
	}
	return err
}

// CheckCode says whether a code is right: one of the moment, or one for
// emergencies. Each is good once, also across a restart. Without a second factor
// none is.
func (d *Directory) CheckCode(ctx context.Context, login, code string) (bool, error) {
	return d.useCode(ctx, login, code, false)
}

func (d *Directory) useCode(_ context.Context, login, code string, enrol bool) (ok bool, err error) {
	err = d.update(login, func(r *record) error {
		if r.TOTP == nil || r.TOTP.On == enrol {
			return fmt.Errorf("one-time codes: %w", directory.ErrNotFound)
		}
		f := *r.TOTP
		if step, right := totp.Check(f.Secret, code, d.o.Now(), f.Last); right {
			f.Last, f.On, ok = step, true, true
		} else if i := slices.Index(f.Recovery, digest(code)); i >= 0 && !enrol {
			f.Recovery, ok = slices.Delete(slices.Clone(f.Recovery), i, i+1), true
		}
		if !ok {
			return directory.ErrPassword // nothing to write down
		}
		r.TOTP = &f
		return nil
	})
	if errors.Is(err, directory.ErrPassword) {
		err = nil
	}
	return ok && err == nil, err
}

// RemoveTOTP takes the second factor away.
func (d *Directory) RemoveTOTP(_ context.Context, login string) error {
	return d.update(login, func(r *record) error {
		if r.TOTP == nil {
			return fmt.Errorf("one-time codes: %w", directory.ErrNotFound)
		}
		r.TOTP = nil
		return nil
	})
}

// Factor tells what second factor an account has.
func (d *Directory) Factor(_ context.Context, login string) (Factor, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	a, err := d.account(login)
	if err != nil || a.logins.TOTP == nil {
		return Factor{}, err
	}
	return Factor{Enrolled: true, On: a.logins.TOTP.On, Recovery: len(a.logins.TOTP.Recovery)}, nil
}
