package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store"
)

// Onward is what is done with mail of strangers that is sent on to another host and
// would fail DMARC there.
type Onward int

// What may be done.
const (
	ReplaceAuthor Onward = iota // it goes on in the name of the address that it came to
	KeepAuthor                  // it goes on as it is
	RefuseOnward                // it does not go on
)

// outgoing is a message as it leaves: a body, and what goes before it.
type outgoing struct {
	draft  *store.Draft
	prefix []byte
}

func (l outgoing) body() mail.Body { return mail.WithPrefix(l.prefix, l.draft.Body()) }

// base is the message of a departure before it is sealed: with its trace, and as a
// filter has changed it.
func (j *job) base(d *departure) outgoing {
	if draft := j.changed[d.changed]; draft != nil { // it has its trace in itself
		return outgoing{draft, nil}
	}
	return outgoing{j.draft, j.trace}
}

// onward makes of what goes to other hosts what they can take: a stranger's message
// gets our seal, and where the policy of its author's domain would have it refused
// there, it gets an author of ours.
func (p *Office) onward(ctx context.Context, j *job, pl *plan) error {
	if err := p.leave(ctx, j, pl.remote); err != nil || j.found == nil {
		return err
	}
	departures := pl.remote
	pl.remote = nil
	for i := range departures {
		d := &departures[i]
		if d.hop.Kind != mail.HopRemote {
			pl.remote = append(pl.remote, *d)
			continue
		}
		if err := p.sendAway(ctx, j, pl, d); err != nil {
			return err
		}
	}
	return pl.nothingLeft()
}

// outlook is what is known of how a message fares that is sent on as it is.
type outlook struct {
	ok     bool
	why    string
	seal   []byte
	sealed bool
}

// outlook asks once for each form of a message.
func (p *Office) outlook(ctx context.Context, j *job, base outgoing) (*outlook, error) {
	if have := j.outlooks[base.draft]; have != nil {
		return have, nil
	}
	var o outlook
	var err error
	if o.ok, o.why, err = p.o.Examiner.Survives(ctx, j.found, base.body()); err != nil {
		return nil, storage("read the message", err)
	}
	if j.outlooks == nil {
		j.outlooks = map[*store.Draft]*outlook{}
	}
	j.outlooks[base.draft] = &o
	return &o, nil
}

// sealed gives the seal of a message that goes on as it is.
func (p *Office) sealed(ctx context.Context, j *job, base outgoing, o *outlook) (seal []byte, err error) {
	if !o.sealed {
		if o.seal, err = p.seal(ctx, j, base.body()); err != nil {
			return nil, err
		}
		o.sealed = true
	}
	return o.seal, nil
}

// sendAway puts a departure to another host back into the plan, as one or several.
func (p *Office) sendAway(ctx context.Context, j *job, pl *plan, d *departure) error {
	base := j.base(d)
	o, err := p.outlook(ctx, j, base)
	if err != nil {
		return err
	}
	keep := func(part departure, done string) error {
		seal, err := p.sealed(ctx, j, base, o)
		if err != nil {
			return err
		}
		if o.why != "" && part.forwards() {
			p.tellOnward(j, &part, done+": "+o.why)
		}
		part.as = &outgoing{base.draft, slices.Concat(seal, base.prefix)}
		pl.remote = append(pl.remote, part)
		return nil
	}
	if o.ok || p.o.Onward == KeepAuthor {
		return keep(*d, "it goes on as it is")
	}
	for _, part := range d.byAddress() {
		at := part.at[0]
		if at.IsNull() {
			if err := keep(part, ""); err != nil {
				return err
			}
			continue
		}
		if p.o.Onward == RefuseOnward {
			p.tellOnward(j, &part, "it does not go on: "+o.why)
			pl.refuseOnward(&part, j.found.DMARC.Author)
			continue
		}
		if part.as, err = p.replaceAuthor(ctx, j, base, at); err != nil {
			return err
		}
		if part.as == nil {
			if err := keep(part, "it goes on as it is, since nothing signs for "+at.Domain.String()); err != nil {
				return err
			}
			continue
		}
		p.tellOnward(j, &part, "its author is now "+at.String()+": "+o.why)
		pl.remote = append(pl.remote, part)
	}
	return nil
}

// forwards says that a departure has another address than the message came to; else
// we are on the way to it.
func (d *departure) forwards() bool {
	return slices.ContainsFunc(d.at, func(a mail.Address) bool { return !a.IsNull() })
}

// byAddress parts a departure by the addresses that the message came to: nobody is to
// learn of those of others.
func (d *departure) byAddress() (parts []departure) {
	for i, at := range d.at {
		x := slices.IndexFunc(parts, func(part departure) bool { return part.at[0] == at })
		if x < 0 {
			x, parts = len(parts), append(parts, departure{way: d.way})
		}
		parts[x].at, parts[x].to = append(parts[x].at, at), append(parts[x].to, d.to[i])
	}
	return parts
}

// tellOnward writes down what was done with mail that is sent on.
func (p *Office) tellOnward(j *job, d *departure, reason string) {
	e := j.event(journal.Onward)
	e.To, e.Reason = addresses(d.to), reason
	p.record(e)
}

// replaceAuthor writes a message in the name of an address of ours, and signs it for
// that; nil if nothing signs. Answers still go to its author.
func (p *Office) replaceAuthor(ctx context.Context, j *job, base outgoing, at mail.Address) (*outgoing, error) {
	if p.o.Signer == nil {
		return nil, nil
	}
	if have, ok := j.replaced[replacement{base.draft, at}]; ok {
		return have, nil
	}
	header, from, err := headerOf(base.draft)
	if err != nil {
		return nil, err
	}
	draft, err := p.copied(ctx, base.draft, readdressed(header, at), from)
	if err != nil {
		return nil, err
	}
	j.drafts = append(j.drafts, draft)
	msg, err := draft.Message()
	if err != nil {
		return nil, storage("read the message", err)
	}
	next := &outgoing{draft, base.prefix}
	signature, err := p.o.Signer.Sign(ctx, msg.Root.Header, next.body())
	if err != nil {
		return nil, storage("sign the message", err)
	}
	if len(signature) == 0 {
		next = nil
	} else {
		next.prefix = slices.Concat(signature, base.prefix)
		seal, err := p.seal(ctx, j, next.body())
		if err != nil {
			return nil, err
		}
		next.prefix = slices.Concat(seal, next.prefix)
	}
	if j.replaced == nil {
		j.replaced = map[replacement]*outgoing{}
	}
	j.replaced[replacement{base.draft, at}] = next
	return next, nil
}

// replacement is a message in the name of another address.
type replacement struct {
	draft *store.Draft
	at    mail.Address
}

// headerOf gives the header of a draft, and where its body begins.
func headerOf(draft *store.Draft) ([]byte, int64, error) {
	msg, err := draft.Message()
	if err != nil {
		return nil, 0, storage("read the message", err)
	}
	header := make([]byte, msg.Root.Body)
	if _, err := draft.Body().ReadAt(header, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, storage("read the header", err)
	}
	return header, msg.Root.Body, nil
}

// readdressed gives a header an author of ours, who is named after the one that it
// had, as mailing lists do; that one is kept beside, and gets the answers.
func readdressed(header []byte, at mail.Address) []byte {
	answers := false
	for name := range message.Fields(header) {
		answers = answers || strings.EqualFold(name, "Reply-To")
	}
	var out []byte
	seen, done := 0, false
	for name, field := range message.Fields(header) {
		seen += len(field)
		if done || !strings.EqualFold(name, "From") {
			out = append(out, field...)
			continue
		}
		done = true
		_, value, _ := strings.Cut(string(field), ":")
		var names []string
		for _, box := range message.ParseAddressList(unfolded([]byte(value))) {
			switch {
			case box.Group:
				continue
			case box.Name == "":
				box.Name = box.Local
			}
			names = append(names, strings.ReplaceAll(message.DecodeHeader(box.Name), "@", " at "))
		}
		author := message.FormatAddress(strings.Join(names, ", ")+" via "+at.Domain.String(), at.String(), false)
		out = append(message.AppendField(out, "From", author, true), "X-Original-From:"+value...)
		if !answers {
			out = append(out, "Reply-To:"+value...)
		}
	}
	return append(out, header[seen:]...)
}

// refuseOnward takes back what would be refused by the next host: an account that
// sends it on keeps it instead, and the sender is told of an alias.
func (pl *plan) refuseOnward(d *departure, author string) {
	status := mail.Reply(550, "5.7.1", fmt.Sprintf("mail of %s that it has not signed cannot be sent on from here: its DMARC policy does not let the next host take it", author))
	for i, to := range d.to {
		if !d.via.IsNull() {
			pl.keepInstead(d.via)
			continue
		}
		to.Recipient.Address = d.at[i]
		to.Last, to.Reason = status, "refused by the policy of "+author
		pl.fates = append(pl.fates, mail.Fate{Kind: mail.NotifyFailure, ItemRcpt: to})
		pl.onward = &mail.Failure{Op: "send on to " + d.at[i].String(), Status: status}
	}
}

// keepInstead puts a message into the inbox of an account whose filter only sends it
// on.
func (pl *plan) keepInstead(via mail.Address) {
	for i := range pl.local {
		if d := &pl.local[i]; d.to == via && d.todo != nil && len(d.todo.Files) == 0 {
			d.todo = nil
		}
	}
}

// nothingLeft is the refusal of a message that would have gone on, and goes nowhere
// else.
func (pl *plan) nothingLeft() error {
	if pl.onward == nil || pl.any() {
		return nil
	}
	return pl.onward
}
