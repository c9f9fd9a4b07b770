// Package native is the directory that keeps its records itself: one log of
// changes, a line of JSON with a checksum each, durable before a change is
// acknowledged, and all of it in memory for looking up.
//
// Names that look the same to people, by case, width or composition, are the
// same name: accounts and aliases are kept by their case-folded NFKC form.
package native

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/vfs"
)

// Options say where the directory is.
type Options struct {
	FS  vfs.FS
	Dir string
	Now func() time.Time // time.Now if nil
	Log *slog.Logger     // nil for none

	// Postmaster gets the mail for postmaster and abuse of domains that do not
	// name their own: an account, or an address anywhere. If null or gone, it
	// is the domain's first account, or else the first of all.
	Postmaster mail.Address
	// Separator stands between user and detail; "+" if empty.
	Separator string
	// Cost is that of new secrets; directory.DefaultCost if zero.
	Cost directory.Cost
}

// Directory is an open directory; it is a directory.Directory. One process at
// a time may have it open: whoever opens it holds the data directory.
type Directory struct {
	o Options

	change sync.Mutex // one change at a time, held over the sync
	log    log

	mu    sync.RWMutex // look-ups do not wait for the disk
	state state
}

// Open reads the directory, or makes an empty one. A damaged line is set aside
// in a file of its own and the rest is loaded; Damaged tells how many.
func Open(o Options) (*Directory, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Separator == "" {
		o.Separator = "+"
	}
	if o.Cost == (directory.Cost{}) {
		o.Cost = directory.DefaultCost()
	}
	if err := vfs.MakeDir(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("directory %s: %w", o.Dir, err)
	}
	d := &Directory{o: o, log: log{fs: o.FS, dir: o.Dir, now: o.Now, report: o.Log}, state: newState()}
	if err := d.log.open(d.state.apply, func() []record { return d.state.records() }); err != nil {
		return nil, fmt.Errorf("directory %s: %w", o.Dir, err)
	}
	if d.state.secret == "" {
		if err := d.put(record{Op: opSecret, Secret: rand.Text()}); err != nil {
			d.log.close()
			return nil, err
		}
	}
	return d, nil
}

// Close closes the log. Every change is durable already.
func (d *Directory) Close() error {
	d.change.Lock()
	defer d.change.Unlock()
	return d.log.close()
}

// Secret is random and belongs to this directory for ever: what the salts of
// users who do not exist are made with.
func (d *Directory) Secret() []byte {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return []byte(d.state.secret)
}

// Damaged is how many lines could not be read when the directory was opened.
func (d *Directory) Damaged() int { return d.log.damaged }

// Domain finds a domain of ours.
func (d *Directory) Domain(_ context.Context, name mail.Domain) (directory.Domain, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.state.domains[name] == nil {
		return directory.Domain{}, fmt.Errorf("domain %s: %w", name, directory.ErrNotFound)
	}
	return directory.Domain{Name: name}, nil
}

// Account finds an account by its address, in any case.
func (d *Directory) Account(_ context.Context, login string) (directory.Account, error) {
	a, err := mail.ParseAddress(strings.TrimSpace(login))
	if err != nil {
		return directory.Account{}, fmt.Errorf("account: %w", directory.ErrNotFound)
	}
	d.mu.RLock()
	found := d.state.accounts[key(a)]
	d.mu.RUnlock()
	if found == nil {
		return directory.Account{}, fmt.Errorf("account %s: %w", a, directory.ErrNotFound)
	}
	return found.account()
}

// Resolve says where an address leads.
func (d *Directory) Resolve(_ context.Context, a mail.Address) (directory.Target, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if t, ok := d.resolve(a); ok {
		return t, nil
	}
	return directory.Target{}, fmt.Errorf("address %s: %w", a, directory.ErrNotFound)
}

func (d *Directory) resolve(a mail.Address) (directory.Target, bool) {
	if a.Domain.IsZero() { // "RCPT TO:<Postmaster>", RFC 5321 section 4.1.1.3
		if strings.EqualFold(a.Local, "postmaster") {
			return d.postmaster(a.Domain)
		}
		return directory.Target{}, false
	}
	if t, ok := d.state.target(key(a), ""); ok {
		return t, true
	}
	base, detail := a.Detail(d.o.Separator)
	if base != a {
		if t, ok := d.state.target(key(base), detail); ok {
			return t, true
		}
	}
	if t, ok := d.state.target("@"+a.Domain.String(), ""); ok {
		t.CatchAll = true
		return t, true
	}
	if role := strings.ToLower(base.Local); role == "postmaster" || role == "abuse" {
		t, ok := d.postmaster(a.Domain)
		t.Role = ok
		return t, ok
	}
	return directory.Target{}, false
}

// postmaster is who stands in for the roles that every domain has, RFC 5321
// section 4.5.1, RFC 2142.
func (d *Directory) postmaster(of mail.Domain) (directory.Target, bool) {
	domain := d.state.domains[of]
	if domain == nil && !of.IsZero() {
		return directory.Target{}, false // not ours
	}
	if p := d.o.Postmaster; !p.IsNull() {
		if t, ok := d.state.target(key(p), ""); ok {
			return t, true
		}
		if d.state.domains[p.Domain] == nil && !p.Domain.IsZero() {
			return directory.Target{Aliases: []mail.Address{p}}, true
		}
	}
	if domain != nil && domain.first != nil {
		return directory.Target{Account: domain.first.name}, true
	}
	var first *account
	for _, other := range d.state.domains {
		if f := other.first; f != nil && (first == nil || f.number < first.number) {
			first = f
		}
	}
	if first == nil {
		return directory.Target{}, false
	}
	return directory.Target{Account: first.name}, true
}

// Owns says whether the account may send as the address: mail for the address
// reaches the account, by itself, with a detail or through aliases of ours.
func (d *Directory) Owns(ctx context.Context, account string, a mail.Address) (bool, error) {
	return directory.Owns(ctx, d, account, a)
}

// key is the form that names are compared in: toNFKC_Casefold of the Unicode
// Standard, near enough, so that no two accounts can look like one.
func key(a mail.Address) string {
	for i := range len(a.Local) {
		if a.Local[i] >= 0x80 {
			a.Local = norm.NFKC.String(cases.Fold().String(norm.NFKC.String(a.Local)))
			return a.String()
		}
	}
	return a.Key()
}

// canonical is the name of an account: lower case, NFC.
func canonical(a mail.Address) mail.Address {
	a.Local = norm.NFC.String(strings.ToLower(a.Local))
	return a
}
