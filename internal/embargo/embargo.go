// Package embargo keeps what may not leave this site: the hold rules of the
// postmaster, by which new mail waits in the queue for a word of release, and
// the addresses that are suppressed, because their hosts have said for good
// that they do not exist, or because the postmaster says so. Both are durable,
// as notes of the site.
package embargo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/mail"
	"plic/internal/queue"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// ErrNotFound says that there is no such rule or address.
var ErrNotFound = errors.New("not found")

// Notes are small durable records: store.Notes of the site.
type Notes interface {
	Get(ctx context.Context, key string) ([]byte, error)
	All(ctx context.Context, prefix string) ([]store.Note, error)
	Put(ctx context.Context, key string, value []byte) error
	Update(ctx context.Context, key string, change func(old []byte) ([]byte, error)) error
}

// The keys of our notes.
const (
	holdPrefix     = "embargo/hold/"
	suppressPrefix = "embargo/suppress/"
)

// Options are what a Book works with. Notes must be set.
type Options struct {
	Notes Notes
	Now   func() time.Time
	Log   *slog.Logger
	After int           // messages that must bounce before an address is suppressed; 0 for never
	For   time.Duration // how long it is; 30 days
}

// Book holds the rules and addresses of one site. Its methods may be called at
// any time.
type Book struct {
	o Options

	mu    sync.Mutex
	rules []Rule

	noted sketch
}

// sketch says of most addresses that nothing is noted of them, so that mail for
// them needs no look: a bit for each that something was noted of since the start,
// which some others share.
type sketch struct {
	seed maphash.Seed
	bits [1 << 15]atomic.Uint32
}

func (s *sketch) place(key string) (*atomic.Uint32, uint32) {
	h := maphash.String(s.seed, key)
	return &s.bits[h>>5%uint64(len(s.bits))], 1 << (h & 31)
}

func (s *sketch) add(key string) {
	word, bit := s.place(key)
	word.Or(bit)
}

func (s *sketch) has(key string) bool {
	word, bit := s.place(key)
	return word.Load()&bit != 0
}

// Open reads the rules, and drops addresses whose time is over.
func Open(ctx context.Context, o Options) (*Book, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.For == 0 {
		o.For = 30 * 24 * time.Hour
	}
	b := &Book{o: o, noted: sketch{seed: maphash.MakeSeed()}}
	notes, err := o.Notes.All(ctx, holdPrefix)
	if err != nil {
		return nil, fmt.Errorf("read the hold rules: %w", err)
	}
	for _, n := range notes {
		var r Rule
		if err := json.Unmarshal(n.Value, &r); err != nil {
			return nil, fmt.Errorf("hold rule %s: %w", n.Key, err)
		}
		b.rules = append(b.rules, r)
	}
	for s, err := range b.all(ctx) {
		if err == nil && !s.Until.IsZero() && !o.Now().Before(s.Until) {
			err = o.Notes.Put(ctx, suppressPrefix+s.Address.Key(), nil)
		}
		if err != nil {
			return nil, fmt.Errorf("read the suppressed addresses: %w", err)
		}
		b.noted.add(s.Address.Key())
	}
	return b, nil
}

// Rule says which new mail is held. A rule holds what all of its patterns fit.
type Rule struct {
	ID     mail.ID      `json:"id"`
	Filter queue.Filter `json:"filter"` // From, To, Host and Account count
	Why    string       `json:"why,omitempty"`
	Since  time.Time    `json:"since"`
}

// Holds says whether mail for a recipient of an item is to be held, and why.
// The item need not have other recipients.
func (b *Book) Holds(item *mail.Item, to mail.ItemRcpt) (why string, held bool) {
	b.mu.Lock()
	rules := b.rules
	b.mu.Unlock()
	if len(rules) == 0 {
		return "", false
	}
	one := *item
	one.To = []mail.ItemRcpt{to}
	for _, r := range rules {
		if r.Filter.Match(&one, b.o.Now()) {
			return r.reason(), true
		}
	}
	return "", false
}

func (r Rule) reason() string {
	if r.Why != "" {
		return r.Why
	}
	return "hold rule " + r.ID.String()
}

// Rules are the hold rules.
func (b *Book) Rules() []Rule {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.rules)
}

// AddRule makes a hold rule.
func (b *Book) AddRule(ctx context.Context, f queue.Filter, why string) (Rule, error) {
	f = queue.Filter{From: f.From, To: f.To, Host: f.Host, Account: f.Account}
	if f.From == "" && f.To == "" && f.Host == "" && f.Account == "" {
		return Rule{}, errors.New("a hold rule needs a sender, a recipient, a host or an account")
	}
	now := b.o.Now()
	r := Rule{ID: mail.NewID(now), Filter: f, Why: why, Since: now}
	text, err := json.Marshal(r)
	if err != nil {
		return Rule{}, err
	}
	if err := b.o.Notes.Put(ctx, holdPrefix+r.ID.String(), text); err != nil {
		return Rule{}, fmt.Errorf("keep the hold rule: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = append(slices.Clone(b.rules), r)
	return r, nil
}

// RemoveRule ends a hold rule and gives it; ErrNotFound.
func (b *Book) RemoveRule(ctx context.Context, id mail.ID) (Rule, error) {
	b.mu.Lock()
	i := slices.IndexFunc(b.rules, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		b.mu.Unlock()
		return Rule{}, fmt.Errorf("hold rule %s: %w", id, ErrNotFound)
	}
	r := b.rules[i]
	b.mu.Unlock()
	if err := b.o.Notes.Put(ctx, holdPrefix+id.String(), nil); err != nil {
		return Rule{}, fmt.Errorf("drop the hold rule: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules = slices.DeleteFunc(slices.Clone(b.rules), func(r Rule) bool { return r.ID == id })
	return r, nil
}

// Suppressed is an address to which nothing is sent, or one on its way there.
type Suppressed struct {
	Address mail.Address `json:"address"`
	Bounces int          `json:"bounces,omitempty"` // messages that came back in a row
	ByHand  bool         `json:"byhand,omitempty"`  // the postmaster has said so
	Why     string       `json:"why,omitempty"`     // his reason
	Last    mail.Status  `json:"last,omitzero"`     // what the host said last
	Host    string       `json:"host,omitempty"`
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"until,omitzero"` // zero is for ever
}

// counts says whether an address is suppressed at a time.
func (s *Suppressed) counts(after int, now time.Time) bool {
	return s.live(now) && (s.ByHand || after > 0 && s.Bounces >= after)
}

func (s *Suppressed) live(now time.Time) bool { return s.Until.IsZero() || now.Before(s.Until) }

// all gives every address that is noted.
func (b *Book) all(ctx context.Context) iter.Seq2[Suppressed, error] {
	return func(yield func(Suppressed, error) bool) {
		notes, err := b.o.Notes.All(ctx, suppressPrefix)
		if err != nil {
			yield(Suppressed{}, err)
			return
		}
		for _, n := range notes {
			var s Suppressed
			err := json.Unmarshal(n.Value, &s)
			if err != nil {
				err = fmt.Errorf("note %s: %w", n.Key, err)
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// Suppressed gives the addresses that are suppressed now.
func (b *Book) Suppressed(ctx context.Context) iter.Seq2[Suppressed, error] {
	return func(yield func(Suppressed, error) bool) {
		for s, err := range b.all(ctx) {
			if (err != nil || s.counts(b.o.After, b.o.Now())) && !yield(s, err) {
				return
			}
		}
	}
}

// Refuses gives the reply that mail for an address gets because nothing is
// sent there; false if it may go. Trouble lets it go.
func (b *Book) Refuses(ctx context.Context, to mail.Address) (mail.Status, bool) {
	key := to.Key()
	if !b.noted.has(key) {
		return mail.Status{}, false
	}
	text, err := b.o.Notes.Get(ctx, suppressPrefix+key)
	var s Suppressed
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return mail.Status{}, false
	case err != nil:
		b.o.Log.Error("a suppressed address cannot be read", "address", to, "error", err)
		return mail.Status{}, false
	case !s.counts(b.o.After, b.o.Now()):
		return mail.Status{}, false
	}
	return s.reply(), true
}

func (s *Suppressed) reply() mail.Status {
	until := ""
	if !s.Until.IsZero() {
		until = " until " + s.Until.UTC().Format(time.DateOnly)
	}
	switch {
	case s.ByHand && s.Why != "":
		return mail.Reply(550, "5.7.1", fmt.Sprintf("the postmaster of this site lets nothing go to this address%s: %s", until, s.Why))
	case s.ByHand:
		return mail.Reply(550, "5.7.1", "the postmaster of this site lets nothing go to this address"+until)
	}
	return mail.Reply(550, "5.1.1", fmt.Sprintf("the last %d messages to this address came back as undeliverable, so that nothing is sent there%s; %s said: %s",
		s.Bounces, until, s.Host, s.Last))
}

// Suppress keeps anything from being sent to an address, for a time or, if that
// is 0, for ever.
func (b *Book) Suppress(ctx context.Context, to mail.Address, d time.Duration, why string) (s Suppressed, err error) {
	err = b.update(ctx, to, func(old *Suppressed, now time.Time) {
		old.ByHand, old.Why, old.Since, old.Until = true, why, now, time.Time{}
		if d > 0 {
			old.Until = now.Add(d)
		}
		s = *old
	})
	return s, err
}

// Release lets mail go to an address again, and forgets its bounces;
// ErrNotFound.
func (b *Book) Release(ctx context.Context, to mail.Address) error {
	key := suppressPrefix + to.Key()
	if _, err := b.o.Notes.Get(ctx, key); errors.Is(err, engine.ErrNotFound) {
		return fmt.Errorf("suppressed address %s: %w", to, ErrNotFound)
	}
	return b.o.Notes.Put(ctx, key, nil)
}

// Gone notes that a message for a recipient has come back because there is no
// such mailbox.
func (b *Book) Gone(ctx context.Context, to mail.ItemRcpt) {
	if b.o.After <= 0 {
		return
	}
	err := b.update(ctx, to.Address, func(s *Suppressed, now time.Time) {
		s.Bounces++
		s.Last, s.Host = to.Last, to.Host
		if !s.ByHand {
			s.Until = now.Add(b.o.For)
		}
	})
	if err != nil {
		b.o.Log.Error("a bounce was not noted", "address", to.Address, "error", err)
	}
}

// update changes what is noted of an address; what was noted long ago is
// forgotten.
func (b *Book) update(ctx context.Context, to mail.Address, change func(*Suppressed, time.Time)) error {
	now, key := b.o.Now(), to.Key()
	b.noted.add(key) // before, so that nobody misses it
	return b.o.Notes.Update(ctx, suppressPrefix+key, func(old []byte) ([]byte, error) {
		var s Suppressed
		if old != nil && json.Unmarshal(old, &s) != nil || !s.live(now) {
			s = Suppressed{}
		}
		if s.Since.IsZero() {
			s.Address, s.Since = to, now
		}
		change(&s, now)
		return json.Marshal(s)
	})
}
