package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"plic/internal/check/greylist"
	"plic/internal/check/lists"
	"plic/internal/check/scan"
	"plic/internal/check/score"
	"plic/internal/check/signs"
	"plic/internal/config"
	"plic/internal/content"
	"plic/internal/learn"
	"plic/internal/lookalike"
	"plic/internal/mail"
	"plic/internal/pace"
	"plic/internal/post"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/recall"
)

// newJudge makes what judges mail from strangers, nil if nothing does.
func (s *site) newJudge(now func() time.Time) (*score.Engine, error) {
	c := s.config
	weights, errs := weightsOf(c)
	var err error
	if s.limits, err = openLimits(context.Background(), s.store.Notes(), siteLimits(c)); err != nil {
		return nil, err
	}
	s.now = now
	parts, personal := s.scorers(now)
	greylister, err := s.greylist(now)
	if err != nil {
		return nil, err
	}
	e, err := score.New(score.Options{
		Parts: parts, Personal: personal, Greylister: greylister,
		Weights: weights, Timeout: c.Spam.Timeout, Now: now, Excepted: c.Senders.ExceptedNetworks,
		Limits: func(_ context.Context, account string) score.Limits { return s.limits.hold(account) },
	})
	return e, errors.Join(append(errs, err)...)
}

// weightsOf are the weights that differ from those of the symbols.
func weightsOf(c *config.Config) (map[string]float64, []error) {
	weights, errs := map[string]float64{}, []error(nil)
	for _, text := range c.Spam.Weights {
		symbol, weight, err := config.ParseWeight(text)
		weights[symbol], errs = weight, append(errs, err)
	}
	return weights, errs
}

// scorers are the parts that look at a message, each with the symbols that it gives.
func (s *site) scorers(now func() time.Time) ([]score.Part, []score.Personal) {
	parts := []score.Part{
		signs.New(signs.Options{Host: s.config.Hostname.String(), Ours: s.local, Domains: s.twins(now), Now: now}),
		s.lists,
	}
	parts = append(parts, s.scanners...)
	if !s.config.Spam.Learn {
		return parts, nil
	}
	return append(parts, s.learner.Words(), s.learner.Names()), []score.Personal{s.learner.Words(), s.learner.Written()}
}

// openScanners makes what asks the scanners beside us.
func (s *site) openScanners() error {
	var errs []error
	for _, text := range s.config.Spam.Scanners {
		one, err := scan.Parse(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("spam.scanners: %w", err))
			continue
		}
		s.viruses = s.viruses || one.Kind == "clamav"
		s.scanners = append(s.scanners, scan.New(one, scan.Options{Host: s.config.Hostname.String()}))
	}
	return errors.Join(errs...)
}

// openLists makes what asks the lists by DNS.
func (s *site) openLists(now func() time.Time) error {
	o := lists.Options{Resolver: s.resolver, Timeout: min(s.config.Spam.Timeout, 5*time.Second), Now: now, Ours: s.local}
	var errs []error
	for _, text := range s.config.Spam.Lists {
		l, err := lists.Parse(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("spam.lists: %w", err))
		}
		o.Lists = append(o.Lists, l)
	}
	s.lists = lists.New(o)
	return errors.Join(errs...)
}

// listed says why a client is turned away at the door, "" if it is not.
func (s *site) listed(ctx context.Context, o *mail.Origin) string {
	addr := o.Remote.Addr().Unmap().WithZone("")
	if !s.config.Spam.Check || mail.Within(s.config.Senders.ExceptedNetworks, addr) {
		return ""
	}
	return s.lists.Refused(ctx, addr)
}

// greylist makes what puts strangers off.
func (s *site) greylist(now func() time.Time) (score.Greylister, error) {
	var err error
	if s.waited, err = recall.Open(context.Background(), recall.Options{Notes: s.store.Notes(), Prefix: "greylist/", Keep: 36 * 24 * time.Hour, Now: now, Log: s.log}); err != nil {
		return nil, err
	}
	o := greylist.Options{Memory: s.waited, Delay: s.config.Spam.GreylistDelay, Now: now}
	if s.config.Spam.Learn {
		o.Known = s.learner.Known
	}
	return greylist.New(o), nil
}

// openLearner reads what was learnt of spam.
func (s *site) openLearner(ctx context.Context, now func() time.Time) (err error) {
	c := s.config
	s.learner, err = learn.Open(ctx, learn.Options{
		Store: s.store, Host: c.Hostname.String(), Minimum: c.Spam.LearnMinimum, Daily: int(orNone(int64(c.Spam.LearnDaily))), Now: now, Log: s.log,
	})
	return err
}

// touched tells the learner what users do.
func (s *site) touched(m *store.Mailbox, c *engine.MailboxChange) {
	if s.learner != nil && s.config.Spam.Learn {
		s.learner.Touched(m, c)
	}
}

// wrote is who remembers whom our users write to, nil if nobody does.
func (s *site) wrote() func(string, []mail.Recipient) {
	if !s.config.Spam.Learn {
		return nil
	}
	return s.learner.Wrote
}

// remember keeps what was learnt of mail and of who sends it until ctx ends.
func (s *site) remember(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error { return s.learner.Run(pace.With(ctx, s.pace.Lane().Step)) })
	g.Go(func() error { return s.waited.Run(ctx) })
	return g.Wait()
}

// twins gives the names that others may be made to look like: those of our domains,
// gathered anew once a minute.
func (s *site) twins(now func() time.Time) func() *lookalike.Set {
	var mu sync.Mutex
	var set *lookalike.Set
	var at time.Time
	return func() *lookalike.Set {
		mu.Lock()
		defer mu.Unlock()
		if set != nil && now().Sub(at).Abs() < time.Minute {
			return set
		}
		names := []string{content.Registered(s.config.Hostname.String())}
		for _, d := range s.domains() {
			names = append(names, content.Registered(d.Name.String()))
		}
		set, at = lookalike.NewSet(names), now()
		return set
	}
}

// judge is who says what becomes of mail, nil if nobody does.
func (s *site) judge() post.Judge {
	if s.spam == nil || !s.config.Spam.Check {
		return nil
	}
	return s.spam
}

// siteLimits are those of whoever has none of their own.
func siteLimits(c *config.Config) score.Limits {
	s := c.Spam
	return score.Limits{Tag: s.Tag, Greylist: s.Greylist, Junk: s.Junk, Quarantine: s.Quarantine, Refuse: s.Refuse, Subject: s.Subject}
}
