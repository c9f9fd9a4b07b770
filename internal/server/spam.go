package server

import (
	"context"
	"errors"
	"time"

	"plic/internal/check/score"
	"plic/internal/config"
	"plic/internal/post"
)

// newJudge makes what judges mail from strangers, nil if nothing does.
func (s *site) newJudge(now func() time.Time) (*score.Engine, error) {
	c := s.config
	weights, errs := map[string]float64{}, []error(nil)
	for _, text := range c.Spam.Weights {
		symbol, weight, err := config.ParseWeight(text)
		weights[symbol], errs = weight, append(errs, err)
	}
	e, err := score.New(score.Options{
		Parts: s.scorers(), Weights: weights, Timeout: c.Spam.Timeout, Now: now, Excepted: c.Senders.ExceptedNetworks,
		Limits: func(context.Context, string) score.Limits { return siteLimits(c) },
	})
	return e, errors.Join(append(errs, err)...)
}

// scorers are the parts that look at a message, each with the symbols that it gives.
func (s *site) scorers() []score.Part { return nil }

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
