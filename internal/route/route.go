// Package route is the step from a recipient to its next hop: a local account,
// the addresses behind an alias, another host, or nowhere. What an
// administrator writes in tables decides before what is usual. It reads no
// message, and can tell every step of its way.
//
// RFC 5321 sections 3.9 (aliases), 4.5.1 (postmaster) and 5.1 (next hop).
package route

import (
	"context"
	"errors"
	"strings"

	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/srs"
	"plic/internal/table"
	"plic/internal/vfs"
)

// Defaults of Options.
const (
	DefaultExpand = 1000 // addresses that one recipient may become
	DefaultDepth  = 20   // aliases behind aliases
)

// Options are what a Router decides by. Only Directory must be set.
type Options struct {
	Directory directory.Directory
	Tables    Tables
	Hostname  mail.Domain   // where names without a domain are at home
	Separator string        // between user and detail; "+" if empty
	Relay     *mail.Hop     // where everything that is not ours goes; nil is by MX
	SRS       *srs.Rewriter // for senders of forwarded mail; nil leaves them
	FS        vfs.FS        // of files that aliases include; the disk if nil
	Expand    int           // 0 is DefaultExpand
	Depth     int           // 0 is DefaultDepth

	Masquerade       []mail.Domain  // hosts below them are hidden
	MasqueradeExcept []string       // local parts of whom they are not
	AlwaysBcc        []mail.Address // who gets a copy of all mail
}

// Tables are what an administrator decides himself. An empty one decides
// nothing. Addresses are looked up whole, then without their detail, then as
// "@domain"; transports also by "domain", ".parent" and "*".
type Tables struct {
	LocalDomains     table.List // beside those of the directory
	RelayDomains     table.List // of others that we take mail for
	RelayRecipients  table.List // who exists in them; empty for anybody
	Aliases          table.List // addresses, or names, to targets
	Transports       table.List // recipients to a transport
	SenderTransports table.List // senders to a transport
	SmartHosts       table.List // senders to the host that takes their mail
	Logins           table.List // hosts and senders to "user:password"
	Sources          table.List // senders and domains to addresses of ours
	Canonical        table.List // addresses to the form that they have elsewhere
	SenderForm       table.List // likewise, of senders only
	RecipientForm    table.List // likewise, of recipients only
	SenderBcc        table.List // senders to who gets a copy
	RecipientBcc     table.List // recipients to who gets a copy
}

// Router finds the next hop of recipients. It holds no state of its own.
type Router struct{ o Options }

// New makes a Router.
func New(o Options) *Router {
	if o.Expand == 0 {
		o.Expand = DefaultExpand
	}
	if o.Depth == 0 {
		o.Depth = DefaultDepth
	}
	if o.Separator == "" {
		o.Separator = "+"
	}
	if o.FS == nil {
		o.FS = vfs.Disk()
	}
	return &Router{o}
}

// Destination is where one address ends here: in an account, at a hop, or in
// nothing.
type Destination struct {
	Address mail.Address // after aliases
	From    mail.Address // the sender that it goes on with
	Account string       // "" if it leaves this host
	Detail  string       // what stood behind the separator, "user+detail"
	Hop     mail.Hop     // if Account is ""
	Hold    bool         // it waits in the queue until it is released
	Discard bool         // it is thrown away, as if it had been delivered
	List    bool         // From is the owner of a list that led here
}

// Class is what we are to a domain.
type Class int

// The classes.
const (
	Foreign Class = iota // of others
	Local                // ours
	Relay                // of others that want us to take their mail
)

// String is the class for people.
func (c Class) String() string { return [...]string{"foreign", "local", "relay"}[c] }

// Class says what we are to a domain. Errors are temporary.
func (r *Router) Class(ctx context.Context, d mail.Domain) (Class, error) {
	return (&walk{router: r}).class(ctx, d)
}

func (w *walk) class(ctx context.Context, d mail.Domain) (Class, error) {
	if d.IsZero() {
		return Local, nil // "postmaster" alone
	}
	if _, literal := d.Literal(); literal {
		return Foreign, nil // an address of this host is no mail domain of it
	}
	o := &w.router.o
	_, err := o.Directory.Domain(ctx, d)
	switch {
	case err == nil:
		w.note(Step{Step: "domain", Table: "directory", Key: d.String(), Found: true, Answer: "local"})
		return Local, nil
	case !errors.Is(err, directory.ErrNotFound):
		return Foreign, unavailable("look up domain "+d.String(), err)
	}
	if d == o.Hostname {
		w.note(Step{Step: "domain", Table: "hostname", Key: d.String(), Found: true, Answer: "local"})
		return Local, nil
	}
	for _, c := range []struct {
		class Class
		list  table.List
	}{{Local, o.Tables.LocalDomains}, {Relay, o.Tables.RelayDomains}} {
		a, err := w.ask(ctx, c.class.String()+" domain", c.list, d.String())
		if err != nil {
			return Foreign, err
		}
		if a.found {
			return c.class, nil
		}
	}
	return Foreign, nil
}

// Route follows a recipient of mail from a sender to its destinations. A
// recipient that does not exist is a *mail.Failure with 550 5.1.1, trouble of
// the directory or a table with 451.
func (r *Router) Route(ctx context.Context, from, to mail.Address) ([]Destination, error) {
	return (&walk{router: r}).route(ctx, from, to)
}

// walk is one expansion. An address is visited once, which ends every cycle.
type walk struct {
	router *Router
	seen   map[string]bool
	found  []Destination
	trace  func(Step) // nil if nobody asks
	at     string     // the address that is looked at, if somebody does
}

// at is where a walk has come to.
type at struct {
	to    mail.Address
	from  mail.Address // the sender, which a list may replace
	depth int
	final bool // the address itself is meant, not the alias of that name
	list  bool // from is the owner of a list
}

func (w *walk) route(ctx context.Context, from, to mail.Address) ([]Destination, error) {
	w.seen = map[string]bool{}
	to, err := w.canonical(ctx, to, w.router.o.Tables.RecipientForm, "recipient canonical")
	if err != nil {
		return nil, err
	}
	if err := w.visit(ctx, at{to: to, from: from}); err != nil {
		return nil, err
	}
	if len(w.found) == 0 {
		return nil, failure(to, mail.Reply(550, "5.4.6", "the aliases of this address lead back to themselves"), nil)
	}
	return w.found, nil
}

func (w *walk) visit(ctx context.Context, p at) error {
	o := &w.router.o
	key := p.to.Key()
	if p.final {
		key = "=" + key
	}
	if w.seen[key] {
		return nil
	}
	w.seen[key] = true
	if p.depth > o.Depth || len(w.seen) > o.Expand {
		return failure(p.to, mail.Reply(550, "5.4.6", "too many aliases behind this address"), errTooMany)
	}
	if w.trace != nil {
		w.at = p.to.String()
	}
	if o.SRS != nil && o.SRS.Rewritten(p.to) {
		return w.comeHome(ctx, p)
	}
	class, err := w.class(ctx, p.to.Domain)
	if err != nil {
		return err
	}
	if !p.final {
		if done, err := w.alias(ctx, p, class, false); done || err != nil {
			return err
		}
	}
	switch class {
	case Local:
		return w.local(ctx, p)
	case Relay:
		return w.relay(ctx, p)
	}
	return w.leave(ctx, p, Foreign)
}

// local looks a recipient of a domain of ours up in the directory.
func (w *walk) local(ctx context.Context, p at) error {
	target, err := w.resolve(ctx, p.to)
	if errors.Is(err, directory.ErrNotFound) || err == nil && target.CatchAll {
		// The catch-all of a table is as good as the directory's, and before it.
		if done, err := w.alias(ctx, p, Local, true); !p.final && (done || err != nil) {
			return err
		}
	}
	switch {
	case errors.Is(err, directory.ErrNotFound):
		w.note(Step{Step: "account", Table: "directory", Key: p.to.String()})
		return failure(p.to, mail.Reply(550, "5.1.1", "no such user here"), nil)
	case err != nil:
		return unavailable("look up "+p.to.String(), err)
	case target.Account == "", len(target.Aliases) > 0 && !p.final:
		w.note(Step{Step: "alias", Table: "directory", Key: p.to.String(), Found: true, Answer: texts(target.Aliases)})
		if p, err = w.owned(ctx, p, target.CatchAll); err != nil {
			return err
		}
		var members []member
		for _, a := range target.Aliases {
			members = append(members, member{address: a})
		}
		if target.Account != "" {
			members = append(members, member{address: p.to, final: true})
		}
		return w.expand(ctx, p, members)
	}
	w.note(Step{Step: "account", Table: "directory", Key: p.to.String(), Found: true, Answer: target.Account})
	d := Destination{Address: p.to, From: p.from, List: p.list, Account: target.Account, Detail: target.Detail}
	// An account may have its mail in the store of another program.
	way, found, err := w.own(ctx, p.to)
	if err != nil {
		return err
	}
	if found && !way.Usual {
		return w.end(ctx, p, way, Local)
	}
	d.Hold = found && way.Hold
	w.found = append(w.found, d)
	return nil
}

// resolve asks the directory. At the host's own name, which need be none of its
// domains, somebody must answer for the host: RFC 5321 section 4.5.1.
func (w *walk) resolve(ctx context.Context, to mail.Address) (directory.Target, error) {
	o := &w.router.o
	target, err := o.Directory.Resolve(ctx, to)
	if to.Domain != o.Hostname || !errors.Is(err, directory.ErrNotFound) {
		return target, err
	}
	switch base, _ := to.Detail(o.Separator); strings.ToLower(base.Local) {
	case "postmaster", "abuse", "mailer-daemon", "root":
		return o.Directory.Resolve(ctx, mail.Address{Local: "postmaster"})
	}
	return target, err
}

// relay takes mail for a domain of others.
func (w *walk) relay(ctx context.Context, p at) error {
	if routed(p.to.Local) {
		// The next host may believe us and read it as a route, RFC 5321 section 7.7.
		return failure(p.to, mail.Reply(550, "5.7.1", "routes written by the sender are not followed"), nil)
	}
	if list := w.router.o.Tables.RelayRecipients; len(list) > 0 {
		a, err := w.ask(ctx, "relay recipient", list, addressKeys(p.to, w.router.o.Separator, true)...)
		if err != nil {
			return err
		}
		if !a.found {
			return failure(p.to, mail.Reply(550, "5.1.1", "no such user there"), nil)
		}
	}
	return w.leave(ctx, p, Relay)
}

// comeHome sends mail for a sender that we rewrote on to the sender.
func (w *walk) comeHome(ctx context.Context, p at) error {
	back, err := w.router.o.SRS.Reverse(p.to)
	w.note(Step{Step: "rewritten sender", Found: err == nil, Answer: back.String()})
	if err != nil {
		return failure(p.to, mail.Reply(550, "5.1.1", "no such rewritten address, or not any more"), err)
	}
	return w.visit(ctx, at{to: back, from: p.from, depth: p.depth + 1, final: true})
}

// errTooMany ends an expansion as a whole: half of a list is nobody's wish.
var errTooMany = errors.New("the limit of alias expansion is reached")

func failure(to mail.Address, s mail.Status, err error) error {
	return &mail.Failure{Op: "route " + to.String(), Status: s, Err: err}
}

func unavailable(op string, err error) error {
	return &mail.Failure{Op: op, Status: mail.Reply(451, "4.3.0", "the user directory does not answer, try again later"), Err: err}
}

// wrong is a fault of what the administrator wrote: mail waits until he has
// mended it.
func wrong(op string, err error) error {
	return &mail.Failure{Op: op, Status: mail.Reply(451, "4.3.5", "the routing here has a fault, try again later"), Err: err}
}
