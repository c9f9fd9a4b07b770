package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/journal"
	"plic/internal/mail"
)

// replay holds what the journal has of past mail against other settings.
type replay struct {
	config *config.Config
	engine *score.Engine
	sender *sender.Checker // nil if nobody looks
	limits *spamLimits     // of the settings, with those of accounts and domains as they are now

	waiting map[mail.ID]*past // whose sender was looked at, but not yet the rest
	sums    map[[2]string]int
	silent  int
}

// past is what became of a message, and what would have.
type past struct {
	event         journal.Event
	before, after string
	why           []string
}

// Replay implements control.Spam.
func (v verdicts) Replay(ctx context.Context, q control.SpamReplay) iter.Seq2[control.SpamReplayed, error] {
	return func(yield func(control.SpamReplayed, error) bool) {
		r, err := v.newReplay(q)
		if err != nil {
			yield(control.SpamReplayed{}, err)
			return
		}
		for e, err := range v.s.journal.Find(ctx, journal.Query{Since: q.Since}) {
			if err != nil {
				yield(control.SpamReplayed{}, err)
				return
			}
			if change := r.event(&e); change != nil && !yield(control.SpamReplayed{SpamChange: change}, nil) {
				return
			}
		}
		for _, p := range slices.SortedFunc(maps.Values(r.waiting), func(a, b *past) int { return a.event.Time.Compare(b.event.Time) }) {
			if p.before == sender.Refuse && p.after != p.before {
				p.why = append(p.why, "its score is not known: it was refused before")
			}
			if change := r.end(p, 0, 0); change != nil && !yield(control.SpamReplayed{SpamChange: change}, nil) {
				return
			}
		}
		last := control.SpamReplayed{Silent: r.silent}
		for pair, n := range r.sums {
			last.Sums = append(last.Sums, control.SpamSum{Before: pair[0], After: pair[1], Count: n})
		}
		slices.SortFunc(last.Sums, func(a, b control.SpamSum) int {
			return cmp.Or(cmp.Compare(a.Before, b.Before), cmp.Compare(a.After, b.After))
		})
		yield(last, nil)
	}
}

// newReplay makes the parts that other settings ask for. They are only there for
// their symbols and weights, and ask nobody.
func (v verdicts) newReplay(q control.SpamReplay) (*replay, error) {
	c, err := config.Parse(q.Name, q.Config)
	if err != nil {
		return nil, err
	}
	other := &site{config: c, log: v.s.log, resolver: v.s.resolver, store: v.s.store, learner: v.s.learner, people: v.s.people, directory: v.s.directory, routing: v.s.routing}
	if err := errors.Join(other.openLists(v.s.now), other.openScanners()); err != nil {
		return nil, err
	}
	limits, err := openLimits(context.Background(), v.s.store.Notes(), siteLimits(c))
	if err != nil {
		return nil, err
	}
	weights, errs := weightsOf(c)
	parts, personal := other.scorers(v.s.now)
	engine, err := score.New(score.Options{Parts: parts, Personal: personal, Weights: weights, Now: v.s.now})
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	return &replay{
		config: c, engine: engine, sender: other.checker(v.s.now), limits: limits,
		waiting: map[mail.ID]*past{}, sums: map[[2]string]int{},
	}, nil
}

// event takes an event in, and gives what would have been decided otherwise.
func (r *replay) event(e *journal.Event) *control.SpamChange {
	if e.Kind != journal.Sender && e.Kind != journal.Spam {
		return nil
	}
	if e.Action == "" { // of before there was a record to go by
		r.silent++
		return nil
	}
	addr, _ := netip.ParseAddr(e.Remote)
	excepted := mail.Within(r.config.Senders.ExceptedNetworks, addr)
	p := r.waiting[e.Message]
	if p == nil {
		p = &past{event: *e, before: sender.Accept, after: sender.Accept}
	}
	if excepted && len(p.why) == 0 {
		p.why = append(p.why, "its address is in senders.excepted_networks")
	}
	if e.Kind == journal.Sender {
		p.before = e.Action
		if r.sender != nil && !excepted {
			action, why := r.sender.Replay(e.Found)
			if p.after = action; why != "" {
				p.why = append(p.why, why)
			}
		}
		r.waiting[e.Message] = p
		return nil
	}
	delete(r.waiting, e.Message)
	ends := r.engine.Replay(e.Found, r.limits.hold)
	var all []*score.Verdict
	var changes, limits []string
	for _, x := range ends {
		all = append(all, x.Verdict)
		for _, change := range x.Changes {
			if !slices.Contains(changes, change) {
				changes = append(changes, change)
			}
		}
		l, whose := x.Verdict.Limits, "the site"
		if l != r.limits.hold("") {
			whose = x.Account
		}
		why := fmt.Sprintf("by the limits of %s; junk is from %.1f, refuse from %.1f", whose, l.Junk, l.Refuse)
		if !slices.Contains(limits, why) {
			limits = append(limits, why)
		}
	}
	after := score.Fate(all)
	switch {
	case excepted:
		after = sender.Accept
	case !r.config.Spam.Check:
		after = sender.Accept
		p.why = append(p.why, "spam.check is off")
	default:
		p.why = append(p.why, changes...)
	}
	p.before, p.after = both(p.before, e.Action), both(p.after, after)
	if len(p.why) == 0 {
		p.why = limits[:min(len(limits), 5)]
	}
	return r.end(p, ends[0].Before, ends[0].Verdict.Score)
}

// both is what becomes of a message by its sender and by its score, which may be
// several things, for several recipients.
func both(sent, scored string) string {
	switch sent {
	case sender.Accept:
		return scored
	case sender.Junk:
		words := strings.Split(scored, ", ")
		for i, word := range words {
			if action, err := score.ParseAction(word); err == nil && action < score.Junk {
				words[i] = sender.Junk
			}
		}
		return strings.Join(slices.Compact(words), ", ")
	}
	return sent
}

// end counts a message, and gives it if its end would have been another.
func (r *replay) end(p *past, before, after float64) *control.SpamChange {
	r.sums[[2]string{p.before, p.after}]++
	if p.before == p.after {
		return nil
	}
	e := &p.event
	return &control.SpamChange{
		Time: e.Time, Message: e.Message.String(), From: e.From, Remote: e.Remote, Before: p.before, After: p.after,
		ScoreBefore: before, ScoreAfter: after, Why: strings.Join(p.why, "; "),
	}
}
