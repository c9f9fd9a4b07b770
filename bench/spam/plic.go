package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"plic/internal/bayes"
	"plic/internal/check/score"
	"plic/internal/check/signs"
	"plic/internal/learn"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store"
	"plic/internal/store/memory"
)

// plic is our own filter, as a site has it that asks nobody else.
type plic struct {
	store   *store.Store
	learner *learn.Learner
	engine  *score.Engine
	now     time.Time
	taught  bool
}

func newPlic(ctx context.Context, taught bool) (*plic, error) {
	p := &plic{store: store.New(store.Options{Engine: memory.New(time.Now)}), taught: taught}
	var err error
	if p.learner, err = learn.Open(ctx, learn.Options{Store: p.store, Host: "mx.here.test"}); err != nil {
		return nil, err
	}
	p.engine, err = score.New(score.Options{
		Parts:  []score.Part{signs.New(signs.Options{Host: "mx.here.test", Now: func() time.Time { return p.now }}), p.learner.Words()},
		Limits: func(context.Context, string) score.Limits { return score.Limits{Junk: 6} },
	})
	return p, err
}

func (p *plic) name() string {
	if p.taught {
		return "plic"
	}
	return "plic, untaught"
}

func (p *plic) learn(ctx context.Context, all []*letter) error {
	if !p.taught {
		return nil
	}
	for _, l := range all {
		class := bayes.Ham
		if l.spam {
			class = bayes.Spam
		}
		if err := p.learner.Learn(ctx, learn.Sample{Class: class, Body: mail.Bytes(l.text)}); err != nil && !errors.Is(err, learn.ErrKnown) {
			return err
		}
	}
	return nil
}

func (p *plic) judge(ctx context.Context, all []*letter) (out []verdict, err error) {
	for _, l := range all {
		m, err := message.Parse(bytes.NewReader(l.text), message.Limits{})
		if err != nil {
			return nil, err
		}
		p.now = l.at
		sm := score.NewMessage(&l.env, m, mail.Bytes(l.text))
		sm.Found(nil)
		v := p.engine.Judge(ctx, sm)
		out = append(out, verdict{v.Score, strings.TrimPrefix(v.Summary(), v.Action.String()+", ")})
	}
	return out, nil
}

func (p *plic) limit() float64 { return 6 }
func (p *plic) close()         { p.store.Close() }
