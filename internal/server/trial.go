package server

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"

	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/content"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/post"
)

// Judge asks all that is asked of a message of a stranger, and says what would become
// of it. Nothing is learnt by it, counted, or remembered.
func (v verdicts) Judge(ctx context.Context, q control.SpamQuestion) (out control.SpamVerdict, err error) {
	env, err := envelopeOf(q)
	if err != nil {
		return out, err
	}
	if q.IP != "" && q.Name == "" {
		env.Origin.Name = v.s.reverse(ctx, env.Origin.Remote.Addr())
	}
	body := mail.Bytes(q.Message)
	parsed, err := message.Parse(bytes.NewReader(q.Message), message.Limits{})
	if err != nil {
		return out, err
	}
	m := score.NewMessage(env, parsed, body)
	var found *sender.Findings
	if x := v.s.checker(v.s.now); q.IP != "" && x != nil && x.Wants(env) {
		if found, err = x.Check(ctx, env, parsed, body); err != nil {
			return out, err
		}
		for _, f := range found.Findings() {
			out.Sender = append(out.Sender, control.SenderCheck{Method: f.Method, Subject: f.Subject, Result: f.Result, Reason: f.Reason, Millis: millis(f.Took)})
		}
	}
	m.Found(found)
	site := v.s.spam.Judge(ctx, m)
	shown := site
	if q.Account != "" {
		shown = v.s.spam.JudgeFor(ctx, site, q.Account)
	}
	v.tell(&out, shown)
	if q.IP != "" {
		out.Ends = v.ends(ctx, q, &trial{env: env, found: found, site: site})
	}
	chance, clues, err := v.s.learner.Explain(ctx, q.Account, parsed, content.Read(parsed, bytes.NewReader(q.Message)))
	out.Chance = chance
	for _, c := range clues {
		out.Words = append(out.Words, control.SpamWord{Word: c.Text, Chance: c.Chance, Ham: c.Ham, Spam: c.Spam})
	}
	return out, told(err)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// tell writes down a verdict.
func (v verdicts) tell(out *control.SpamVerdict, from *score.Verdict) {
	says := map[string]string{}
	for _, s := range v.s.spam.Symbols() {
		says[s.Name] = s.Says
	}
	out.Action, out.Score, out.Junk, out.Reason = from.Action.String(), from.Score, from.Limits.Junk, from.Reason
	for _, h := range from.Hits {
		out.Hits = append(out.Hits, control.SpamHit{Symbol: h.Symbol, Score: h.Score, Says: says[h.Symbol], Detail: h.Detail})
	}
	for _, c := range from.Costs {
		out.Costs = append(out.Costs, control.SpamCost{Part: c.Part, Millis: millis(c.Took), Trouble: c.Trouble})
	}
}

// trial is a message that might come, with what was found of it.
type trial struct {
	env   *mail.Envelope
	found *sender.Findings
	site  *score.Verdict
	all   []*score.Verdict // of each end
}

// end is where a message goes for a recipient.
type end struct {
	to      string
	where   string // in words
	refused string
	verdict *score.Verdict
}

// ends says what would become of a message: for each recipient, or if none is named,
// for anybody.
func (v verdicts) ends(ctx context.Context, q control.SpamQuestion, t *trial) []control.SpamEnd {
	var list []end
	for _, to := range q.To {
		list = append(list, v.way(ctx, q, t, to)...)
	}
	if len(q.To) == 0 {
		list = []end{{verdict: t.site, where: "an inbox"}}
		if q.Account != "" {
			list[0] = end{verdict: v.s.spam.JudgeFor(ctx, t.site, q.Account), where: "the inbox of " + q.Account}
		}
	}
	for _, e := range list {
		if e.verdict != nil {
			t.all = append(t.all, e.verdict)
		}
	}
	var out []control.SpamEnd
	for _, e := range list {
		out = append(out, v.end(ctx, t, e))
	}
	return out
}

// way asks where mail for a recipient goes.
func (v verdicts) way(ctx context.Context, q control.SpamQuestion, t *trial, to string) (list []end) {
	way, err := ways(v).Explain(ctx, control.RouteQuery{From: q.From, To: to})
	if err != nil {
		return []end{{to: to, refused: err.Error()}}
	}
	if way.Refused != "" {
		return []end{{to: to, refused: way.Refused}}
	}
	for _, d := range way.Destinations {
		e := end{to: to, verdict: t.site, where: d.Address + " at another host"}
		switch {
		case d.Discard:
			e.where = "nobody, as a table wants it"
		case d.Account != "":
			e.verdict, e.where = v.s.spam.JudgeFor(ctx, t.site, d.Account), "the inbox of "+d.Account
		case d.Hold:
			e.where = "the queue, where it is held"
		}
		if d.Hop != nil && d.Hop.Kind == mail.HopRemote && !d.Discard && d.Address != to {
			v.sentOn(ctx, q, t, to, &e)
		}
		list = append(list, e)
	}
	return list
}

// sentOn says how a message goes on to another host, by the DMARC policy of its
// author's domain.
func (v verdicts) sentOn(ctx context.Context, q control.SpamQuestion, t *trial, by string, e *end) {
	x := v.s.checker(v.s.now)
	if t.found == nil || x == nil {
		return
	}
	ok, why, err := x.Survives(ctx, t.found, mail.Bytes(q.Message))
	switch how := onwards(v.s.config); {
	case err != nil || why == "":
	case ok || how == post.KeepAuthor:
		e.where += ", as it is: " + why
	case how == post.RefuseOnward:
		e.refused = "550 5.7.1 it is not sent on: " + why
	default:
		e.where += ", in the name of " + by + ": " + why
	}
}

// end says what would become of a message, in the order in which it is asked.
func (v verdicts) end(ctx context.Context, t *trial, e end) control.SpamEnd {
	out := control.SpamEnd{To: e.to, Action: score.Refuse.String()}
	if e.verdict != nil {
		out.Score = e.verdict.Score
	}
	refusal := func(f *mail.Failure) {
		if out.Says = f.Status.String(); f.Status.Temporary() {
			out.Action = score.Defer.String()
		}
	}
	if why := v.s.listed(ctx, &t.env.Origin); why != "" {
		out.Says = "at the door: " + why
		return out
	}
	if e.refused != "" {
		out.Says = e.refused
		return out
	}
	if t.found != nil && t.found.Refuse != nil {
		refusal(t.found.Refuse)
		return out
	}
	junk, action := "", score.Accept
	if t.found != nil {
		junk = t.found.Junk
	}
	if v.s.judge() != nil && v.s.spam.Wants(t.env) {
		refused, putOff := score.Together(t.all)
		if refused != nil {
			refusal(refused)
			return out
		}
		if putOff {
			out.Action, out.Says = score.Greylist.String(), "it is put off unless it has come before or its host is known; then "
		}
		action = e.verdict.Taken().Action
	}
	if action == score.Quarantine && v.s.config.Spam.QuarantineTo.IsNull() || action < score.Junk && junk != "" {
		action = score.Junk
	}
	if out.Action != score.Greylist.String() {
		out.Action = action.String()
	}
	out.Says += outcome(action, e.where, junk)
	if action == score.Quarantine {
		out.Says += " to " + v.s.config.Spam.QuarantineTo.String()
	}
	return out
}

// outcome tells an action in words.
func outcome(action score.Action, where, why string) string {
	switch {
	case action == score.Junk && why != "":
		return "it goes into Junk: " + why
	case action == score.Junk:
		return "it goes into Junk instead of " + where
	case action == score.Quarantine:
		return "it goes into quarantine,"
	case action == score.Discard:
		return "it is thrown away"
	case action == score.Tag:
		return "it goes to " + where + ", marked"
	}
	return "it goes to " + where
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
