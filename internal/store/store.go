package store

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store/engine"
)

// Options is what a Store needs and may be told; zero values are good defaults.
type Options struct {
	Engine       engine.Engine
	Now          func() time.Time
	Log          *slog.Logger
	Parse        message.Limits // how far messages are analysed
	IdleAccounts int            // accounts kept open while nobody uses them: 1000
	IndexBytes   int64          // indexes kept in memory while nobody uses them: 256 MiB
	ColumnBytes  int64          // keys to sort by, kept in memory: 64 MiB
	ParseBytes   int64          // analysed messages kept for reading their parts: 16 MiB
	MaxMailboxes int            // of one account: 10000
	Quota        Usage          // limits of an account that has none of its own: none
	// Pace is called between messages by what is done in the background, see pace.Step;
	// by default it gives the error of the context alone.
	Pace func(context.Context) error

	// Changed is told of each mailbox that messages came to or went from, once
	// that is visible. It must not wait.
	Changed func(*Mailbox)
	// Touched is told in the same way, also of flags, what a user has done there: of
	// all changes but arrivals, and what other programs did to files. It must not change
	// the change, nor keep prefixes and summaries.
	Touched      func(*Mailbox, *engine.MailboxChange)
	KeepExpunged int // UIDs that a mailbox remembers after their messages went, up to twice as many: 10000
}

// Store holds the accounts of one site. Its methods may be called at the same
// time.
type Store struct {
	o       Options
	engine  engine.Engine
	pools   pools
	site    *Account // what belongs to no account, under the ID that none has
	indexes indexes
	columns columnCache
	parsed  parsed
	early   early
	backlog backlog
	pieces  sync.Pool             // *[]byte, of arenas
	failed  atomic.Pointer[error] // the first write error: nothing more is opened

	files      engine.Files   // the engine, if it keeps mail in files
	background sync.WaitGroup // commits and syncs that nobody waits for
	ending     context.Context
	end        func()

	mu       sync.Mutex
	accounts map[string]weak.Pointer[Account] // opened, kept by who uses them
	recent   *list.List                       // of *Account: what keeps idle ones
	opening  map[string]chan struct{}         // closed when the opening or removal ends
	drafts   map[mail.ID]*Draft               // not taken yet, not discarded
	lastID   engine.AccountID                 // given to a new account
}

// New makes a store over an engine, which it closes in the end.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.IdleAccounts <= 0 {
		o.IdleAccounts = 1000
	}
	if o.IndexBytes <= 0 {
		o.IndexBytes = 256 << 20
	}
	if o.ColumnBytes <= 0 {
		o.ColumnBytes = 64 << 20
	}
	if o.ParseBytes <= 0 {
		o.ParseBytes = 16 << 20
	}
	if o.MaxMailboxes <= 0 {
		o.MaxMailboxes = 10000
	}
	if o.Pace == nil {
		o.Pace = context.Context.Err
	}
	if o.KeepExpunged <= 0 {
		o.KeepExpunged = 10000
	}
	s := &Store{
		o: o, engine: o.Engine,
		accounts: map[string]weak.Pointer[Account]{},
		recent:   list.New(),
		opening:  map[string]chan struct{}{},
		drafts:   map[mail.ID]*Draft{},
	}
	s.site = &Account{store: s, tree: &tree{}}
	s.indexes.limit = o.IndexBytes
	s.columns.limit = o.ColumnBytes
	s.parsed.limit = o.ParseBytes
	s.ending, s.end = context.WithCancel(context.Background())
	if f, ok := o.Engine.(engine.Files); ok {
		s.files = f
		f.Notify(s.filesChanged)
	}
	return s
}

// Account opens an account, which all its users share; at first use it is made,
// with INBOX, Drafts, Sent, Junk, Trash and Archive. There is nothing to close.
func (s *Store) Account(ctx context.Context, name string) (*Account, error) {
	a, err := s.account(ctx, name, s.create)
	if err != nil {
		return nil, err
	}
	if p := a.pool.Load(); p != nil && !p.whole.Load() {
		if _, err := s.poolOf(ctx, p.domain); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Existing is Account for one that has been used before; ErrNoAccount.
func (s *Store) Existing(ctx context.Context, name string) (*Account, error) {
	return s.account(ctx, name, none)
}

// none makes no account.
func none(context.Context, string) (*Account, error) { return nil, ErrNoAccount }

func (s *Store) account(ctx context.Context, name string, create func(context.Context, string) (*Account, error)) (*Account, error) {
	a, err := s.opened(ctx, name, create)
	if err == nil {
		err = a.Sync(ctx)
	}
	if err != nil && !errors.Is(err, ErrGone) { // removed meanwhile, as it may be any time
		return nil, err
	}
	return a, nil
}

// opened gives an account that is open, or opens or makes it.
func (s *Store) opened(ctx context.Context, name string, create func(context.Context, string) (*Account, error)) (*Account, error) {
	if err := checkAccountName(name); err != nil {
		return nil, err
	}
	for {
		a, done, err := s.enter(ctx, name, false)
		if a != nil || err != nil {
			return a, err
		}
		if done == nil {
			continue // another opened or removed it meanwhile
		}
		a, err = s.open(ctx, name)
		if errors.Is(err, engine.ErrNotFound) {
			a, err = create(ctx, name)
		}
		if err == nil {
			err = s.pool(ctx, a)
		}
		if err != nil {
			a = nil
		}
		s.leave(name, a, done)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
		return a, nil
	}
}

func checkAccountName(name string) error {
	if name == "" || len(name) > maxName || hasControl(name) {
		return fmt.Errorf("account name %q: %w", name, ErrNoAccount)
	}
	return nil
}

// enter gives the account if it is open, and to who opens or removes it the
// right to do so, to be handed back with leave. With neither it has waited for
// another who had that right.
func (s *Store) enter(ctx context.Context, name string, remove bool) (*Account, chan struct{}, error) {
	s.mu.Lock()
	if other := s.opening[name]; other != nil {
		s.mu.Unlock()
		select {
		case <-other:
			return nil, nil, nil
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	defer s.mu.Unlock()
	a := s.accounts[name].Value()
	if a != nil && !remove {
		s.touch(a)
		return a, nil, nil
	}
	if err := s.failed.Load(); err != nil && a == nil {
		return nil, nil, *err // the engine may show what is not durable
	}
	done := make(chan struct{})
	s.opening[name] = done
	return a, done, nil
}

func (s *Store) leave(name string, a *Account, done chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.opening, name)
	if a != nil {
		s.accounts[name] = weak.Make(a)
		s.touch(a)
	}
	close(done)
}

// touch keeps the account open, at the cost of the one not used for longest,
// which its users, if any, keep open themselves.
func (s *Store) touch(a *Account) {
	if a.idle != nil {
		s.recent.MoveToFront(a.idle)
		return
	}
	a.idle = s.recent.PushFront(a)
	if s.recent.Len() > s.o.IdleAccounts {
		last := s.recent.Back()
		last.Value.(*Account).idle = nil
		s.recent.Remove(last)
	}
}

// forget drops the map's entry of an account that the collector has taken.
func (s *Store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.accounts[name]; ok && p.Value() == nil {
		delete(s.accounts, name)
	}
}

// Accounts lists the names of all accounts, sorted.
func (s *Store) Accounts(ctx context.Context) ([]string, error) {
	var names []string
	for rec, err := range s.engine.Accounts(ctx) {
		if err != nil {
			return nil, fmt.Errorf("list accounts: %w", err)
		}
		names = append(names, rec.Name)
	}
	slices.Sort(names)
	return names, nil
}

// RemoveAccount removes an account with all its mail; who has it open gets
// ErrGone. ErrNoAccount if there is none.
func (s *Store) RemoveAccount(ctx context.Context, name string) error {
	var a *Account
	var done chan struct{}
	for done == nil {
		var err error
		if a, done, err = s.enter(ctx, name, true); err != nil {
			return err
		}
	}
	defer s.leave(name, nil, done)
	if a == nil {
		var err error
		if a, err = s.open(ctx, name); errors.Is(err, engine.ErrNotFound) {
			return fmt.Errorf("remove account %s: %w", name, ErrNoAccount)
		} else if err != nil {
			return fmt.Errorf("remove account %s: %w", name, err)
		}
	}
	if err := a.remove(); err != nil {
		return fmt.Errorf("remove account %s: %w", name, err)
	}
	s.mu.Lock()
	delete(s.accounts, name)
	if a.idle != nil {
		s.recent.Remove(a.idle)
		a.idle = nil
	}
	s.mu.Unlock()
	return nil
}

// Items gives every queue item by rising ID.
func (s *Store) Items(ctx context.Context) iter.Seq2[mail.Item, error] {
	return s.engine.Items(ctx)
}

// OpenBody reads a body that a commit has taken; engine.ErrNotFound.
func (s *Store) OpenBody(ctx context.Context, id mail.ID) (mail.Body, error) {
	b, err := s.engine.OpenBody(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("body %s: %w", id, err)
	}
	return b, nil
}

// Room says whether a message of the size can be taken now: nil,
// engine.ErrFull or engine.ErrFailed.
func (s *Store) Room(size int64) error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return s.engine.Room(size)
}

// Close closes the engine. Sessions must have ended.
func (s *Store) Close() error {
	s.end()
	s.background.Wait()
	return s.engine.Close()
}
