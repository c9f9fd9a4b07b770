package post

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/route"
	"plic/internal/store"
)

// orders are what header rules want with a whole message.
type orders struct {
	hold, discard bool
	why           string // it is held
	redirect      mail.Address
}

// shape gives a message the form in which it goes on: the sender's address, the
// addresses in the header of our own users' mail, without what others say that
// we have found, and what the header rules change. The body is copied only if something has changed.
func (p *Office) shape(ctx context.Context, d *Draft, env *mail.Envelope) (o orders, err error) {
	rewrites := p.o.Router.Rewrites()
	msg, err := d.Message()
	if err != nil {
		return o, storage("read the message", err)
	}
	if !rewrites && len(p.o.HeaderRules) == 0 && !p.forged(env, msg) {
		return o, nil
	}
	if env.From, err = p.o.Router.Form(ctx, env.From, route.EnvelopeSender); err != nil {
		return o, err
	}
	header, _, err := headerOf(d.Draft)
	if err != nil {
		return o, err
	}
	s := shaper{office: p, env: env, rewrites: rewrites && mayRelay(env.Origin), orders: &o}
	if err := s.header(ctx, header); err != nil || !s.changed || o.discard {
		return o, err
	}
	return o, d.replaceHeader(ctx, s.out.Bytes(), msg.Root.Body)
}

// replaceHeader copies the message with another header.
func (d *Draft) replaceHeader(ctx context.Context, header []byte, from int64) error {
	next, err := d.office.copied(ctx, d.Draft, header, from)
	if err != nil {
		return err
	}
	d.Draft.Discard()
	d.Draft = next
	return nil
}

// copied is a message with another header before what stands from an offset on.
func (p *Office) copied(ctx context.Context, draft *store.Draft, header []byte, from int64) (*store.Draft, error) {
	next, err := p.o.Store.NewDraft(ctx)
	if err != nil {
		return nil, storage("begin a message", err)
	}
	body := draft.Body()
	_, err = next.Write(header)
	if err == nil {
		_, err = io.Copy(next, io.NewSectionReader(body, from, body.Size()-from))
	}
	if err != nil {
		next.Discard()
		return nil, storage("copy the message", err)
	}
	return next, nil
}

// shaper goes through one header.
type shaper struct {
	office   *Office
	env      *mail.Envelope
	rewrites bool // addresses, too
	orders   *orders
	out      bytes.Buffer
	changed  bool
}

func (s *shaper) header(ctx context.Context, header []byte) error {
	seen := 0
	for name, field := range message.Fields(header) {
		seen += len(field)
		if name == "" {
			s.out.Write(field)
			continue
		}
		if _, value, _ := bytes.Cut(field, []byte(":")); s.office.isForged(s.env, name, string(value)) {
			s.changed = true
			continue
		}
		if s.rewrites {
			var err error
			if field, err = s.addresses(ctx, name, field); err != nil {
				return err
			}
		}
		if err := s.rules(ctx, field); err != nil || s.orders.discard {
			return err
		}
	}
	s.out.Write(header[seen:])
	return nil
}

// rules asks the header rules about a field and does what they say with it.
func (s *shaper) rules(ctx context.Context, field []byte) error {
	text := strings.TrimRight(unfolded(field), " \t")
	action, found, err := s.office.o.HeaderRules.Lookup(ctx, text)
	if err != nil {
		return &mail.Failure{Op: "ask the header rules", Err: err, Status: mail.Reply(451, "4.3.0", "a table does not answer, try again later")}
	}
	verb, argument, _ := strings.Cut(strings.TrimSpace(action), " ")
	verb, argument = strings.ToUpper(verb), strings.TrimSpace(argument)
	if !found || verb == "" || verb == "OK" || verb == "DUNNO" {
		s.out.Write(field)
		return nil
	}
	s.office.record(journal.Event{Kind: journal.Rule, Service: s.env.Origin.Service, Conn: s.env.Origin.Conn, Message: s.env.ID,
		From: s.env.From.String(), Status: action, Reason: clip(text)})
	if err := s.act(verb, argument, field); err != nil {
		var refused *mail.Failure
		if errors.As(err, &refused) {
			return err
		}
		return &mail.Failure{Op: "read the header rule " + action, Err: err, Status: mail.Reply(451, "4.3.5", "a header rule here has a fault, try again later")}
	}
	return nil
}

// act does what a rule says: with this field, or with the message.
func (s *shaper) act(verb, argument string, field []byte) (err error) {
	keep := true
	switch verb {
	case "REFUSE", "REJECT", "DEFER":
		if verb == "DEFER" {
			argument = "450 4.7.1 " + argument
		}
		status, err := route.ParseRefusal(argument)
		if err != nil {
			return err
		}
		return &mail.Failure{Op: "follow the header rules", Status: *status}
	case "DISCARD":
		s.orders.discard = true
	case "HOLD":
		s.orders.hold = true
	case "REDIRECT":
		s.orders.redirect, err = mail.ParseAddress(argument)
	case "PREPEND":
		err = s.line(argument)
	case "REPLACE":
		keep = false
		err = s.line(argument)
	case "REMOVE", "IGNORE":
		keep, s.changed = false, true
	case "WARN", "INFO":
	default:
		err = fmt.Errorf("there is no action %s: it may be refuse, defer, discard, hold, redirect, prepend, replace, remove or warn", verb)
	}
	if keep {
		s.out.Write(field)
	}
	return err
}

// line adds a field that a rule has written.
func (s *shaper) line(text string) error {
	name, _, ok := strings.Cut(text, ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsAny(text, "\r\n\x00") {
		return fmt.Errorf("%q is no header field", text)
	}
	s.out.WriteString(text + "\r\n")
	s.changed = true
	return nil
}

// addresses gives the addresses in a field the form that they have elsewhere.
func (s *shaper) addresses(ctx context.Context, name string, field []byte) ([]byte, error) {
	role := route.HeaderSender
	switch strings.TrimPrefix(strings.ToLower(name), "resent-") {
	case "from", "sender", "reply-to":
	case "to", "cc", "bcc":
		role = route.HeaderRecipient
	default:
		return field, nil
	}
	for _, box := range message.ParseAddressList(unfolded(field)[len(name)+1:]) {
		old := box.Local + "@" + box.Host
		a, err := mail.ParseAddress(old)
		if err != nil || box.Group {
			continue
		}
		to, err := s.office.o.Router.Form(ctx, a, role)
		if err != nil {
			return nil, err
		}
		if to == a {
			continue
		}
		next := replaceWord(field, old, to.String())
		s.changed = s.changed || !bytes.Equal(next, field)
		field = next
	}
	return field, nil
}

// replaceWord replaces an address where it stands by itself.
func replaceWord(field []byte, old, with string) []byte {
	var out []byte
	inner := func(c byte) bool {
		return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~.", c) >= 0
	}
	for {
		i := bytes.Index(field, []byte(old))
		if i < 0 {
			return append(out, field...)
		}
		end := i + len(old)
		alone := (i == 0 || !inner(field[i-1])) && (end == len(field) || !inner(field[end]))
		out = append(out, field[:i]...)
		if alone {
			out = append(out, with...)
		} else {
			out = append(out, old...)
		}
		field = field[end:]
	}
}

// unfolded is a field on one line.
func unfolded(field []byte) string {
	return strings.NewReplacer("\r\n", "", "\n", "").Replace(string(field))
}

// clip shortens a text for the journal.
func clip(text string) string {
	if len(text) > 200 {
		return strings.ToValidUTF8(text[:200], "") + "…"
	}
	return text
}
