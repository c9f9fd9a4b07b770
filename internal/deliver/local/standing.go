package local

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/sieve"
	"plic/internal/store"
)

// Standing is a message that is in a mailbox, and that a script is run over: for
// what has happened to it by IMAP, RFC 6785, or because its reader wishes.
type Standing struct {
	Mailbox *store.Mailbox
	Entry   store.Entry
	Flags   []string // that it has
	User    string   // who acts
	Cause   string   // "APPEND", "COPY" or "FLAG"; "" for a wish
	Changed []string // of FLAG
}

// The ways to name the scripts that a reader wishes to have run.
const (
	ByDelivery = "DELIVERY" // those that run when mail comes
	ByName     = "PERSONAL"
	BySite     = "GLOBAL"
	ByText     = "SCRIPT"
)

// Chosen gives the scripts that a reader wishes, by name or text. The fault of one
// is a *sieve.Error.
func (a *Agent) Chosen(ctx context.Context, account *store.Account, how, what string) ([]*sieve.Script, error) {
	text := what
	var err error
	switch how {
	case ByDelivery:
		_, own, err := a.own(ctx, account)
		if err != nil {
			return nil, err
		}
		chain := slices.Clone(a.o.Before)
		if own != nil {
			chain = append(chain, own)
		}
		return append(chain, a.o.After...), nil
	case ByName:
		text, err = a.o.Scripts.Get(ctx, account, what)
	case BySite:
		text, err = a.o.Scripts.Global(what)
	}
	if err != nil {
		return nil, err
	}
	s, err := a.o.Scripts.Compile(ctx, account, text)
	if err == nil {
		err = noEvents(s)
	}
	return []*sieve.Script{s}, err
}

// noEvents says that a script is none for events: RFC 6785 section 3.7.
func noEvents(s *sieve.Script) error {
	if s.Requires("imapsieve") {
		return &sieve.Error{Pos: sieve.Pos{Line: 1, Column: 1}, Text: "a script that requires imapsieve runs for what happens in a mailbox, and not here"}
	}
	return nil
}

// eventEntry is the annotation that names the script of a mailbox, or of all that
// have none: RFC 6785 section 2.2.
const eventEntry = "/shared/imapsieve/script"

// Event gives the script for what happens in a mailbox; none if it has none.
func (a *Agent) Event(ctx context.Context, mb *store.Mailbox) ([]*sieve.Script, error) {
	account := mb.Account()
	name, ok := boxes{ctx, account}.Metadata(mb.Name(), eventEntry)
	if !ok {
		name, ok = boxes{ctx, account}.Metadata("", eventEntry)
	}
	if !ok || name == "" {
		return nil, nil
	}
	text, err := a.o.Scripts.Get(ctx, account, name)
	if err != nil {
		return nil, fmt.Errorf("the script %q of the mailbox: %w", name, err)
	}
	s, err := a.o.Scripts.Compile(ctx, account, text)
	return []*sieve.Script{s}, err
}

// Over runs scripts over a message that is in a mailbox.
func (a *Agent) Over(ctx context.Context, m *store.Message, s *Standing, chain []*sieve.Script) (*Plan, error) {
	account := s.Mailbox.Account()
	l := &Letter{Account: account, Whole: m, Envelope: &mail.Envelope{}}
	w := &work{agent: a, ctx: ctx, letter: l, plan: &Plan{}, over: s}
	if err := w.read(); err != nil {
		return nil, err
	}
	l.From, l.To = envelopeOf(w.msg.Root, account.Name())
	return w.plan, w.run(chain)
}

// envelopeOf is what is known of the envelope that a message came in.
func envelopeOf(root *message.Part, account string) (from, to mail.Address) {
	path := strings.Trim(strings.TrimSpace(root.Get("Return-Path")), "<>")
	if a, err := mail.ParseAddress(path); err == nil {
		from = a
	}
	for _, text := range []string{root.Get("Delivered-To"), account} {
		if a, err := mail.ParseAddress(strings.TrimSpace(text)); err == nil {
			return from, a
		}
	}
	return from, to
}

// tell lets a script ask where it runs.
func (s *Standing) tell(in *sieve.Input) {
	if s == nil {
		return
	}
	in.Flags = s.Flags
	env := in.Environment
	env["location"], env["phase"] = "MS", "post"
	if s.Cause == "" {
		return
	}
	env["imap.user"], env["imap.email"] = s.User, s.User
	env["imap.cause"], env["imap.mailbox"] = s.Cause, s.Mailbox.Name()
	if s.Cause == "FLAG" {
		env["imap.changedflags"] = strings.Join(s.Changed, " ")
	}
}

// Whole is the message as it goes on, without the Return-Path of its delivery.
func Whole(m *store.Message) ([]byte, error) {
	text := make([]byte, m.Size())
	if _, err := io.ReadFull(mail.Reader(m), text); err != nil {
		return nil, err
	}
	return withoutPath(text), nil
}

func withoutPath(text []byte) []byte {
	if len(text) > 12 && strings.EqualFold(string(text[:12]), "Return-Path:") {
		if i := strings.Index(string(text), "\r\n"); i >= 0 {
			return text[i+2:]
		}
	}
	return text
}
