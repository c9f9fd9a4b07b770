package server

import (
	"context"
	"errors"
	"iter"

	"plic/internal/bayes"
	"plic/internal/control"
	"plic/internal/learn"
	"plic/internal/mail"
)

// verdicts is control.Spam over what judges mail.
type verdicts struct{ s *site }

// Train learns a message.
func (v verdicts) Train(ctx context.Context, l control.SpamLesson) (bool, error) {
	class := bayes.Ham
	if l.Spam {
		class = bayes.Spam
	}
	if l.Account != "" {
		if _, err := v.s.store.Existing(ctx, l.Account); err != nil {
			return false, told(err)
		}
	}
	err := v.s.learner.Learn(ctx, learn.Sample{Account: l.Account, Class: class, Body: mail.Bytes(l.Message)})
	if errors.Is(err, learn.ErrKnown) {
		return false, nil
	}
	return err == nil, err
}

// Learnt says how much is known.
func (v verdicts) Learnt(ctx context.Context, account string) iter.Seq2[control.SpamLearnt, error] {
	return func(yield func(control.SpamLearnt, error) bool) {
		names := []string{""}
		if account != "" {
			names = append(names, account)
		}
		for _, name := range names {
			st, err := v.s.learner.Status(ctx, name)
			out := control.SpamLearnt{Account: st.Account, Ham: st.Ham, Spam: st.Spam, Minimum: st.Minimum, Octets: st.Octets, Fill: st.Fill, Senders: st.Senders}
			if name == "" {
				out.Waiting = v.s.waited.Len()
			}
			if !yield(out, told(err)) || err != nil {
				return
			}
		}
	}
}

// Forget throws away what was taught.
func (v verdicts) Forget(ctx context.Context, account string) error {
	return told(v.s.learner.Forget(ctx, account))
}

// Limits are those that hold; for a name also which are its own.
func (v verdicts) Limits(_ context.Context, name string) (control.SpamLimits, error) {
	if name == "" {
		at := v.s.limits.hold("")
		return control.SpamLimits{Tag: &at.Tag, Greylist: &at.Greylist, Junk: &at.Junk, Quarantine: &at.Quarantine, Refuse: &at.Refuse, Subject: &at.Subject}, nil
	}
	name, err := v.s.named(name)
	if err != nil {
		return control.SpamLimits{}, err
	}
	own := v.s.limits.own(name)
	own.Name = name
	return own, nil
}

// SetLimits sets those of an account or a domain.
func (v verdicts) SetLimits(ctx context.Context, l control.SpamLimits) error {
	name, err := v.s.named(l.Name)
	if err != nil {
		return err
	}
	l.Name = name
	return v.s.limits.set(ctx, l)
}

// Symbols are all that may be found.
func (v verdicts) Symbols(context.Context) iter.Seq2[control.SpamSymbol, error] {
	var all []control.SpamSymbol
	for _, s := range v.s.spam.Symbols() {
		all = append(all, control.SpamSymbol{Name: s.Name, Weight: s.Weight, Says: s.Says})
	}
	return sequence(all, nil)
}
