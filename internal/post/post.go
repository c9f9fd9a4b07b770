// Package post is the sorting room: it routes every recipient of a message,
// plans the local deliveries and commits all of it once. When Commit returns,
// the message is in the mailbox of every local recipient and in the queue for
// every other, on stable storage; only then may a 250 be said.
//
// RFC 5321 sections 3.9, 4.4 (Return-Path) and 6.1 (responsibility), RFC 6409
// section 6.1 (the sender belongs to the account), RFC 9228 (Delivered-To).
package post

import (
	"context"
	"errors"
	"time"

	"plic/internal/check/sender"
	"plic/internal/deliver/local"
	"plic/internal/directory"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/queue"
	"plic/internal/route"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/table"
)

// Scheduler is told of items that were committed to the queue.
type Scheduler interface {
	Added(items ...mail.Item)
	// Pressure is how long a message should wait before it is added, since more
	// comes than goes.
	Pressure() time.Duration
}

// Options are what an Office works with. All but Journal and Embargo must be
// set.
type Options struct {
	Store     *store.Store
	Router    *route.Router
	Directory directory.Directory
	Reporter  queue.Reporter
	Journal   *journal.Journal
	Now       func() time.Time
	Lifetime  time.Duration // how long an item may stay in the queue
	AnySender bool          // accounts may send as anybody
	// HeaderRules say what becomes of messages by fields of their headers: the key
	// is a whole field on one line, the value an action.
	HeaderRules table.List
	MaxDrop     int64   // octets of a message that a program of this host drops; 0 is no limit
	MaxHops     int     // Received fields of such a message; 0 is no limit
	Embargo     Embargo // nil lets all go
	// Host is our name: fields that tell in that name what we have found, and are
	// not ours, are taken out.
	Host     string
	Examiner Examiner // of mail from strangers; nil believes all
	Judge    Judge    // of the same mail by its score; nil takes all
	Milters  Milters  // of all mail; nil for none
	// Wrote is told whom accounts write to; nil for nobody.
	Wrote func(account string, to []mail.Recipient)
	// Quarantine is who gets what is not for its recipients; null: it goes into Junk.
	Quarantine mail.Address
	Signer     Signer // of mail of ours; nil signs nothing
	Sealer     Sealer // of mail that is sent on; nil seals nothing
	Onward     Onward // with mail that is sent on and would fail DMARC
	Ledger     Ledger // reads reports that come by mail; nil for none
	// Filter says what accounts do with their mail; nil is to put it into INBOX.
	Filter Filter
}

// Filter plans what an account does with a message.
type Filter interface {
	// Plan gives nil for the inbox; an error is temporary.
	Plan(ctx context.Context, l *local.Letter) (*local.Plan, error)
}

// Ledger enters what is told by mail to this site itself.
type Ledger interface {
	// Enter reads a message that is about to be taken; found is what is known of
	// its sender, nil for nothing. Whatever it holds may come again. The error is
	// temporary.
	Enter(ctx context.Context, env *mail.Envelope, body mail.Body, found *sender.Findings) error
}

// Office takes messages into custody. It serves any number of sessions.
type Office struct {
	o         Options
	scheduler Scheduler
	drops     drops
	riders    riders
}

// New makes an Office. Items that it commits are left to the queue's own start
// until Schedule names whom to tell.
func New(o Options) *Office { return &Office{o: o} }

// Schedule names who is told of new items: the queue, which itself needs the
// Office to settle. It must be called before mail comes in.
func (p *Office) Schedule(s Scheduler) { p.scheduler = s }

// Sender says whether a transaction may begin with env.From: at submission the
// address must belong to the account, RFC 6409 section 6.1. The error is a
// *mail.Failure.
func (p *Office) Sender(ctx context.Context, env *mail.Envelope) error {
	if err := p.room(env.Size); err != nil {
		return err
	}
	if env.Origin.Account == "" || env.From.IsNull() || p.o.AnySender {
		return nil
	}
	return p.mayUse(ctx, env.Origin.Account, env.From)
}

// mayUse says whether the account may send as the address.
func (p *Office) mayUse(ctx context.Context, account string, from mail.Address) error {
	owns, err := p.o.Directory.Owns(ctx, account, from)
	switch {
	case err != nil && !errors.Is(err, directory.ErrNotFound):
		return &mail.Failure{Op: "look up " + from.String(), Err: err,
			Status: mail.Reply(451, "4.3.0", "the user directory does not answer, try again later")}
	case !owns:
		return &mail.Failure{Op: "send as " + from.String(),
			Status: mail.Reply(553, "5.7.1", "the sender "+from.Path()+" does not belong to "+account)}
	}
	return nil
}

// Recipient says whether the transaction may go to one more recipient: ours
// must exist and have room, and only an account of ours may send to others.
func (p *Office) Recipient(ctx context.Context, env *mail.Envelope, to mail.Recipient) error {
	class, err := p.o.Router.Class(ctx, to.Address.Domain)
	if err != nil {
		return err
	}
	if class == route.Foreign && !mayRelay(env.Origin) {
		return &mail.Failure{Op: "relay to " + to.Address.String(),
			Status: mail.Reply(550, "5.7.1", "this host does not relay to other domains without authentication")}
	}
	found, err := p.o.Router.Route(ctx, env.From, to.Address)
	if err == nil {
		_, _, err = p.allowed(ctx, to, found)
	}
	if err != nil {
		return err
	}
	return p.fits(ctx, env.Size, found)
}

// mayRelay says who may send mail on to other hosts through us: an account,
// and this host itself.
func mayRelay(o mail.Origin) bool {
	return o.Account != "" || o.Service == "local"
}

// room says whether the store can take a message of the size.
func (p *Office) room(size int64) error {
	err := p.o.Store.Room(size)
	if err == nil {
		return nil
	}
	return storage("reserve room", err)
}

// storage gives an error of the store the status that a client sees.
func storage(op string, err error) error {
	status := mail.Reply(451, "4.3.0", "the mail store is out of service, try again later")
	if full, ok := overQuota(err); ok {
		status = full
	} else if errors.Is(err, engine.ErrFull) {
		status = mail.Reply(452, "4.3.1", "no room for mail here now, try again later")
	}
	return &mail.Failure{Op: op, Status: status, Err: err}
}

// Begin starts to take a message in.
func (p *Office) Begin(ctx context.Context, _ *mail.Envelope) (*Draft, error) {
	draft, err := p.o.Store.NewDraft(ctx)
	if err != nil {
		return nil, storage("begin a message", err)
	}
	return &Draft{draft, p}, nil
}

// Draft is a message that is coming in. Commit or Abort ends it.
type Draft struct {
	*store.Draft
	office *Office
}

// Abort frees what was taken in.
func (d *Draft) Abort() { d.Discard() }
