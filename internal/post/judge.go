package post

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store"
)

// Judge says by a score what becomes of mail from strangers.
type Judge interface {
	// Wants says that a message is to be judged.
	Wants(env *mail.Envelope) bool
	// Judge looks at a message as it came, for the site.
	Judge(ctx context.Context, m *score.Message) *score.Verdict
	// JudgeFor is the verdict for one account.
	JudgeFor(ctx context.Context, site *score.Verdict, account string) *score.Verdict
	// PutOff says whether a message is put off that is to be greylisted.
	PutOff(ctx context.Context, v *score.Verdict) *mail.Failure
}

// ask has a message of a stranger looked at, before anything in it is changed: who
// sent it, and beside that what it is. What the journal is to have of the second is
// written once it is known for whom the message is. The error is the answer to who
// brings it.
func (p *Office) ask(ctx context.Context, d *Draft, env *mail.Envelope, msg *message.Message) (found *sender.Findings, v *score.Verdict, told *journal.Event, err error) {
	if p.o.Judge == nil || !p.o.Judge.Wants(env) {
		found, err = p.examine(ctx, d, env, msg)
		return found, nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := p.o.Now()
	m := score.NewMessage(env, msg, d.Body())
	judged := make(chan *score.Verdict)
	go func() { judged <- p.o.Judge.Judge(ctx, m) }()
	found, err = p.examine(ctx, d, env, msg)
	m.Found(found)
	if err != nil {
		cancel()
		<-judged // it reads the draft
		return nil, nil, nil, err
	}
	v = <-judged
	return found, v, &journal.Event{
		Kind: journal.Spam, Service: env.Origin.Service, Conn: env.Origin.Conn, Message: env.ID,
		From: env.From.String(), Remote: env.Origin.Remote.Addr().String(), Name: env.Origin.Name, Helo: env.Origin.Helo,
		Size: d.Size(), Reason: v.Summary(), Action: v.Action.String(), Found: v.Record(), Took: p.o.Now().Sub(began),
	}, nil
}

// tellScore writes down what is known of a message by its score, once.
func (p *Office) tellScore(e *journal.Event) {
	if e != nil && e.Kind != "" {
		p.record(*e)
		e.Kind = ""
	}
}

// verdictFor is the verdict for the account of a delivery.
func (p *Office) verdictFor(ctx context.Context, j *job, d *delivery) *score.Verdict {
	if j.verdict == nil || d.verdict != nil {
		return d.verdict
	}
	return p.o.Judge.JudgeFor(ctx, j.verdict, d.account).Taken()
}

// decide holds a message against the limits of all it is for. One reply speaks for
// all: it is refused, or put off, only if that is right for each of them; where it
// is not, it goes into Junk of those who would have it refused, and never comes back
// as a bounce.
func (p *Office) decide(ctx context.Context, j *job, msg *message.Message, pl *plan) error {
	if j.verdict == nil {
		return nil
	}
	var all []*score.Verdict
	var ends []score.For
	for i := range pl.local {
		d := &pl.local[i]
		d.verdict = p.o.Judge.JudgeFor(ctx, j.verdict, d.account)
		all, ends = append(all, d.verdict), append(ends, score.For{Account: d.account, Verdict: d.verdict})
	}
	if len(pl.remote)+len(pl.discarded) > 0 {
		all, ends = append(all, j.verdict), append(ends, score.For{Verdict: j.verdict})
	}
	if j.told != nil {
		j.told.Action, j.told.Found = score.Fate(all), j.verdict.RecordFor(ends)
		p.tellScore(j.told)
	}
	refused, putOff := score.Together(all)
	if refused != nil {
		return refused
	}
	if putOff {
		if f := p.o.Judge.PutOff(ctx, j.verdict); f != nil {
			return f
		}
	}
	j.verdict = j.verdict.Taken()
	for i := range pl.local {
		pl.local[i].verdict = pl.local[i].verdict.Taken()
	}
	return p.aside(ctx, j, msg, pl)
}

// aside takes out of a plan what does not go to its recipients.
func (p *Office) aside(ctx context.Context, j *job, msg *message.Message, pl *plan) error {
	var meant []string
	drop := func(v *score.Verdict, to ...mail.Address) bool {
		if v.Action >= score.Junk { // who sends such learns nothing of it
			pl.fates = slices.DeleteFunc(pl.fates, func(f mail.Fate) bool { return f.Kind == mail.NotifySuccess })
		}
		switch {
		case v.Action == score.Discard:
			pl.discarded = append(pl.discarded, to...)
			e := j.event(journal.Discard)
			for _, a := range to {
				e.To = append(e.To, a.String())
			}
			e.Reason = wordOf(v)
			p.record(e)
			return true
		case v.Action == score.Quarantine && !p.o.Quarantine.IsNull():
			for _, a := range to {
				meant = append(meant, a.String())
			}
			return true
		case v.Action == score.Quarantine:
			v.Action = score.Junk
		}
		return false
	}
	pl.local = slices.DeleteFunc(pl.local, func(d delivery) bool { return drop(d.verdict, d.to) })
	pl.remote = slices.DeleteFunc(pl.remote, func(d departure) bool {
		var to []mail.Address
		for _, r := range d.to {
			to = append(to, r.Address)
		}
		return drop(j.verdict, to...)
	})
	if j.verdict.Action >= score.Junk { // where it is sent on to, it may be refused
		for i := range pl.remote {
			for k := range pl.remote[i].to {
				pl.remote[i].to[k].Notify = mail.NotifyNever
			}
		}
	}
	if len(meant) == 0 {
		return nil
	}
	return p.quarantine(ctx, j, msg, pl, meant)
}

// quarantine puts a message before who looks after such.
func (p *Office) quarantine(ctx context.Context, j *job, msg *message.Message, pl *plan, meant []string) error {
	more := *j.env
	more.To = []mail.Recipient{{Address: p.o.Quarantine, Notify: mail.NotifyNever}}
	extra := p.plan(ctx, &more, msg, pl.released)
	if err := extra.outcomes[0].Err; err != nil {
		return &mail.Failure{Op: "put a message into quarantine", Err: err, Status: mail.Reply(451, "4.3.5", "a message cannot be kept apart now, try again later")}
	}
	for _, d := range extra.local {
		d.rcpt, d.meant, d.verdict = -1, strings.Join(meant, ", "), j.verdict
		pl.local = append(pl.local, d)
	}
	pl.remote = append(pl.remote, extra.remote...)
	e := j.event(journal.Hold)
	e.To, e.Reason = meant, "in quarantine, "+wordOf(j.verdict)
	p.record(e)
	return nil
}

// wordOf is a verdict in a few words.
func wordOf(v *score.Verdict) string {
	text := fmt.Sprintf("its score is %.1f of %.1f", v.Score, v.Limits.Junk)
	if v.Reason != "" {
		text = v.Reason
	}
	return text
}

// junkFor is why a message belongs into Junk of an account, "" if it does not.
func (j *job) junkFor(d *delivery) string {
	switch {
	case d.meant != "":
		return ""
	case d.verdict == nil:
		return j.junk()
	case d.verdict.Action == score.Junk:
		return wordOf(d.verdict)
	case j.found != nil:
		return j.found.Junk
	}
	return ""
}

// prefix is what a delivery puts before the message.
func (j *job) prefix(d *delivery) []byte {
	trace := j.trace
	if d.verdict != nil {
		marks := d.verdict.Fields(j.junkFor(d) != "")
		if d.meant != "" {
			marks = message.AppendField(marks, score.Prefix+"Recipients", d.meant, true)
		}
		trace = append(marks, trace...)
	}
	return localPrefix(d.from, d.to, trace)
}

// titled is the message with a word before its subject, where an account wants that.
func (p *Office) titled(ctx context.Context, j *job, d *delivery) (*store.Draft, error) {
	if d.verdict == nil || d.verdict.Action < score.Tag || d.verdict.Limits.Subject == "" {
		return j.draft, nil
	}
	word := d.verdict.Limits.Subject
	if have := j.titled[word]; have != nil {
		return have, nil
	}
	header, from, err := headerOf(j.draft)
	if err != nil {
		return nil, err
	}
	draft, err := p.copied(ctx, j.draft, retitled(header, word), from)
	if err != nil {
		return nil, err
	}
	if j.titled == nil {
		j.titled = map[string]*store.Draft{}
	}
	j.titled[word], j.drafts = draft, append(j.drafts, draft)
	return draft, nil
}

// retitled puts a word before the subject of a header.
func retitled(header []byte, word string) []byte {
	word = message.EncodeHeader(word, false)
	var out []byte
	seen, done := 0, false
	for name, field := range message.Fields(header) {
		seen += len(field)
		if !done && strings.EqualFold(name, "Subject") {
			done = true
			_, value, _ := strings.Cut(string(field), ":")
			field = []byte(name + ": " + word + " " + strings.TrimLeft(value, " \t"))
		}
		out = append(out, field...)
	}
	if !done {
		out = append(out, "Subject: "+word+"\r\n"...)
	}
	return append(out, header[seen:]...)
}
