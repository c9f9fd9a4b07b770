package local

import (
	"errors"
	"fmt"
	"strings"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/sieve"
	"plic/internal/store"
)

// take turns what a script has come to into the plan.
func (w *work) take(r *sieve.Result) error {
	for _, a := range r.Actions {
		var err error
		switch a := a.(type) {
		case *sieve.FileInto:
			err = w.file(a)
		case *sieve.Redirect:
			err = w.redirect(a)
		case *sieve.Reject:
			if w.over != nil {
				break // its sender has gone
			}
			w.plan.Rejected, w.plan.Reason = true, strings.Join(strings.Fields(a.Reason), " ")
		case *sieve.Vacation:
			if !w.letter.Junk && w.over == nil { // whoever sent it, it is not whom an answer would go to
				err = w.answer(a)
			}
		case *sieve.Notify:
			err = w.notify(a)
		case *sieve.Pipe:
			err = w.pipe(a)
		}
		if isScriptError(err) {
			return w.failed(err)
		}
		if err != nil {
			return err
		}
	}
	for _, m := range r.Remember {
		w.remember(m.Key, m.For)
	}
	if len(r.Edits) == 0 {
		return nil
	}
	text, err := sieve.Apply(w.letter.Whole, w.letter.Whole.Size(), r.Edits)
	if err != nil {
		return err
	}
	w.plan.Text = text
	w.letter.Whole = mail.Bytes(text)
	return w.read()
}

// keep puts the letter where it belongs if no script says otherwise.
func (w *work) keep(flags []string) error {
	if w.over != nil {
		w.plan.Stays, w.plan.Flags = true, store.FlagsOf(flags)
		return nil
	}
	box, err := Keep(w.ctx, w.letter.Account, w.letter.Junk, w.letter.Detail, w.letter.Envelope.Origin.Account)
	if err != nil {
		return fmt.Errorf("open a mailbox of %s: %w", w.letter.Account.Name(), err)
	}
	w.add(File{box, store.FlagsOf(flags)})
	return nil
}

// add files the letter; once in a mailbox is enough.
func (w *work) add(f File) {
	for i := range w.plan.Files {
		if w.plan.Files[i].Mailbox == f.Mailbox {
			w.plan.Files[i].Flags = f.Flags
			return
		}
	}
	w.plan.Files = append(w.plan.Files, f)
}

// file finds the mailbox of a fileinto. One that is not there and is not to be
// made leaves the letter in the inbox: nothing is lost by a typing error.
func (w *work) file(a *sieve.FileInto) error {
	box, err := w.mailbox(a)
	if err != nil {
		return err
	}
	if box == nil {
		w.agent.o.Log.Warn("sieve: no such mailbox", "account", w.letter.Account.Name(), "mailbox", a.Mailbox, "line", a.At.Line)
		return w.keep(a.Flags)
	}
	if w.over != nil && box == w.over.Mailbox {
		return w.keep(a.Flags) // it is there
	}
	w.add(File{box, store.FlagsOf(a.Flags)})
	return nil
}

// mailbox finds where to file; nil if there is no such place.
func (w *work) mailbox(a *sieve.FileInto) (*store.Mailbox, error) {
	account, name := w.letter.Account, a.Mailbox
	all := boxes{w.ctx, account}
	if by, ok := all.ByID(a.MailboxID); ok && a.MailboxID != "" {
		name = by
	} else if by, ok := all.BySpecialUse(a.SpecialUse); ok && a.SpecialUse != "" {
		name = by
	}
	box, err := account.Mailbox(name)
	if err == nil {
		return box, nil
	}
	if !a.Create || !errors.Is(err, store.ErrNoMailbox) && !errors.Is(err, store.ErrNoSelect) {
		return nil, w.harmless(err)
	}
	if err = account.Create(w.ctx, name, ""); err == nil || errors.Is(err, store.ErrExists) {
		err = account.Subscribe(w.ctx, name, true)
	}
	if err == nil {
		box, err = account.Mailbox(name)
	}
	return box, w.harmless(err)
}

// harmless leaves out the errors that only say that there is no such mailbox.
func (w *work) harmless(err error) error {
	for _, no := range []error{store.ErrNoMailbox, store.ErrNoSelect, store.ErrBadName, store.ErrLimit} {
		if errors.Is(err, no) {
			return nil
		}
	}
	return err
}

func (w *work) redirect(a *sieve.Redirect) error {
	var to []mail.Address
	if a.List {
		var err error
		if to, err = w.members(a.To); err != nil {
			return err
		}
	} else if one, err := mail.ParseAddress(a.To); err == nil {
		to = append(to, one)
	}
	if len(to) == 0 {
		return w.keep(nil)
	}
	var notify mail.Notify
	for word := range strings.SplitSeq(a.Notify, ",") {
		notify |= mail.NotifyWord(strings.TrimSpace(word))
	}
	by := mail.DeliverBy{At: a.By, Return: a.ByMode == "return", Trace: a.ByTrace}
	for _, t := range to {
		w.plan.Redirects = append(w.plan.Redirects, Redirect{t, notify, a.Ret, by})
	}
	return nil
}

// failed keeps a letter whose script could not be run, and tells the owner once
// of each fault, RFC 5228 section 2.10.6.
func (w *work) failed(err error) error {
	*w.plan = Plan{Err: err, Text: nil}
	if w.over != nil {
		w.plan.Stays, w.plan.Flags = true, store.FlagsOf(w.over.Flags)
		return nil
	}
	if err := w.keep(nil); err != nil {
		return err
	}
	key := "fault\x00" + err.Error()
	if w.seen(key) {
		return nil
	}
	w.remember(key, faultTold)
	box := w.plan.Files[0].Mailbox
	w.plan.Papers = append(w.plan.Papers, Paper{File{Mailbox: box}, w.faultNotice(err)})
	return nil
}

func (w *work) faultNotice(err error) []byte {
	owner := w.letter.Account.Name()
	return message.Compose(&message.Entity{
		Header: append(w.head(owner), message.Field{Name: "Subject", Value: "Your mail filter has a fault"}),
		Text: fmt.Sprintf("A message came for you, and your filter script %q could not deal with it:\n\n    %v\n\n"+
			"The message is in your inbox, and so is all mail that meets this fault.\n"+
			"You are told of it once a month. Mend the script with your filter editor.\n", w.script, strings.TrimPrefix(err.Error(), "sieve: ")),
	}, message.Allow{UTF8: true, EightBit: true})
}
