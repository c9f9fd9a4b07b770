package imapd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
)

// The namespaces of mailboxes that are not one's own, RFC 9051 section 6.3.10.
// Below the first come the names of accounts. Below the second is the one
// account that a site chose to own what is shared.
const (
	otherUsers = "user/"
	sharedTree = "shared/"
)

// place is where a mailbox name leads.
type place struct {
	account *store.Account // nil if there is nothing that this user may know of
	prefix  string         // what stands before names of that account; "" for one's own
	name    string         // in that account
}

func (p place) own() bool { return p.prefix == "" }

// place finds the account that a mailbox name leads to. A mailbox of one's own
// that has a name like those of others is not hidden by them.
func (c *conn) place(ctx context.Context, name string) (place, error) {
	prefix, owner, rest := c.foreign(name)
	if prefix == "" {
		return place{c.account, "", name}, nil
	}
	if info, err := c.account.Info(name); err == nil && !info.NonExistent {
		return place{c.account, "", name}, nil
	}
	if rest == "" || owner == c.account.Name() {
		return place{nil, prefix, rest}, nil
	}
	a, err := c.server.o.Store.Existing(ctx, owner)
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		return place{}, err
	}
	return place{a, prefix, imap.CanonicalName(rest)}, nil
}

// foreign takes a name of the other namespaces apart.
func (c *conn) foreign(name string) (prefix, owner, rest string) {
	if rest, ok := strings.CutPrefix(name, sharedTree); ok {
		if owner = c.sharedOwner(); owner != "" {
			return sharedTree, owner, rest
		}
	}
	if rest, ok := strings.CutPrefix(name, otherUsers); ok {
		owner, rest, _ := strings.Cut(rest, string(imap.Delimiter))
		return otherUsers + owner + string(imap.Delimiter), owner, rest
	}
	return "", "", name
}

// sharedOwner is the account whose mailboxes are the shared ones; "" if there
// is none, or it is one's own.
func (c *conn) sharedOwner() string {
	if c.server.o.Shared == nil {
		return ""
	}
	if owner := c.server.o.Shared(c.account.Name()); owner != c.account.Name() {
		return owner
	}
	return ""
}

// mailbox finds a mailbox that one may do something with.
func (c *conn) mailbox(ctx context.Context, name string, need store.Rights) (*store.Mailbox, error) {
	p, err := c.place(ctx, name)
	if err != nil {
		return nil, err
	}
	if p.account != nil {
		if err := p.account.Sync(ctx); err != nil {
			return nil, err
		}
	}
	return c.at(p, need)
}

// at is mailbox for a place. What one may not look up is not there, RFC 4314
// section 4; else it is said that a right is missing.
func (c *conn) at(p place, need store.Rights) (*store.Mailbox, error) {
	if p.account == nil {
		return nil, store.ErrNoMailbox
	}
	mb, err := p.account.Mailbox(p.name)
	if p.own() {
		return mb, err
	}
	if err != nil {
		return nil, store.ErrNoMailbox
	}
	have := mb.RightsOf(c.account.Name(), c.groups...)
	if !have.Has(store.MayLookup) {
		return nil, store.ErrNoMailbox
	}
	if !have.Has(need) {
		return nil, errNoRight
	}
	return mb, nil
}

// errNoRight is the answer of RFC 5530 to what an ACL does not grant.
var errNoRight = no("NOPERM", "the owner of the mailbox did not give you the right to do that")

// info is what is told of the mailbox under the name that it has for the user.
func (c *conn) info(ctx context.Context, name string) (store.Info, error) {
	p, err := c.place(ctx, name)
	if err != nil {
		return store.Info{}, err
	}
	if p.own() {
		return c.account.Info(name)
	}
	if p.account != nil {
		for _, i := range c.visible(p.account, p.prefix) {
			if i.Name == name {
				return i, nil
			}
		}
	}
	return store.Info{}, store.ErrNoMailbox
}

// visible lists those mailboxes of another account that this user may look up,
// under the names that they have for this user, and the names above them: whether
// there are mailboxes of those is not told.
func (c *conn) visible(a *store.Account, prefix string) []store.Info {
	all := a.Mailboxes()
	infos, listed := make([]store.Info, 0, len(all)), make(map[string]bool, len(all))
	for _, info := range all {
		if info.NoSelect || !info.ACL.Of(c.account.Name(), c.groups...).Has(store.MayLookup) {
			continue
		}
		for i := range info.Name {
			if above := info.Name[:i]; info.Name[i] == imap.Delimiter && !listed[above] {
				listed[above] = true
				infos = append(infos, branch(prefix+above))
			}
		}
		listed[info.Name] = true
		info.Name, info.Subscribed, info.SpecialUse = prefix+info.Name, false, ""
		infos = append(infos, info)
	}
	for i := range infos {
		infos[i].HasChildren = i+1 < len(infos) && isBelow(infos[i+1].Name, infos[i].Name)
	}
	return infos
}

// reachable lists the mailboxes of all namespaces that patterns can match.
func (c *conn) reachable(ctx context.Context, patterns []string) ([]store.Info, error) {
	if err := c.account.Sync(ctx); err != nil {
		return nil, err
	}
	infos := c.account.Mailboxes()
	if !mayMatchBelow(patterns, otherUsers) && !mayMatchBelow(patterns, sharedTree) {
		return infos, nil
	}
	foreign, _, err := c.abroad(ctx)
	if err != nil {
		return nil, err
	}
	return c.subscriptions(ctx, distinct(append(infos, foreign...)))
}

// abroad lists the mailboxes of others that this user may look up, and the
// accounts that share with it.
func (c *conn) abroad(ctx context.Context) (infos []store.Info, from []*store.Account, err error) {
	names, err := c.server.o.Store.Sharing(ctx, c.account.Name(), c.groups...)
	if err != nil {
		return nil, nil, err
	}
	var others, shared []store.Info
	for _, name := range names {
		a, err := c.server.o.Store.Existing(ctx, name)
		if errors.Is(err, store.ErrNoAccount) || strings.ContainsRune(name, imap.Delimiter) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		from = append(from, a)
		if name == c.sharedOwner() {
			shared = c.visible(a, sharedTree)
		} else if found := c.visible(a, otherUsers+name+string(imap.Delimiter)); len(found) > 0 {
			others = append(append(others, branch(otherUsers+name)), found...)
		}
	}
	if len(others) > 0 {
		infos = append(append(infos, branch(strings.TrimSuffix(otherUsers, "/"))), others...)
	}
	if len(shared) > 0 {
		infos = append(append(infos, branch(strings.TrimSuffix(sharedTree, "/"))), shared...)
	}
	return infos, from, nil
}

// branch is a name that only has mailboxes below it.
func branch(name string) store.Info { return store.Info{Name: name, NoSelect: true, HasChildren: true} }

// distinct keeps the first of each name: one's own. It may have mailboxes of
// others below it.
func distinct(infos []store.Info) []store.Info {
	first := make(map[string]int, len(infos))
	out := infos[:0]
	for _, i := range infos {
		if at, had := first[i.Name]; had {
			out[at].HasChildren = out[at].HasChildren || i.HasChildren
			continue
		}
		first[i.Name] = len(out)
		out = append(out, i)
	}
	return out
}

// mayMatchBelow says that a pattern can match a name with a prefix, or a level
// of it.
func mayMatchBelow(patterns []string, prefix string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		if i := strings.IndexAny(p, "%*"); i >= 0 {
			p = p[:i]
		}
		return strings.HasPrefix(p, prefix) || strings.HasPrefix(prefix, p)
	})
}

// subscriptionNotes are the notes of subscriptions to mailboxes of others; those
// to one's own are kept with these.
const subscriptionNotes = "subscription/"

// subscribeForeign sets or takes back the subscription to a mailbox of another
// account.
func (c *conn) subscribeForeign(ctx context.Context, p place, on bool) error {
	if on {
		if _, err := c.at(p, 0); err != nil {
			return err
		}
		return c.account.Notes().Put(ctx, subscriptionNotes+p.prefix+p.name, []byte{})
	}
	return c.account.Notes().Put(ctx, subscriptionNotes+p.prefix+p.name, nil)
}

// subscriptions marks the mailboxes of others that are subscribed to. One that
// is gone, or hidden, is listed as such.
func (c *conn) subscriptions(ctx context.Context, infos []store.Info) ([]store.Info, error) {
	notes, err := c.account.Notes().All(ctx, subscriptionNotes)
	if err != nil {
		return nil, err
	}
	for _, n := range notes {
		name := n.Key[len(subscriptionNotes):]
		at := slices.IndexFunc(infos, func(i store.Info) bool { return i.Name == name })
		if at < 0 {
			at, infos = len(infos), append(infos, store.Info{Name: name, NoSelect: true, NonExistent: true})
		}
		infos[at].Subscribed = true
	}
	return infos, nil
}
