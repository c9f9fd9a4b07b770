package server

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"plic/internal/control"
	"plic/internal/directory"
	"plic/internal/directory/chain"
	"plic/internal/mail"
	"plic/internal/store"
)

// everyone is the directory of all who are asked. What a source lets an account
// have becomes its quota, when somebody asks for the account or sends it mail.
type everyone struct {
	*chain.Directory
	store *store.Store
	log   *slog.Logger
	given sync.Map // account to the directory.Quota that it was given
}

// Account finds an account by what a user logs in with.
func (e *everyone) Account(ctx context.Context, login string) (directory.Account, error) {
	a, err := e.Directory.Account(ctx, login)
	if err == nil {
		e.give(ctx, &a)
	}
	return a, err
}

// Resolve says where an address leads.
func (e *everyone) Resolve(ctx context.Context, a mail.Address) (directory.Target, error) {
	t, err := e.Directory.Resolve(ctx, a)
	if err == nil && t.Account != "" {
		// Without an answer the quota stays as it was.
		if owner, err := e.Directory.Account(ctx, t.Account); err == nil {
			e.give(ctx, &owner)
		}
	}
	return t, err
}

// give sets the quota that a source has for an account, and takes it away when
// the source has none any more: then what was set here counts again.
func (e *everyone) give(ctx context.Context, a *directory.Account) {
	if given, ok := e.given.Load(a.Name); ok && given == a.Quota {
		return
	}
	open := e.store.Account
	if a.Quota == (directory.Quota{}) { // then there is nothing to be had without mail
		open = e.store.Existing
	}
	opened, err := open(ctx, a.Name)
	if want := (store.Usage{Bytes: a.Quota.Bytes, Messages: a.Quota.Messages}); err == nil && want != opened.Given() {
		err = opened.SetGiven(ctx, want)
	}
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		e.log.Error("the quota of an account cannot be set", "account", a.Name, "error", err)
		return
	}
	e.given.Store(a.Name, a.Quota)
}

// forget has an account that is removed given its quota again, if it comes back.
func (e *everyone) forget(account string) { e.given.Delete(account) }

// lookups counts the questions to sources.
type lookups struct {
	mu  sync.Mutex
	all map[[4]string]*lookup // by metric, source, question and outcome
}

type lookup struct {
	count uint64
	took  time.Duration
}

func newLookups() *lookups { return &lookups{all: map[[4]string]*lookup{}} }

func (l *lookups) add(metric, source, question, outcome string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := [4]string{metric, source, question, outcome}
	if l.all[key] == nil {
		l.all[key] = &lookup{}
	}
	l.all[key].count++
	l.all[key].took += took
}

// step counts a question to the chain.
func (l *lookups) step(s directory.Step) {
	l.add("lookups", s.Source, s.Question, s.Outcome(), s.Took)
}

// of counts what becomes of the questions that are remembered of one source.
func (l *lookups) of(source string) func(question, outcome string, took time.Duration) {
	return func(question, outcome string, took time.Duration) {
		l.add("queries", source, question, outcome, took)
	}
}

// metrics are the counters of now.
func (l *lookups) metrics() []control.Metric {
	l.mu.Lock()
	defer l.mu.Unlock()
	help := map[string]string{
		"lookups": "Questions to a source of accounts, by what came of them; answers from memory are among them.",
		"queries": "What became of questions to a source whose answers are remembered: hit and stale are from memory, all others were asked.",
	}
	var all []control.Metric
	for _, k := range slices.SortedFunc(maps.Keys(l.all), func(a, b [4]string) int { return strings.Compare(strings.Join(a[:], " "), strings.Join(b[:], " ")) }) {
		labels := [][2]string{{"source", k[1]}, {"question", k[2]}, {"outcome", k[3]}}
		all = append(all,
			control.Metric{Name: "plic_directory_" + k[0] + "_total", Help: help[k[0]], Counter: true, Labels: labels, Value: float64(l.all[k].count)},
			control.Metric{Name: "plic_directory_" + k[0] + "_seconds_total", Help: "How long they took together.", Counter: true, Labels: labels, Value: l.all[k].took.Seconds()})
	}
	return all
}
