// Package files keeps the mail of some accounts in files that other programs
// use at the same time. It is an engine around another: what belongs to no such
// account goes through untouched. Formats (Maildir, mbox) are behind Format; the
// one engine below has their indexes, summaries and notes as it has all others.
//
// A change is carried out on the files first, then on the index: after a crash
// between the two the next look finds what differs, and mends the index. What
// other programs do is found in the same way, see engine.Files.
package files

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Options is what an Engine needs.
type Options struct {
	Engine  engine.Engine // below; closed with this one
	Formats map[string]Format
	// Locate says where an account's mail is. An account keeps its location when
	// it has one: see ErrMoved.
	Locate func(ctx context.Context, account string) (Location, error)
	Log    *slog.Logger
	// Held is how many messages of mailboxes in files are known in memory at a
	// time, of mailboxes that nobody uses: 1,000,000.
	Held int
}

// ErrMoved says that an account's mail is in another format than the settings
// want, and not converted yet.
var ErrMoved = errors.New("the account's mail is kept in another format than the settings say")

// Engine is an engine.Engine and an engine.Files.
type Engine struct {
	engine.Engine
	o Options

	mu       sync.Mutex
	accounts map[engine.AccountID]*account
	places   map[uint64]*box // by the number that is in IDs of bodies
	native   map[engine.AccountID]bool
	order    []*box // that have them, the least used first
	changed  func(account string, m engine.MailboxID)
}

// account is an account whose mail is in files.
type account struct {
	id   engine.AccountID
	name string
	at   Place
	tree Tree

	mu       sync.Mutex // of what follows, and of tree; taken after that of a box
	boxes    map[engine.MailboxID]*box
	listed   *Listing // that the index agrees with
	attended bool
	stop     func() // of the watch, nil if there is none
}

// New makes an engine around another.
func New(o Options) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Held <= 0 {
		o.Held = 1_000_000
	}
	return &Engine{
		Engine: o.Engine, o: o,
		accounts: map[engine.AccountID]*account{}, native: map[engine.AccountID]bool{}, places: map[uint64]*box{},
		changed: func(string, engine.MailboxID) {},
	}
}

// Under is the engine below, which knows of its own records.
func (e *Engine) Under() engine.Engine { return e.Engine }

// Close ends watching and closes the engine below.
func (e *Engine) Close() error {
	e.mu.Lock()
	all := slices.Collect(maps.Values(e.accounts))
	e.mu.Unlock()
	for _, a := range all {
		a.forget()
	}
	return e.Engine.Close()
}

// forget ends the watches of an account.
func (a *account) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stop != nil {
		a.stop()
		a.stop = nil
	}
	for _, b := range a.boxes {
		b.mu.Lock()
		b.release()
		b.mu.Unlock()
	}
}

// placeNote is where an account's location is remembered, among its notes.
const placeNote = ownNotes + "place"

// Account finds an account by name, and its files if it has some.
func (e *Engine) Account(ctx context.Context, name string) (engine.Account, []engine.Mailbox, error) {
	rec, boxes, err := e.Engine.Account(ctx, name)
	if err != nil {
		return rec, boxes, err
	}
	if e.account(rec.ID) != nil {
		return rec, boxes, nil
	}
	note, err := e.Engine.Note(ctx, rec.ID, 0, placeNote)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return rec, nil, err
	}
	moved, err := e.Converted(ctx, rec.ID)
	if err != nil {
		return rec, nil, err
	}
	at, native, err := e.locate(ctx, name, moved)
	if err != nil {
		return rec, nil, err
	}
	had, _, _ := strings.Cut(string(note), ":")
	switch {
	case native && had == "":
		e.isNative(rec.ID)
		return rec, boxes, nil
	case native || had != at.Format:
		return rec, nil, fmt.Errorf("account %s, format %q: %w", name, cmp.Or(had, Native), ErrMoved)
	}
	a, err := e.bind(ctx, rec, at)
	if err != nil {
		return rec, nil, err
	}
	for i := range boxes {
		if err := e.know(a, &boxes[i]); err != nil {
			return rec, nil, err
		}
	}
	return rec, boxes, nil
}

// locate says where an account's mail is to be: where it was moved to, if it was.
func (e *Engine) locate(ctx context.Context, name, moved string) (at Place, native bool, err error) {
	l, err := e.o.Locate(ctx, name)
	if moved != "" {
		l.Text = moved
	}
	if err != nil {
		return Place{}, false, fmt.Errorf("where the mail of %s is: %w", name, err)
	}
	if l.Text == "" || l.Text == Native {
		return Place{}, true, nil
	}
	at, err = l.Resolve(name)
	if err == nil && e.o.Formats[at.Format] == nil {
		err = fmt.Errorf("mailboxes %q: no such format", l.Text)
	}
	return at, false, err
}

// bind opens an account's files.
func (e *Engine) bind(ctx context.Context, rec engine.Account, at Place) (*account, error) {
	tree, err := e.o.Formats[at.Format].Open(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("mail of %s at %s: %w", rec.Name, at.Path, err)
	}
	a := &account{id: rec.ID, name: rec.Name, at: at, tree: tree, boxes: map[engine.MailboxID]*box{}}
	e.mu.Lock()
	defer e.mu.Unlock()
	if have := e.accounts[rec.ID]; have != nil {
		return have, nil
	}
	e.accounts[rec.ID] = a
	return a, nil
}

func (e *Engine) isNative(id engine.AccountID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.native[id] = true
}

// account gives an account whose mail is in files; nil if it is native.
func (e *Engine) account(id engine.AccountID) *account {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.accounts[id]
}

// know makes a mailbox known that the index has.
func (e *Engine) know(a *account, rec *engine.Mailbox) error {
	a.mu.Lock()
	b := e.newBox(a, rec.ID)
	a.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow(rec)
	if rec.NoSelect {
		return nil
	}
	return b.reopen(rec.Name)
}

func (a *account) box(m engine.MailboxID) *box {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.boxes[m]
}

// Kept says that an account's mail is in files.
func (e *Engine) Kept(a engine.AccountID) bool { return e.account(a) != nil }

// Notify is told of what other programs change.
func (e *Engine) Notify(changed func(account string, m engine.MailboxID)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.changed = changed
}

func (e *Engine) tell(account string, m engine.MailboxID) {
	e.mu.Lock()
	changed := e.changed
	e.mu.Unlock()
	changed(account, m)
}

// OpenBody reads a body, of a file if its ID says so.
func (e *Engine) OpenBody(ctx context.Context, id mail.ID) (mail.Body, error) {
	if !engine.Elsewhere(id) {
		return e.Engine.OpenBody(ctx, id)
	}
	place, key := engine.SplitElsewhere(id)
	e.mu.Lock()
	b := e.places[place]
	e.mu.Unlock()
	if b == nil {
		return nil, fmt.Errorf("body %s: %w", id, engine.ErrNotFound)
	}
	return b.open(ctx, key)
}

// Notes gives the notes of others than this package.
func (e *Engine) Notes(ctx context.Context, a engine.AccountID, m engine.MailboxID, prefix string) iter.Seq2[engine.Note, error] {
	return func(yield func(engine.Note, error) bool) {
		for n, err := range e.Engine.Notes(ctx, a, m, prefix) {
			if err == nil && strings.HasPrefix(n.Key, ownNotes) {
				continue
			}
			if !yield(n, err) {
				return
			}
		}
	}
}

// OpenBodies reads bodies one after the other: those in a row that the engine
// below has, together.
func (e *Engine) OpenBodies(ctx context.Context, ids []mail.ID) iter.Seq2[mail.Body, error] {
	return func(yield func(mail.Body, error) bool) {
		for len(ids) > 0 {
			n := slices.IndexFunc(ids, engine.Elsewhere)
			if n == 0 {
				if !yield(e.OpenBody(ctx, ids[0])) {
					return
				}
				ids = ids[1:]
				continue
			}
			if n < 0 {
				n = len(ids)
			}
			for body, err := range e.Engine.OpenBodies(ctx, ids[:n]) {
				if !yield(body, err) {
					return
				}
			}
			ids = ids[n:]
		}
	}
}
