package controltest

import (
	"context"
	"slices"

	"plic/internal/control"
)

// logins keeps how accounts log in.
type logins struct{ *Site }

// entry finds an account's logins to work on; the caller holds mu.
func (s logins) entry(account string) (*control.Login, error) {
	if !slices.Contains(s.accounts, account) {
		return nil, s.missing("account", account)
	}
	if s.logins == nil {
		s.logins = map[string]*control.Login{}
	}
	if s.logins[account] == nil {
		s.logins[account] = &control.Login{Name: account}
	}
	return s.logins[account], nil
}

func (s logins) change(account string, change func(*control.Login) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.entry(account)
	if err != nil {
		return err
	}
	return change(l)
}

// Login gives what was set.
func (s logins) Login(_ context.Context, account string) (out control.Login, err error) {
	err = s.change(account, func(l *control.Login) error {
		out = *l
		out.Apps = slices.Clone(l.Apps)
		return nil
	})
	return out, err
}

// SetLogin sets it.
func (s logins) SetLogin(_ context.Context, to control.Login) error {
	return s.change(to.Name, func(l *control.Login) error {
		l.Disabled, l.Protocols, l.Networks, l.AppOnly = to.Disabled, to.Protocols, to.Networks, to.AppOnly
		return nil
	})
}

// SetHash keeps the hash in the place of the password.
func (s logins) SetHash(_ context.Context, account, hash string) error {
	return s.change(account, func(*control.Login) error {
		s.passwords[account] = hash
		return nil
	})
}

// AddApp makes a password that is no secret.
func (s logins) AddApp(_ context.Context, account string, p control.App) (control.App, error) {
	p.ID = "id-" + p.Name
	err := s.change(account, func(l *control.Login) error {
		l.Apps = append(l.Apps, p)
		return nil
	})
	p.Password = "made-up"
	return p, err
}

// RemoveApp takes it away.
func (s logins) RemoveApp(_ context.Context, account, which string) error {
	return s.change(account, func(l *control.Login) error {
		i := slices.IndexFunc(l.Apps, func(p control.App) bool { return p.ID == which || p.Name == which })
		if i < 0 {
			return s.missing("app password", which)
		}
		l.Apps = slices.Delete(l.Apps, i, i+1)
		return nil
	})
}

// Enrol has one secret for all.
func (s logins) Enrol(_ context.Context, account string) (control.Enrolment, error) {
	return control.Enrolment{Secret: "ABCD", URI: "otpauth://totp/x", Recovery: []string{"one", "two"}}, s.change(account, func(l *control.Login) error {
		l.Factor, l.Recovery = "enrolled", 2
		return nil
	})
}

// Confirm takes the code 123456.
func (s logins) Confirm(ctx context.Context, account, code string) error {
	ok, err := s.TryCode(ctx, account, code)
	if err != nil || !ok {
		return err
	}
	return s.change(account, func(l *control.Login) error {
		l.Factor = "on"
		return nil
	})
}

// TryCode takes the code 123456.
func (s logins) TryCode(_ context.Context, account, code string) (bool, error) {
	return code == "123456", s.change(account, func(*control.Login) error { return nil })
}

// RemoveFactor takes it away.
func (s logins) RemoveFactor(_ context.Context, account string) error {
	return s.change(account, func(l *control.Login) error {
		l.Factor, l.Recovery = "", 0
		return nil
	})
}
