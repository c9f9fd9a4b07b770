package native

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"plic/internal/directory"
	"plic/internal/sasl"
)

// logins is what an account has set of its logins, beside its password.
type logins struct {
	Also      []string       `json:"also,omitempty"` // further verifiers of the password
	Apps      []app          `json:"apps,omitempty"`
	AppOnly   bool           `json:"app_only,omitempty"`
	Protocols []string       `json:"protocols,omitempty"`
	Networks  []netip.Prefix `json:"networks,omitempty"`
	TOTP      *factor        `json:"totp,omitempty"`
	Mailboxes string         `json:"mailboxes,omitempty"` // the place of its mail
}

// app is an app password as it is kept.
type app struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Hash      string    `json:"hash"`
	SCRAM     string    `json:"scram"`
	Also      []string  `json:"also,omitempty"`
	Protocols []string  `json:"protocols,omitempty"`
	ReadOnly  bool      `json:"read_only,omitempty"`
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires,omitzero"`
}

// The bounds of what an account may have.
const (
	maxApps    = 50
	maxAppName = 64
)

// into puts the settings into what others see of an account.
func (l *logins) into(a *directory.Account) error {
	a.Secret.Also, a.AppOnly, a.Mailboxes = l.Also, l.AppOnly, l.Mailboxes
	a.Allow = directory.Allow{Protocols: l.Protocols, Networks: l.Networks}
	for _, p := range l.Apps {
		v := new(sasl.Verifier)
		if err := v.UnmarshalText([]byte(p.SCRAM)); err != nil {
			return fmt.Errorf("app password %s: %w", p.Name, err)
		}
		a.Apps = append(a.Apps, directory.AppPassword{
			ID: p.ID, Name: p.Name, Secret: directory.Secret{Hash: p.Hash, SCRAM: v, Also: p.Also},
			Protocols: p.Protocols, ReadOnly: p.ReadOnly, Created: p.Created, Expires: p.Expires,
		})
	}
	return nil
}

// salt is the one that all passwords of an account share, nil if it has none.
func (d *Directory) salt(login string) []byte {
	a, err := d.Account(context.Background(), login)
	if err != nil {
		return nil
	}
	for _, s := range append([]directory.Secret{a.Secret}, secrets(a.Apps)...) {
		if s.SCRAM != nil {
			return s.SCRAM.Salt
		}
	}
	return nil
}

func secrets(apps []directory.AppPassword) (all []directory.Secret) {
	for _, p := range apps {
		all = append(all, p.Secret)
	}
	return all
}

// AddAppPassword makes a password for one program and gives it, which cannot be
// done again. Of p the name, the scope and the end are heeded.
func (d *Directory) AddAppPassword(_ context.Context, login string, p directory.AppPassword) (id, password string, err error) {
	switch {
	case p.Name == "" || len(p.Name) > maxAppName || !utf8.ValidString(p.Name) || strings.ContainsFunc(p.Name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", "", fmt.Errorf("app password: %w: its name has 1 to %d octets that can be seen", directory.ErrInvalid, maxAppName)
	case !p.Expires.IsZero() && !p.Expires.After(d.o.Now()):
		return "", "", fmt.Errorf("app password: %w: it would have expired already", directory.ErrInvalid)
	}
	if err := checkProtocols(p.Protocols); err != nil {
		return "", "", err
	}
	text := strings.ToLower(rand.Text()) // 26 characters, 130 bits
	password = text[0:5] + "-" + text[5:10] + "-" + text[10:15] + "-" + text[15:20]
	id = text[20:26] // as random as the rest, and of no use for it
	s, err := directory.Quick(password, d.o.Cost, d.salt(login))
	if err != nil {
		return "", "", err
	}
	scram, err := s.SCRAM.MarshalText()
	if err != nil {
		return "", "", err
	}
	err = d.update(login, func(r *record) error {
		switch {
		case len(r.Apps) >= maxApps:
			return fmt.Errorf("%w: there are %d app passwords, revoke some", directory.ErrInvalid, len(r.Apps))
		case slices.ContainsFunc(r.Apps, func(o app) bool { return o.Name == p.Name }):
			return fmt.Errorf("app password %q: %w", p.Name, directory.ErrExists)
		}
		r.Apps = append(slices.Clone(r.Apps), app{
			ID: id, Name: p.Name, Hash: s.Hash, SCRAM: string(scram), Also: s.Also, Protocols: p.Protocols, ReadOnly: p.ReadOnly,
			Created: d.o.Now().UTC(), Expires: p.Expires.UTC(),
		})
		return nil
	})
	return id, password, err
}

// RemoveAppPassword takes a password of a program away, by its id or name.
func (d *Directory) RemoveAppPassword(_ context.Context, login, which string) error {
	return d.update(login, func(r *record) error {
		kept := slices.DeleteFunc(slices.Clone(r.Apps), func(p app) bool { return p.ID == which || p.Name == which })
		if len(kept) == len(r.Apps) {
			return fmt.Errorf("app password %q: %w", which, directory.ErrNotFound)
		}
		r.Apps = kept
		return nil
	})
}

// SetAllow says where the account may log in.
func (d *Directory) SetAllow(_ context.Context, login string, allow directory.Allow) error {
	if err := checkProtocols(allow.Protocols); err != nil {
		return err
	}
	return d.update(login, func(r *record) error {
		r.Protocols, r.Networks = allow.Protocols, allow.Networks
		return nil
	})
}

// SetAppOnly says whether mail programs need passwords of their own.
func (d *Directory) SetAppOnly(_ context.Context, login string, only bool) error {
	return d.update(login, func(r *record) error {
		r.AppOnly = only
		return nil
	})
}

// SetMailboxes says where the account's mail is; "" leaves it to the site.
func (d *Directory) SetMailboxes(_ context.Context, login, place string) error {
	return d.update(login, func(r *record) error {
		r.Mailboxes = place
		return nil
	})
}

// Upgrade makes a better secret of a password that was right, if the account is
// ours and has had no other since.
func (d *Directory) Upgrade(ctx context.Context, login, hash, password string) error {
	a, err := d.Account(ctx, login)
	if err != nil || a.Secret.Hash != hash {
		return nil // another source's, or changed meanwhile
	}
	secret, err := d.secret(password, d.salt(login))
	if err != nil {
		return err
	}
	return d.update(login, func(r *record) error {
		if r.Hash == hash {
			r.Hash, r.SCRAM, r.Also = secret.Hash, secret.SCRAM, secret.Also
		}
		return nil
	})
}

func checkProtocols(all []string) error {
	for _, p := range all {
		if !slices.Contains(append(directory.MailProtocols(), "web"), p) {
			return fmt.Errorf("protocol %q: %w: it may be one of %s, web", p, directory.ErrInvalid, strings.Join(directory.MailProtocols(), ", "))
		}
	}
	return nil
}

// SetHash keeps a hash that another server has made, {SCHEME} before it.
func (d *Directory) SetHash(_ context.Context, login, hash string) error {
	return d.update(login, func(r *record) error {
		if !strings.HasPrefix(hash, "{") {
			return fmt.Errorf("%w: a hash begins with {SCHEME}", directory.ErrInvalid)
		}
		r.Hash, r.SCRAM, r.Also = hash, "", nil
		return nil
	})
}
