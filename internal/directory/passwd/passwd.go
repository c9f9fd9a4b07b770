// Package passwd finds accounts in files: a passwd-file as Dovecot has it, with
// extra fields at the end of its lines, or the users of this system in
// /etc/passwd, /etc/group and /etc/shadow, whose passwords a helper may check.
// Files are read again when they change.
package passwd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"plic/internal/directory"
	"plic/internal/directory/source"
	"plic/internal/mail"
	"plic/internal/table"
	"plic/internal/vfs"
)

// Options say which file it is.
type Options struct {
	FS   vfs.FS
	Path string
	Now  func() time.Time // time.Now if nil
	Log  *slog.Logger     // nil for none
	// Form says how fields are read; its domain is that of users without one.
	Form source.Form
	// Domains are ours beside those of the users; users without a domain are
	// in each of them.
	Domains   []mail.Domain
	Separator string // between user and detail
}

// users are the accounts of a file by their names.
type users struct {
	accounts map[string]directory.Account
	domains  map[mail.Domain]bool
}

// maxLine bounds a line, which no user's comes near.
const maxLine = 64 << 10

// lines gives the lines of a file with colons, without comments.
func lines(text []byte, do func(fields []string) error) error {
	n := 0
	var errs []error
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		err := errors.New("it is too long")
		if len(line) <= maxLine {
			err = do(strings.SplitN(line, ":", 8))
		}
		if err != nil {
			if errs = append(errs, fmt.Errorf("line %d: %w", n, err)); len(errs) == 10 {
				break
			}
		}
	}
	return errors.Join(errs...)
}

// parse reads a passwd-file: user, password, uid, gid, gecos, home, shell, and
// extra fields "name=value" with spaces between, perhaps "userdb_name". A line
// that makes no sense is a fault of the file: its user would be gone else. Of
// two lines for one user the first counts.
func (o *Options) parse(text []byte) (*users, error) {
	u := &users{map[string]directory.Account{}, map[mail.Domain]bool{}}
	err := lines(text, func(parts []string) error {
		f := source.Fields{}
		for i, name := range []string{"user", "password", "uid", "gid", "", "home", ""} {
			if i < len(parts) && name != "" {
				f[name] = parts[i]
			}
		}
		if len(parts) == 8 {
			for word := range strings.FieldsSeq(parts[7]) {
				name, value, _ := strings.Cut(word, "=")
				f[strings.TrimPrefix(strings.ToLower(name), "userdb_")] = value
			}
		}
		f["user"] = parts[0] // whatever the extra fields say
		a, err := o.Form.Account(f)
		if err != nil {
			return err
		}
		if _, there := u.accounts[a.Name]; !there {
			u.accounts[a.Name] = a
		}
		return nil
	})
	for name := range u.accounts {
		u.domains[mail.MustAddress(name).Domain] = true
	}
	return u, err
}

// records are source.Records by a file.
type records struct {
	o     Options
	users func() *users
}

// Open makes a directory of a passwd-file.
func Open(o Options) (*source.Directory, error) {
	f, err := table.OpenFile(table.Options{FS: o.FS, Now: o.Now, Log: o.Log}, o.Path, o.parse)
	if err != nil {
		return nil, err
	}
	return source.New(&records{o, f.Content}, o.Separator), nil
}

// Domain says whether a domain is one of the file's, or of the settings.
func (r *records) Domain(_ context.Context, d mail.Domain) (bool, error) {
	return r.users().domains[d] || r.everyone(d), nil
}

// everyone says whether users without a domain are in one.
func (r *records) everyone(d mail.Domain) bool {
	return d == r.o.Form.Domain || slices.Contains(r.o.Domains, d)
}

// Account finds an account by its login.
func (r *records) Account(_ context.Context, login string) (directory.Account, error) {
	a, err := mail.ParseAddress(login)
	if err != nil {
		a = mail.Address{Local: login, Domain: r.o.Form.Domain}
	}
	return r.find(a)
}

// find finds an account by an address, in whichever domain of users without one.
func (r *records) find(a mail.Address) (directory.Account, error) {
	accounts := r.users().accounts
	found, ok := accounts[a.String()]
	if !ok && r.everyone(a.Domain) {
		found, ok = accounts[mail.Address{Local: a.Local, Domain: r.o.Form.Domain}.String()]
	}
	if !ok {
		return found, fmt.Errorf("%s: %w", a, directory.ErrNotFound)
	}
	return found, nil
}

// Mailbox is the account of an address.
func (r *records) Mailbox(_ context.Context, a mail.Address) (string, error) {
	found, err := r.find(a)
	return found.Name, err
}

// Aliases are none: such files have no place for them.
func (r *records) Aliases(context.Context, mail.Address) ([]string, error) { return nil, nil }
