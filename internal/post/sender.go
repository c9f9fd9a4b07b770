package post

import (
	"context"
	"strings"

	"plic/internal/authres"
	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/deliver/local"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store"
)

// Examiner finds out who has sent a message.
type Examiner interface {
	// Wants says that a message is to be looked at.
	Wants(env *mail.Envelope) bool
	// Check looks at it as it came; the error is one of reading.
	Check(ctx context.Context, env *mail.Envelope, msg *message.Message, body mail.Body) (*sender.Findings, error)
	// Survives says whether it passes DMARC at the next host if it is sent on as it is
	// in body, and why; the error is one of reading.
	Survives(ctx context.Context, found *sender.Findings, body mail.Body) (ok bool, why string, err error)
}

// examine finds out who has sent a message of a stranger, before anything in it
// is changed; nil if nobody needs to. The error is the answer to who brings it.
func (p *Office) examine(ctx context.Context, d *Draft, env *mail.Envelope, msg *message.Message) (*sender.Findings, error) {
	if p.o.Examiner == nil || !p.o.Examiner.Wants(env) {
		return nil, nil
	}
	began := p.o.Now()
	found, err := p.o.Examiner.Check(ctx, env, msg, d.Body())
	if err != nil {
		return nil, storage("check the sender", err)
	}
	p.record(journal.Event{
		Kind: journal.Sender, Service: env.Origin.Service, Conn: env.Origin.Conn, Message: env.ID,
		From: env.From.String(), Remote: env.Origin.Remote.Addr().String(), Name: env.Origin.Name, Helo: env.Origin.Helo,
		Size: d.Size(), Reason: found.Summary(), Action: found.Action(), Found: found.Record(), Took: p.o.Now().Sub(began),
	})
	if found.Refuse != nil {
		return nil, found.Refuse
	}
	return found, nil
}

// junk is why a message belongs into Junk, "" if it does not.
func (j *job) junk() string {
	switch {
	case j.found != nil && j.found.Junk != "":
		return j.found.Junk
	case j.verdict != nil && j.verdict.Action == score.Junk:
		return wordOf(j.verdict)
	case j.item != nil:
		return j.item.Junk
	}
	return ""
}

// isForged says that a field tells what we have found, while we have not: RFC
// 8601 section 5. Behind an LMTP relay others may speak in our name.
func (p *Office) isForged(env *mail.Envelope, name, value string) bool {
	if len(name) > len(score.Prefix) && strings.EqualFold(name[:len(score.Prefix)], score.Prefix) {
		return p.o.Judge != nil && p.o.Judge.Wants(env)
	}
	return p.o.Host != "" && env.Origin.Service != "lmtp" && strings.EqualFold(name, authres.Name) &&
		strings.EqualFold(authres.Server(value), p.o.Host)
}

// forged says that there is such a field.
func (p *Office) forged(env *mail.Envelope, msg *message.Message) bool {
	for _, f := range msg.Root.Header {
		if p.isForged(env, f.Name, f.Value) {
			return true
		}
	}
	return false
}

// mailbox is where a message goes that no filter has a place for.
func (p *Office) mailbox(ctx context.Context, d *delivery, j *job) (*store.Mailbox, error) {
	account, err := p.o.Store.Account(ctx, d.account)
	if err != nil {
		return nil, storage("open account "+d.account, err)
	}
	box, err := local.Keep(ctx, account, j.junkFor(d) != "", d.detail, j.env.Origin.Account)
	if err != nil {
		return nil, storage("open a mailbox of "+d.account, err)
	}
	return box, nil
}
