// Package learn learns from what users do with their mail: what they move into Junk,
// or call so by a keyword, is spam, and what they move out of it, answer, flag or file
// is not. The words of such messages train the model of the account and, within
// bounds, that of the site; whom they came from gets a name by them. A delivery
// teaches nothing, so strangers cannot. It works behind the mailboxes: no client
// waits for it, and a crash may lose the lessons of the last minute, never mail.
//
// RFC 8457 ($Important), RFC 9051 section 2.3.2 ($Junk, $NotJunk), RFC 8601.
package learn

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/bayes"
	"plic/internal/content"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/pace"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/recall"
)

// Options are what a Learner works with. Store must be set.
type Options struct {
	Store   *store.Store
	Host    string // our name, by which we tell what we found of senders
	Minimum int    // messages of each class before a model speaks; 100 if 0
	Octets  int    // of the site's model; 16 MiB if 0
	Account int    // octets of the model of an account; 512 KiB if 0
	Models  int    // of accounts, kept in memory; 64 if 0
	Daily   int    // messages by which an account may train the site in a day; 100 if 0, none below
	Now     func() time.Time
	Log     *slog.Logger
	Parse   message.Limits
}

// Learner learns, and tells what it has learnt. Its methods may be called at the same
// time.
type Learner struct {
	o      Options
	site   *bayes.Model
	lock   sync.Mutex // of one lesson at a time
	known  *recall.Memory
	names  *recall.Memory // whom mail came from, and what users thought of it
	todo   chan lesson
	hurry  chan struct{} // somebody waits in Settle
	awaits atomic.Int32  // how many do
	models models

	mu    sync.Mutex
	day   string
	daily map[string]int // messages of accounts that trained the site on that day
}

// Open reads what was learnt.
func Open(ctx context.Context, o Options) (*Learner, error) {
	def := func(p *int, value int) {
		if *p == 0 {
			*p = value
		}
	}
	def(&o.Minimum, 100)
	def(&o.Octets, 16<<20)
	def(&o.Account, 512<<10)
	def(&o.Models, 64)
	def(&o.Daily, 100)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Learner{o: o, todo: make(chan lesson, 1000), hurry: make(chan struct{}, 1), daily: map[string]int{}}
	l.models = models{of: map[string]*kept{}}
	notes := o.Store.Notes()
	var err error
	if l.site, err = load(ctx, notes); errors.Is(err, bayes.ErrDamaged) {
		o.Log.Error("what was learnt of spam cannot be read, it is learnt anew", "error", err)
		l.site, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was learnt of spam: %w", err)
	}
	if l.site == nil {
		l.site = bayes.New(secret(), o.Octets)
	}
	year := 365 * 24 * time.Hour
	if l.known, err = recall.Open(ctx, recall.Options{Notes: notes, Prefix: "learn/known/", Max: 200000, Keep: year, Now: o.Now, Log: o.Log}); err != nil {
		return nil, err
	}
	if l.names, err = recall.Open(ctx, recall.Options{Notes: notes, Prefix: "learn/names/", Max: 200000, Keep: year, Now: o.Now, Log: o.Log}); err != nil {
		return nil, err
	}
	return l, nil
}

func secret() uint64 {
	var b [8]byte
	rand.Read(b[:]) // it never fails
	return binary.BigEndian.Uint64(b[:])
}

// Sample is a message to learn from.
type Sample struct {
	Account string // "" for the site alone
	Class   bayes.Class
	Body    mail.Body
	// ID is what tells the message from others; "" for its content.
	ID string
	// Prefix is what we have put before the message, with what we found of its sender.
	Prefix []byte
}

// ErrKnown says that a message was learnt before, of the same class.
var ErrKnown = errors.New("it was learnt before")

// Learn learns from a message. If it was learnt as the other class, that is taken
// back first.
func (l *Learner) Learn(ctx context.Context, s Sample) error {
	if s.ID == "" {
		sum := sha256.New()
		if _, err := io.Copy(sum, mail.Reader(s.Body)); err != nil {
			return fmt.Errorf("read a message to learn: %w", err)
		}
		s.ID = hex.EncodeToString(sum.Sum(nil)[:16])
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	before, again := l.before(s.Account, s.ID)
	if before.knows(s.Account) && before.class == s.Class {
		return ErrKnown
	}
	features, err := l.features(s.Body)
	if err != nil {
		return err
	}
	if s.Account != "" {
		own, err := l.models.open(ctx, l, s.Account, true)
		if err != nil {
			return err
		}
		if before.own {
			own.Unlearn(features, before.class)
		}
		own.Learn(features, s.Class)
	}
	site := s.Account == "" || before.site || l.mayTrain(s)
	if before.site {
		l.site.Unlearn(features, before.class)
	}
	if site {
		l.site.Learn(features, s.Class)
	}
	if site && !before.site && s.Account != "" {
		l.known.Change("site "+s.ID, func(r recall.Record) recall.Record { r.Good++; return r })
	}
	l.remember(s.Account, s.ID, past{class: s.Class, site: site})
	if !again || before.class != s.Class {
		l.name(s, again)
	}
	return nil
}

// past is what a message was learnt as, and which models still have it.
type past struct {
	class     bayes.Class
	own, site bool
}

// knows says that the model that an account teaches first has the message: its own, or
// that of the site for "".
func (p past) knows(account string) bool {
	if account == "" {
		return p.site
	}
	return p.own
}

func (l *Learner) before(account, id string) (past, bool) {
	r, ok := l.known.Get(account + " " + id)
	still := func(model string) bool {
		f, forgot := l.known.Get("forgot " + model)
		return ok && (!forgot || r.Last.After(f.Last))
	}
	return past{bayes.Class(min(r.Bad, 1)), account != "" && still(account), r.Good > 1 && still("")}, ok
}

func (l *Learner) remember(account, id string, p past) {
	l.known.Change(account+" "+id, func(r recall.Record) recall.Record {
		r.Good, r.Bad = 1, float32(p.class)
		if p.site {
			r.Good = 2
		}
		return r
	})
}

// sameMessage is how many accounts may train the site by one message.
const sameMessage = 3

// mayTrain says that a message of an account trains the site too: within its share of
// the day, and not what many have. It counts the message.
func (l *Learner) mayTrain(s Sample) bool {
	if r, _ := l.known.Get("site " + s.ID); r.Good >= sameMessage {
		return false
	}
	today := l.o.Now().UTC().Format(time.DateOnly)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.day != today {
		l.day = today
		clear(l.daily)
	}
	if l.daily[s.Account] >= l.o.Daily {
		return false
	}
	l.daily[s.Account]++
	return true
}

// features are those of a message on its own.
func (l *Learner) features(body mail.Body) ([]bayes.Feature, error) {
	m, err := message.Parse(io.NewSectionReader(body, 0, body.Size()), l.o.Parse)
	if err != nil {
		return nil, fmt.Errorf("read a message to learn: %w", err)
	}
	return bayes.Features(l.site.Seed(), m.Root.Header, content.Read(m, body), false), nil
}

// Status is how much a model knows.
type Status struct {
	Account   string  `json:"account,omitempty"`
	Ham       int     `json:"ham"`
	Spam      int     `json:"spam"`
	Minimum   int     `json:"minimum"` // of each, before it speaks
	Octets    int     `json:"octets"`
	Fill      float64 `json:"fill"`
	Senders   int     `json:"senders,omitempty"` // whose reputation is known
	Remembers int     `json:"remembers,omitempty"`
}

// Status says how much the site has learnt, or an account.
func (l *Learner) Status(ctx context.Context, account string) (Status, error) {
	st := Status{Account: account, Minimum: l.o.Minimum}
	m := l.site
	if account != "" {
		var err error
		if m, err = l.models.open(ctx, l, account, false); err != nil || m == nil {
			return st, err
		}
	} else {
		st.Senders, st.Remembers = l.names.Len(), l.known.Len()
	}
	st.Ham, st.Spam = m.Trained()
	st.Octets, st.Fill = m.Octets(), m.Fill()
	return st, nil
}

// Forget throws away what an account has taught its own model, or the site's. What was
// learnt before may be learnt again.
func (l *Learner) Forget(ctx context.Context, account string) error {
	l.lock.Lock()
	defer l.lock.Unlock()
	m := l.site
	if account != "" {
		var err error
		if m, err = l.models.open(ctx, l, account, false); err != nil || m == nil {
			return err
		}
	}
	m.Reset()
	l.known.Change("forgot "+account, func(r recall.Record) recall.Record { r.Good = 1; return r })
	return l.Flush(ctx)
}

// restAfter is how long the learner rests after work: so that it takes a fiftieth of
// a processor, but not for long after what was slow for another reason.
func restAfter(work time.Duration) time.Duration { return min(49*work, 5*time.Second) }

// Run learns what users do until ctx ends, and keeps what was learnt.
func (l *Learner) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case x := <-l.todo:
			if l.awaits.Load() == 0 {
				pace.Step(ctx)
			}
			began := time.Now()
			l.take(context.WithoutCancel(ctx), x) // as those that are left at the end
			l.rest(ctx, restAfter(time.Since(began)))
		case <-tick.C:
			if err := l.Flush(ctx); err != nil && ctx.Err() == nil {
				l.o.Log.Error("what was learnt is not kept yet", "error", err)
			}
		case <-ctx.Done():
			ctx := context.WithoutCancel(ctx)
			for {
				select {
				case x := <-l.todo:
					l.take(ctx, x)
				default:
					return l.Flush(ctx)
				}
			}
		}
	}
}

// rest leaves the processor to others: a user may have filed many messages. Where
// somebody waits for what is learnt there is no rest.
func (l *Learner) rest(ctx context.Context, d time.Duration) {
	if l.awaits.Load() > 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.hurry:
	case <-ctx.Done():
	}
}

func (l *Learner) take(ctx context.Context, x lesson) {
	if x.done != nil {
		close(x.done)
		return
	}
	if p, _ := l.before(x.account, x.body.String()); p.own && p.class == x.class {
		return
	}
	body, err := l.o.Store.OpenBody(ctx, x.body)
	if err == nil {
		defer body.Close()
		err = l.Learn(ctx, Sample{Account: x.account, Class: x.class, Body: body, ID: x.body.String(), Prefix: x.prefix})
	}
	if err != nil && !errors.Is(err, ErrKnown) && !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, store.ErrGone) && ctx.Err() == nil {
		l.o.Log.Error("nothing was learnt of a message", "account", x.account, "error", err)
	}
}

// Flush keeps what was learnt.
func (l *Learner) Flush(ctx context.Context) error {
	return errors.Join(save(ctx, l.o.Store.Notes(), l.site), l.models.save(ctx, l), l.known.Flush(ctx), l.names.Flush(ctx))
}
