package controltest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"plic/internal/control"
)

// Spam is what the doubles of control.Spam answer, and what they were taught.
type Spam struct {
	Lessons []control.SpamLesson
	Verdict control.SpamVerdict
	Asked   control.SpamQuestion
	Own     map[string]control.SpamLimits
	Forgot  []string
	Replays []control.SpamReplayed
	Replay  control.SpamReplay
}

// spam is control.Spam over that.
type spam struct{ s *Site }

func (x spam) Train(_ context.Context, l control.SpamLesson) (bool, error) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	known := slices.ContainsFunc(x.s.Spam.Lessons, func(o control.SpamLesson) bool { return bytes.Equal(o.Message, l.Message) && o.Spam == l.Spam })
	if !known {
		x.s.Spam.Lessons = append(x.s.Spam.Lessons, l)
	}
	return !known, nil
}

func (x spam) Learnt(_ context.Context, account string) iter.Seq2[control.SpamLearnt, error] {
	all := []control.SpamLearnt{{Spam: len(x.s.Spam.Lessons), Minimum: 100}}
	if account != "" {
		all = append(all, control.SpamLearnt{Account: account, Ham: 200, Spam: 200, Minimum: 100})
	}
	return each(&x.s.mu, &all)
}

func (x spam) Forget(_ context.Context, account string) error {
	x.s.Spam.Forgot = append(x.s.Spam.Forgot, account)
	return nil
}

func (x spam) Judge(_ context.Context, q control.SpamQuestion) (control.SpamVerdict, error) {
	x.s.Spam.Asked = q
	return x.s.Spam.Verdict, nil
}

func (x spam) Replay(_ context.Context, q control.SpamReplay) iter.Seq2[control.SpamReplayed, error] {
	x.s.mu.Lock()
	x.s.Spam.Replay = q
	x.s.mu.Unlock()
	return each(&x.s.mu, &x.s.Spam.Replays)
}

func (x spam) Limits(_ context.Context, name string) (control.SpamLimits, error) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if name != "" && !slices.Contains(x.s.accounts, name) && !slices.Contains(x.s.domains, name) {
		return control.SpamLimits{}, fmt.Errorf("%s: %w", name, control.ErrNotFound)
	}
	l := x.s.Spam.Own[name]
	l.Name = name
	return l, nil
}

func (x spam) SetLimits(_ context.Context, l control.SpamLimits) error {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if x.s.Spam.Own == nil {
		x.s.Spam.Own = map[string]control.SpamLimits{}
	}
	x.s.Spam.Own[l.Name] = l
	return nil
}

func (x spam) Symbols(context.Context) iter.Seq2[control.SpamSymbol, error] {
	all := []control.SpamSymbol{{Name: "BAYES_SPAM", Weight: 6.6, Says: "Its words are those of spam."}}
	return each(&x.s.mu, &all)
}
