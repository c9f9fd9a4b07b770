package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"

	"plic/internal/bayes"
	"plic/internal/check/score"
	"plic/internal/content"
	"plic/internal/control"
	"plic/internal/learn"
	"plic/internal/mail"
	"plic/internal/message"
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

// Judge says what the score of a message would be.
func (v verdicts) Judge(ctx context.Context, q control.SpamQuestion) (out control.SpamVerdict, err error) {
	env, err := envelopeOf(q)
	if err != nil {
		return out, err
	}
	parsed, err := message.Parse(bytes.NewReader(q.Message), message.Limits{})
	if err != nil {
		return out, err
	}
	m := score.NewMessage(env, parsed, mail.Bytes(q.Message))
	if x := v.s.examiner(v.s.now); q.IP != "" && x != nil && x.Wants(env) {
		found, err := x.Check(ctx, env, parsed, mail.Bytes(q.Message))
		if err != nil {
			return out, err
		}
		m.Found(found)
	} else {
		m.Found(nil)
	}
	site := v.s.spam.Judge(ctx, m)
	if q.Account != "" {
		site = v.s.spam.JudgeFor(ctx, site, q.Account)
	}
	says := map[string]string{}
	for _, s := range v.s.spam.Symbols() {
		says[s.Name] = s.Says
	}
	out = control.SpamVerdict{Action: site.Action.String(), Score: site.Score, Junk: site.Limits.Junk, Reason: site.Reason}
	for _, h := range site.Hits {
		out.Hits = append(out.Hits, control.SpamHit{Symbol: h.Symbol, Score: h.Score, Says: says[h.Symbol], Detail: h.Detail})
	}
	for _, c := range site.Costs {
		out.Costs = append(out.Costs, control.SpamCost{Part: c.Part, Millis: float64(c.Took.Microseconds()) / 1000, Trouble: c.Trouble})
	}
	chance, clues, err := v.s.learner.Explain(ctx, q.Account, parsed, content.Read(parsed, bytes.NewReader(q.Message)))
	out.Chance = chance
	for _, c := range clues {
		out.Words = append(out.Words, control.SpamWord{Word: c.Text, Chance: c.Chance, Ham: c.Ham, Spam: c.Spam})
	}
	return out, told(err)
}

// envelopeOf is how a message is said to have come.
func envelopeOf(q control.SpamQuestion) (*mail.Envelope, error) {
	env := &mail.Envelope{Origin: mail.Origin{Service: "smtp", Name: q.Name, Helo: q.Helo}}
	if q.IP != "" {
		addr, err := netip.ParseAddr(q.IP)
		if err != nil {
			return nil, fmt.Errorf("%q is no IP address", q.IP)
		}
		env.Origin.Remote = netip.AddrPortFrom(addr, 25)
	}
	if q.From != "" && q.From != "<>" {
		from, err := mail.ParseAddress(q.From)
		if err != nil {
			return nil, err
		}
		env.From = from
	}
	for _, text := range q.To {
		to, err := mail.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		env.To = append(env.To, mail.Recipient{Address: to})
	}
	return env, nil
}
