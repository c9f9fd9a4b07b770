// Package cached remembers for a short while what a directory has said, so that
// look-ups stay off the hot path: also that somebody does not exist. Questions
// that are asked at the same time become one. If wanted, an old answer may
// serve while the source is down.
//
// Every kind of question has a memory of its own, by the whole of what was
// asked, so that no two questions can be taken for one another. Passwords that
// a source checks itself are never remembered here.
package cached

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"plic/internal/directory"
	"plic/internal/mail"
)

// Options say how long answers are remembered.
type Options struct {
	Name    string           // of the source, for steps
	Keep    time.Duration    // of what was found
	Missing time.Duration    // of what does not exist
	Stale   time.Duration    // how old an answer may get while the source is down; 0 for not at all
	Entries int              // of each kind of question; 20,000 if 0
	Timeout time.Duration    // of one look-up; 30 seconds if 0
	Now     func() time.Time // time.Now if nil
	// Observe is told of every question that the source itself was asked, of
	// every answer from memory ("hit") and of old ones for want of better
	// ("stale"); nil if nobody wants to know.
	Observe func(question, outcome string, took time.Duration)
}

// settled is how old an answer must be before a look-up that wants a fresh one
// asks again: what was asked just now is fresh.
const settled = time.Second

// maxLogin bounds what a stranger can have remembered; no login is longer.
const maxLogin = 512

// Directory remembers what another says; it is a directory.Directory and a
// directory.Checker.
type Directory struct {
	of       directory.Directory
	o        Options
	domains  memory[mail.Domain, directory.Domain]
	accounts memory[string, directory.Account]
	targets  memory[mail.Address, directory.Target]
}

func (o *Options) defaults() {
	if o.Entries <= 0 {
		o.Entries = 20_000
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Observe == nil {
		o.Observe = func(string, string, time.Duration) {}
	}
}

// New puts a memory before a directory.
func New(of directory.Directory, o Options) *Directory {
	o.defaults()
	d := &Directory{of: of, o: o}
	d.domains = newMemory(&d.o, "domain", of.Domain)
	d.accounts = newMemory(&d.o, "account", of.Account)
	d.targets = newMemory(&d.o, "address", of.Resolve)
	return d
}

// Domain finds a domain.
func (d *Directory) Domain(ctx context.Context, name mail.Domain) (directory.Domain, error) {
	return d.domains.get(ctx, name)
}

// Account finds an account by what a user logs in with.
func (d *Directory) Account(ctx context.Context, login string) (directory.Account, error) {
	if len(login) > maxLogin {
		return directory.Account{}, fmt.Errorf("account: %w", directory.ErrNotFound)
	}
	return d.accounts.get(ctx, login)
}

// Resolve says where an address leads.
func (d *Directory) Resolve(ctx context.Context, a mail.Address) (directory.Target, error) {
	return d.targets.get(ctx, a)
}

// Owns says whether the account may send as the address.
func (d *Directory) Owns(ctx context.Context, account string, a mail.Address) (bool, error) {
	return directory.Owns(ctx, d, account, a)
}

// errNoChecker says that a source has no way to check passwords.
var errNoChecker = errors.New("the source does not check passwords")

// Check has the source check a password, each time.
func (d *Directory) Check(ctx context.Context, login, password string) (directory.Account, error) {
	checker, ok := d.of.(directory.Checker)
	if !ok {
		return directory.Account{}, errNoChecker
	}
	started := d.o.Now()
	a, err := checker.Check(ctx, login, password)
	d.o.Observe("password", directory.Step{Err: err}.Outcome(), d.o.Now().Sub(started))
	return a, err
}

// memory is what is remembered of one kind of question.
type memory[K comparable, V any] struct {
	o        *Options
	question string
	ask      func(context.Context, K) (V, error)

	mu      *sync.Mutex
	entries map[K]entry[V]
	asked   map[K]*call[V]
}

// entry is an answer.
type entry[V any] struct {
	value V
	err   error // nil, or an ErrNotFound
	at    time.Time
}

// call is a question that is being asked.
type call[V any] struct {
	done chan struct{}
	entry[V]
}

func newMemory[K comparable, V any](o *Options, question string, ask func(context.Context, K) (V, error)) memory[K, V] {
	return memory[K, V]{o: o, question: question, ask: ask, mu: new(sync.Mutex), entries: map[K]entry[V]{}, asked: map[K]*call[V]{}}
}

// get answers from memory, or asks and waits together with all who ask the same.
func (m *memory[K, V]) get(ctx context.Context, key K) (V, error) {
	now := m.o.Now()
	m.mu.Lock()
	e, ok := m.entries[key]
	if ok && m.holds(e, now, directory.Fresh(ctx)) {
		m.mu.Unlock()
		m.o.Observe(m.question, "hit", 0)
		if directory.Told(ctx) {
			directory.Tell(ctx, directory.Step{Source: m.o.Name, Question: "cache", Answer: "answered " + now.Sub(e.at).Round(time.Millisecond).String() + " ago"})
		}
		return e.value, e.err
	}
	c := m.asked[key]
	if c == nil {
		c = &call[V]{done: make(chan struct{})}
		m.asked[key] = c
		go m.run(ctx, key, c)
	}
	m.mu.Unlock()
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		var none V
		return none, ctx.Err()
	}
}

// holds says whether an answer may be given at a time. A clock that was set
// back ends it, too.
func (m *memory[K, V]) holds(e entry[V], now time.Time, fresh bool) bool {
	keep := m.o.Keep
	if e.err != nil {
		keep = m.o.Missing
	}
	if fresh {
		keep = min(keep, settled)
	}
	age := now.Sub(e.at)
	return age >= 0 && age < keep
}

// run asks the source. Whoever asked first may go away; the answer is for all.
func (m *memory[K, V]) run(ctx context.Context, key K, c *call[V]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.o.Timeout)
	defer cancel()
	defer close(c.done)
	defer func() {
		if p := recover(); p != nil { // a look-up that fails must not end the server
			c.err = fmt.Errorf("the look-up has failed: %v", p)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.asked, key)
		m.keep(key, c)
	}()
	started := m.o.Now()
	c.value, c.err = m.ask(ctx, key)
	c.at = m.o.Now()
	m.o.Observe(m.question, directory.Step{Err: c.err}.Outcome(), c.at.Sub(started))
}

// keep remembers an answer, or in trouble gives an old one in its place. The
// caller holds the lock.
func (m *memory[K, V]) keep(key K, c *call[V]) {
	if c.err != nil && !errors.Is(c.err, directory.ErrNotFound) {
		old, ok := m.entries[key]
		if age := m.o.Now().Sub(old.at); ok && age >= 0 && age < m.o.Stale {
			m.o.Observe(m.question, "stale", 0)
			c.entry = old
		}
		return
	}
	if m.o.Keep <= 0 && m.o.Stale <= 0 {
		return
	}
	if _, there := m.entries[key]; !there && len(m.entries) >= m.o.Entries {
		for any := range m.entries {
			delete(m.entries, any)
			break
		}
	}
	m.entries[key] = c.entry
}
