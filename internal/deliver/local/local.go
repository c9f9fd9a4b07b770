// Package local decides what an account does with a message that has come for
// it: it runs the site's and the owner's filter scripts and turns their actions
// into a plan. It changes nothing but what must be there before the delivery, a
// mailbox that a script makes; whoever commits the message carries the plan out
// in the same commit.
//
// RFC 5228 (Sieve), RFC 5230 (vacation), RFC 5429 (reject), RFC 5436 (notices by
// mail), RFC 3834 (what automatic answers look like).
package local

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/pace"
	"plic/internal/scripts"
	"plic/internal/sieve"
	"plic/internal/store"
)

// Options are what an Agent works with. Scripts and Host must be set.
type Options struct {
	Scripts *scripts.Keeper
	Host    mail.Domain // our name, in ids of messages
	// Before and After are scripts of the site, which run around the owner's.
	Before, After []*sieve.Script
	Now           func() time.Time
	Log           *slog.Logger
	Parse         message.Limits
	Site
}

// Agent plans deliveries for any number of accounts at the same time.
type Agent struct {
	o Options

	heavy *pace.Gate // scripts that take long, by account

	mu       sync.Mutex
	compiled map[[sha256.Size]byte]*sieve.Script
}

// New makes an Agent.
func New(o Options) *Agent {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Agent{o: o, heavy: pace.NewGate(1), compiled: map[[sha256.Size]byte]*sieve.Script{}}
}

// Letter is a message at the door of an account.
type Letter struct {
	Account  *store.Account
	From     mail.Address // the reverse-path
	To       mail.Address // that led here
	Detail   string       // a mailbox that it may be sent to, see Posted
	Whole    mail.Body    // with what is put before it
	Envelope *mail.Envelope
	Junk     bool            // what is kept goes into Junk, and nobody is answered
	Rcpt     *mail.Recipient // of the envelope; nil if it came here by a filter
	Spam     *sieve.Score    // nil if it was not tested
	Virus    *sieve.Score    // likewise
}

// File is a mailbox that the message goes into.
type File struct {
	Mailbox *store.Mailbox
	Flags   store.Flags
}

// Redirect is an address that the message is sent on to.
type Redirect struct {
	To     mail.Address
	Notify mail.Notify
	Ret    string // "FULL", "HDRS", or "" for what the sender wants
	By     mail.DeliverBy
}

// Pipe is a program of the site that gets the message.
type Pipe struct {
	Program string
	Args    []string
}

// Paper is a message of our own making to be filed: the copy of an answer, or
// word that a script failed.
type Paper struct {
	File
	Text []byte
}

// Plan is what becomes of a letter. With nothing in it, the letter is dropped.
type Plan struct {
	Files     []File
	Redirects []Redirect
	Pipes     []Pipe
	Rejected  bool
	Reason    string        // of the rejection
	Text      []byte        // the letter as the scripts have changed it; nil if they have not
	Send      []mail.Report // answers and notices
	Papers    []Paper
	Notes     []Note
	Err       error // of a script; then the letter is kept
	// Stays says of a message that is in a mailbox already that it stays there, with
	// Flags; else it is to be marked as deleted.
	Stays bool
	Flags store.Flags
}

// Note is what the account is to remember.
type Note struct {
	Key   string
	Value []byte
}

// Plan runs the scripts of an account. Nil means that there is none, and that
// the letter goes into the inbox; the error is temporary.
func (a *Agent) Plan(ctx context.Context, l *Letter) (*Plan, error) {
	name, own, err := a.own(ctx, l.Account)
	if err != nil && !isScriptError(err) {
		return nil, err
	}
	chain := append([]*sieve.Script{}, a.o.Before...)
	if own != nil {
		chain = append(chain, own)
	}
	chain = append(chain, a.o.After...)
	if len(chain) == 0 && err == nil {
		return nil, nil
	}
	w := &work{agent: a, ctx: ctx, letter: l, plan: &Plan{}, script: name}
	if err != nil {
		return w.plan, w.failed(err)
	}
	if err := w.read(); err != nil {
		return nil, err
	}
	return w.plan, w.run(chain)
}

// own compiles the active script of an account; nil if it has none.
func (a *Agent) own(ctx context.Context, account *store.Account) (string, *sieve.Script, error) {
	name, text, err := a.o.Scripts.Active(ctx, account)
	if errors.Is(err, scripts.ErrNone) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("find the script of %s: %w", account.Name(), err)
	}
	// What a script includes may change without it: such are compiled anew.
	key := sha256.Sum256([]byte(text))
	alone := !strings.Contains(text, "include")
	a.mu.Lock()
	have := a.compiled[key]
	a.mu.Unlock()
	if have != nil && alone {
		return name, have, nil
	}
	s, err := a.o.Scripts.Compile(ctx, account, text)
	if err == nil {
		err = noEvents(s)
	}
	if err == nil && alone {
		a.mu.Lock()
		if len(a.compiled) >= maxCompiled {
			clear(a.compiled)
		}
		a.compiled[key] = s
		a.mu.Unlock()
	}
	return name, s, err
}

// maxCompiled is how many scripts are kept compiled.
const maxCompiled = 1024

func isScriptError(err error) bool {
	_, ok := errors.AsType[*sieve.Error](err)
	return ok
}

// work is one letter being looked at.
type work struct {
	agent  *Agent
	ctx    context.Context // of this letter alone
	letter *Letter
	plan   *Plan
	script string // the name of the owner's
	msg    *message.Message
	over   *Standing // that this is about; nil for a letter at the door
}

func (w *work) read() (err error) {
	w.msg, err = message.Parse(io.NewSectionReader(w.letter.Whole, 0, w.letter.Whole.Size()), w.agent.o.Parse)
	if err != nil {
		return fmt.Errorf("read the message: %w", err)
	}
	return nil
}

// run runs the scripts one after the other, as long as the letter is kept.
func (w *work) run(chain []*sieve.Script) error {
	in := w.input()
	var flags []string
	for _, s := range chain {
		r, err := w.filter(s, in)
		if err != nil && !isScriptError(err) {
			return err
		}
		if err != nil {
			return w.failed(err)
		}
		if err := w.take(r); err != nil {
			return err
		}
		if !r.Keep {
			return nil
		}
		flags = r.KeepFlags
		if len(r.Edits) > 0 {
			in = w.input() // the next script sees what this one has made of the letter
		}
	}
	return w.keep(flags)
}

// filter runs a script. Of those of an account that take long one is at work at a
// time, and makes way for whatever else there is to do.
func (w *work) filter(s *sieve.Script, in *sieve.Input) (*sieve.Result, error) {
	leave := func() {}
	defer func() { leave() }()
	heavy := false
	in.Pause = func() (err error) {
		if !heavy && w.over == nil { // who filters what is there already has a turn of its own
			heavy = true
			if leave, err = w.agent.heavy.Enter(w.ctx, w.letter.Account.Name()); err != nil {
				leave = func() {}
				return fmt.Errorf("wait for other scripts of %s: %w", w.letter.Account.Name(), err)
			}
		}
		runtime.Gosched()
		return w.ctx.Err()
	}
	return s.Run(in)
}

// parts are the parts of the envelope that scripts may ask for beside its
// addresses, RFC 6009 section 3.
func (l *Letter) parts() map[string]string {
	env := map[string]string{"auth": ""}
	if e := l.Envelope; e != nil {
		env["auth"] = e.Origin.Account
		for name, value := range map[string]string{"envid": e.EnvelopeID, "ret": e.Ret} {
			if value != "" {
				env[name] = value
			}
		}
		if !e.By.At.IsZero() {
			env["bytimeabsolute"] = e.By.At.UTC().Format(time.RFC3339)
			env["bytimerelative"] = strconv.Itoa(int(e.By.At.Sub(e.Received).Seconds()))
			env["bymode"], env["bytrace"] = "notify", strconv.FormatBool(e.By.Trace)
			if e.By.Return {
				env["bymode"] = "return"
			}
		}
	}
	if l.Rcpt != nil {
		if l.Rcpt.Notify != 0 {
			env["notify"] = l.Rcpt.Notify.Words()
		}
		if l.Rcpt.Original != "" {
			env["orcpt"] = l.Rcpt.Original
		}
	}
	return env
}

// input is what a script may ask.
func (w *work) input() *sieve.Input {
	l := w.letter
	in := &sieve.Input{
		Message: w.msg, Body: l.Whole, Now: w.agent.o.Now(),
		To: l.To.String(), Addresses: []string{l.Account.Name()}, Envelope: l.parts(),
		Environment: map[string]string{
			"domain": l.To.Domain.String(), "host": w.agent.o.Host.String(), "location": "MDA", "phase": "during", "version": "1",
		},
		Mailboxes: boxes{w.ctx, l.Account},
		Seen:      w.seen,
		Spam:      l.Spam,
		Virus:     l.Virus,
	}
	w.site(in)
	w.over.tell(in)
	if !l.From.IsNull() {
		in.From = l.From.String()
	}
	if l.Envelope != nil {
		in.Remote = l.Envelope.Origin.Remote.Addr()
	}
	return in
}
