// Package route is the step from a recipient to its next hop: a local account,
// the addresses behind an alias, or another host. It reads no message.
//
// RFC 5321 sections 3.9 (aliases), 4.5.1 (postmaster) and 5.1 (next hop).
package route

import (
	"context"
	"errors"
	"fmt"

	"plic/internal/directory"
	"plic/internal/mail"
)

// Defaults of Options.
const (
	DefaultExpand = 1000 // addresses that one recipient may become
	DefaultDepth  = 20   // aliases behind aliases
)

// Options are what a Router decides by.
type Options struct {
	Directory directory.Directory
	Relay     *mail.Hop // where everything that is not ours goes; nil is by MX
	Expand    int       // 0 is DefaultExpand
	Depth     int       // 0 is DefaultDepth
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
	return &Router{o}
}

// Destination is where one address ends here: in an account, or at a hop.
type Destination struct {
	Address mail.Address // after aliases
	Account string       // "" if it leaves this host
	Detail  string       // what stood behind the separator, "user+detail"
	Hop     mail.Hop     // if Account is ""
}

// Local says whether the domain is ours. Errors are temporary.
func (r *Router) Local(ctx context.Context, d mail.Domain) (bool, error) {
	if d.IsZero() {
		return true, nil // "postmaster" alone
	}
	if _, literal := d.Literal(); literal {
		return false, nil // an address of this host is no mail domain of it
	}
	_, err := r.o.Directory.Domain(ctx, d)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, directory.ErrNotFound):
		return false, nil
	}
	return false, unavailable("look up domain "+d.String(), err)
}

// Route follows a recipient to its destinations. A recipient that does not
// exist is a *mail.Failure with 550 5.1.1, trouble of the directory with 451.
func (r *Router) Route(ctx context.Context, to mail.Address) ([]Destination, error) {
	w := walk{router: r, seen: map[string]bool{}}
	if err := w.visit(ctx, to, 0); err != nil {
		return nil, err
	}
	if len(w.found) == 0 {
		return nil, failure(to, mail.Reply(550, "5.4.6", "the aliases of this address lead back to themselves"), nil)
	}
	return w.found, nil
}

// walk is one expansion. An address is visited once, which ends every cycle.
type walk struct {
	router *Router
	seen   map[string]bool
	found  []Destination
}

func (w *walk) visit(ctx context.Context, to mail.Address, depth int) error {
	o := w.router.o
	if w.seen[to.Key()] {
		return nil
	}
	w.seen[to.Key()] = true
	if depth > o.Depth || len(w.seen) > o.Expand {
		return failure(to, mail.Reply(550, "5.4.6", "too many aliases behind this address"), errTooMany)
	}
	local, err := w.router.Local(ctx, to.Domain)
	if err != nil {
		return err
	}
	if !local {
		w.found = append(w.found, Destination{Address: to, Hop: o.hop(to.Domain)})
		return nil
	}
	target, err := o.Directory.Resolve(ctx, to)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return failure(to, mail.Reply(550, "5.1.1", "no such user here"), nil)
	case err != nil:
		return unavailable("look up "+to.String(), err)
	case target.Account != "":
		w.found = append(w.found, Destination{Address: to, Account: target.Account, Detail: target.Detail})
		return nil
	}
	return w.expand(ctx, to, target.Aliases, depth)
}

// errTooMany ends an expansion as a whole: half of a list is nobody's wish.
var errTooMany = errors.New("the limit of alias expansion is reached")

// expand follows an alias. One dead member does not stop the others; if none
// is left, the first reason counts.
func (w *walk) expand(ctx context.Context, to mail.Address, members []mail.Address, depth int) error {
	before := len(w.found)
	var first error
	for _, member := range members {
		err := w.visit(ctx, member, depth+1)
		if err != nil && (mail.StatusOf(err).Temporary() || errors.Is(err, errTooMany)) {
			return err
		}
		if err != nil && first == nil {
			first = fmt.Errorf("alias %s: %w", to, err)
		}
	}
	if len(w.found) > before {
		return nil
	}
	return first
}

func (o Options) hop(d mail.Domain) mail.Hop {
	if o.Relay != nil {
		return *o.Relay
	}
	if ip, literal := d.Literal(); literal {
		return mail.Hop{Kind: mail.HopRemote, Host: ip.String(), Exact: true}
	}
	return mail.Hop{Kind: mail.HopRemote, Host: d.String()}
}

func failure(to mail.Address, s mail.Status, err error) error {
	return &mail.Failure{Op: "route " + to.String(), Status: s, Err: err}
}

func unavailable(op string, err error) error {
	return &mail.Failure{Op: op, Status: mail.Reply(451, "4.3.0", "the user directory does not answer, try again later"), Err: err}
}
