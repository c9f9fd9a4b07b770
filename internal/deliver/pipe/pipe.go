// Package pipe hands items to programs of this host, and appends them to files
// in mbox form. A program gets its arguments as they are, without any shell; the
// message on its standard input, with line ends of LF; and no more than its time.
// What it exits with is the outcome, as <sysexits.h> has it.
//
// Which programs there are is the administrator's to say: a hop names one of
// his commands, or holds what he wrote in an alias. What strangers write is at
// most part of an argument.
package pipe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/vfs"
)

// Options are what a Transport works with.
type Options struct {
	// Command finds a command of the administrator by its name.
	Command func(ctx context.Context, name string) (text string, found bool, err error)
	// Program finds one that filter scripts may run.
	Program   func(ctx context.Context, name string) (text string, found bool, err error)
	User      string        // who runs the commands that stand in aliases
	Separator string        // between user and detail; "+" if empty
	Timeout   time.Duration // of one command; 15 min
	FS        vfs.FS        // of the files that are appended to; the disk if nil
	Now       func() time.Time
	Journal   *journal.Journal
	Log       *slog.Logger
}

// Transport delivers to programs and files. Any number of deliveries may run at
// once.
type Transport struct {
	o Options
	// writing lets one delivery after the other append to a file: the locks of
	// the system are between processes.
	writing sync.Mutex
}

// New makes a Transport.
func New(o Options) *Transport {
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Minute
	}
	if o.Separator == "" {
		o.Separator = "+"
	}
	if o.FS == nil {
		o.FS = vfs.Disk()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Transport{o: o}
}

// Deliver hands the message over once for each recipient of the item and gives
// one outcome for each, in order.
func (t *Transport) Deliver(ctx context.Context, item *mail.Item, body mail.Body) []mail.Outcome {
	outcomes := make([]mail.Outcome, len(item.To))
	for i := range item.To {
		began := time.Now()
		outcomes[i] = t.one(ctx, item, item.To[i].Address, body)
		outcomes[i].Apart = true // one user's program does not keep another's waiting
		e := journal.Event{
			Kind: journal.Attempt, Service: "pipe", Message: item.Envelope.ID, Host: item.Hop.Host, From: item.Envelope.From.String(),
			To: []string{item.To[i].Address.String()}, Size: item.Size, Attempt: item.Attempts + 1, Took: time.Since(began),
		}
		if outcomes[i].Status.Class() != mail.Success {
			e.Status = outcomes[i].Status.String()
		}
		if outcomes[i].Err != nil {
			e.Reason = outcomes[i].Err.Error()
		}
		t.o.Journal.Record(e)
	}
	return outcomes
}

// one delivers to one recipient.
func (t *Transport) one(ctx context.Context, item *mail.Item, to mail.Address, body mail.Body) (o mail.Outcome) {
	defer func() {
		if p := recover(); p != nil {
			t.o.Log.Error("panic in a delivery", "item", item.ID, "panic", p, "stack", string(debug.Stack()))
			t.o.Journal.Record(journal.Event{Kind: journal.Panic, Service: "pipe", Message: item.Envelope.ID, Reason: fmt.Sprint(p)})
			o = outcome(mail.Reply(451, "4.3.0", "the delivery failed by a fault of ours"), fmt.Errorf("panic: %v", p))
		}
	}()
	m := message{from: item.Envelope.From, to: to, body: body, at: t.o.Now()}
	m.user, m.detail = to.Detail(t.o.Separator)
	name := item.Hop.Host
	if strings.HasPrefix(name, "/") {
		return t.append(ctx, path.Clean(name), &m)
	}
	c, err := t.command(ctx, name)
	if err != nil {
		return outcome(mail.Reply(451, "4.3.5", "the command for this mail is not set up right"), err)
	}
	if c.args, err = c.expand(&m); err != nil {
		return outcome(mail.Reply(553, "5.1.3", "the address may be taken for an option of a program"), err)
	}
	if item.Hop.Args != "" {
		c.args = append(c.args, strings.Split(item.Hop.Args, "\n")...)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.o.Timeout, errTime)
	defer cancel()
	return c.run(ctx, &m)
}

// errTime is why a command was stopped.
var errTime = errors.New("the command took too long")

// command finds the command that a hop names: one of an alias, behind "|", or
// one of the administrator's by name.
func (t *Transport) command(ctx context.Context, name string) (*command, error) {
	if text, ok := strings.CutPrefix(name, "|"); ok {
		c, err := parse(text)
		if err != nil {
			return nil, err
		}
		c.user, c.fromLine = t.o.User, true
		return c, nil
	}
	find := t.o.Command
	if program, ok := strings.CutPrefix(name, mail.ForScripts); ok {
		name, find = program, t.o.Program
	}
	if find == nil {
		return nil, fmt.Errorf("there is no command %q", name)
	}
	text, found, err := find(ctx, name)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, fmt.Errorf("there is no command %q", name)
	}
	c, err := parseNamed(text)
	if err != nil {
		return nil, fmt.Errorf("command %q: %w", name, err)
	}
	return c, nil
}

func outcome(status mail.Status, err error) mail.Outcome {
	return mail.Outcome{Status: status, Err: err}
}
