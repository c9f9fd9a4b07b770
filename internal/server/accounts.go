package server

import (
	"context"
	"fmt"
	"net/netip"

	"plic/internal/control"
	"plic/internal/directory"
	"plic/internal/directory/native"
	"plic/internal/totp"
)

// entrances is control.Logins over the directory of ours.
type entrances struct {
	d    *native.Directory
	host string // as programs for one-time codes show it
	open present
}

// Login tells how an account logs in.
func (l entrances) Login(ctx context.Context, account string) (control.Login, error) {
	a, err := l.d.Account(ctx, account)
	if err != nil {
		return control.Login{}, told(err)
	}
	out := control.Login{Name: a.Name, Disabled: a.Disabled, Protocols: a.Allow.Protocols, AppOnly: a.AppOnly}
	for _, n := range a.Allow.Networks {
		out.Networks = append(out.Networks, n.String())
	}
	for _, p := range a.Apps {
		out.Apps = append(out.Apps, control.App{ID: p.ID, Name: p.Name, Protocols: p.Protocols, ReadOnly: p.ReadOnly, Created: p.Created, Expires: p.Expires})
	}
	f, err := l.d.Factor(ctx, account)
	switch {
	case f.On:
		out.Factor, out.Recovery = "on", f.Recovery
	case f.Enrolled:
		out.Factor = "enrolled"
	}
	return out, told(err)
}

// SetLogin changes it.
func (l entrances) SetLogin(ctx context.Context, s control.Login) error {
	allow := directory.Allow{Protocols: s.Protocols}
	for _, text := range s.Networks {
		n, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil {
			n, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			return fmt.Errorf("network %q: write one as 192.0.2.0/24", text)
		}
		allow.Networks = append(allow.Networks, n.Masked())
	}
	if err := l.d.SetAllow(ctx, s.Name, allow); err != nil {
		return told(err)
	}
	if err := l.d.SetAppOnly(ctx, s.Name, s.AppOnly); err != nil {
		return told(err)
	}
	err := l.d.SetDisabled(ctx, s.Name, s.Disabled)
	if a, unknown := l.d.Account(ctx, s.Name); err == nil && unknown == nil && a.Disabled {
		l.open.endOf(a.Name)
	}
	return told(err)
}

// SetHash keeps a hash of another server.
func (l entrances) SetHash(ctx context.Context, account, hash string) error {
	return told(l.d.SetHash(ctx, account, hash))
}

// AddApp makes a password for a program.
func (l entrances) AddApp(ctx context.Context, account string, p control.App) (control.App, error) {
	var err error
	p.ID, p.Password, err = l.d.AddAppPassword(ctx, account, directory.AppPassword{
		Name: p.Name, Protocols: p.Protocols, ReadOnly: p.ReadOnly, Expires: p.Expires,
	})
	return p, told(err)
}

// RemoveApp revokes it.
func (l entrances) RemoveApp(ctx context.Context, account, which string) error {
	return told(l.d.RemoveAppPassword(ctx, account, which))
}

// Enrol begins a second factor.
func (l entrances) Enrol(ctx context.Context, account string) (control.Enrolment, error) {
	secret, recovery, err := l.d.EnrolTOTP(ctx, account)
	if err != nil {
		return control.Enrolment{}, told(err)
	}
	return control.Enrolment{Secret: secret, URI: totp.URI(l.host, account, secret), Recovery: recovery}, nil
}

// Confirm has it hold.
func (l entrances) Confirm(ctx context.Context, account, code string) error {
	return told(l.d.ConfirmTOTP(ctx, account, code))
}

// TryCode uses a code up.
func (l entrances) TryCode(ctx context.Context, account, code string) (bool, error) {
	ok, err := l.d.CheckCode(ctx, account, code)
	return ok, told(err)
}

// RemoveFactor takes the second factor away.
func (l entrances) RemoveFactor(ctx context.Context, account string) error {
	return told(l.d.RemoveTOTP(ctx, account))
}
