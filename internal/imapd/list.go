package imapd

import (
	"context"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
)

// list is LIST, RFC 9051 section 6.3.9, with the special uses of RFC 6154.
func (c *conn) list(ctx context.Context, cmd *imap.Command) (reply, error) {
	l := cmd.Args.ListCommand()
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	if !l.Extended && l.Patterns[0] == "" {
		c.out.text(`* LIST (\Noselect) "/" ""`) // only the delimiter is asked for
		return reply{}, nil
	}
	given := map[string]string{} // names as the client has them, where they are others here
	for i, p := range l.Patterns {
		p = l.Reference + p
		l.Patterns[i] = imap.NormalName(p)
		if c.rev2 && l.Patterns[i] != p && !strings.ContainsAny(p, "%*") {
			given[l.Patterns[i]] = p
		}
	}
	infos, err := c.reachable(ctx, l.Patterns)
	if err != nil {
		return reply{}, err
	}
	selects := func(i *store.Info) bool {
		return (!l.Subscribed || i.Subscribed) && (!l.SpecialOnly || i.SpecialUse != "")
	}
	var above map[string]bool
	if l.Recursive {
		above = namesAbove(infos, selects)
	}
	step, end, err := c.listInTurn(ctx, cmd.Tag, &l, len(infos))
	if err != nil {
		return reply{}, err
	}
	defer end()
	for i, info := range infos {
		if err := step(i); err != nil {
			return reply{}, err
		}
		childInfo := above[info.Name]
		delete(above, info.Name)
		switch {
		case !matchesAny(l.Patterns, info.Name):
		case !selects(&info) && !childInfo, !l.Subscribed && info.NonExistent:
		default:
			if err := c.tellListed(ctx, info, &l, childInfo, given[info.Name]); err != nil {
				return reply{}, err
			}
		}
	}
	for _, name := range sorted(above) { // names without a mailbox
		if matchesAny(l.Patterns, name) {
			if err := c.tellListed(ctx, store.Info{Name: name, NoSelect: true, NonExistent: true}, &l, true, given[name]); err != nil {
				return reply{}, err
			}
		}
	}
	return reply{}, nil
}

// longList is how many values a LIST may look up without a turn.
const longList = 100_000

// listInTurn takes a turn for a LIST of mailboxes that looks up much.
func (c *conn) listInTurn(ctx context.Context, tag string, l *imap.List, mailboxes int) (step func(done int) error, end func(), err error) {
	if (len(l.Metadata)+len(l.Status))*mailboxes < longList {
		return func(int) error { return ctx.Err() }, func() {}, nil
	}
	t, err := c.takeTurn(ctx, tag, c.server.readings)
	if err != nil {
		return nil, nil, err
	}
	return func(done int) error {
		if err := t.step(done, mailboxes); err != nil {
			return err
		}
		return t.rest()
	}, t.end, nil
}

func matchesAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if imap.MatchName(p, name) {
			return true
		}
	}
	return false
}

// namesAbove gives the names that have such below them that are selected.
func namesAbove(infos []store.Info, selects func(*store.Info) bool) map[string]bool {
	above := map[string]bool{}
	for i := range infos {
		if !selects(&infos[i]) {
			continue
		}
		for name := infos[i].Name; ; {
			i := strings.LastIndexByte(name, imap.Delimiter)
			if i < 0 || above[name[:i]] {
				break
			}
			name = name[:i]
			above[name] = true
		}
	}
	return above
}

// tellListed sends the LIST of a mailbox, and its STATUS if that is wanted; with the
// name that the client gave if it is another, RFC 9051 section 6.3.9.7.
func (c *conn) tellListed(ctx context.Context, info store.Info, l *imap.List, childInfo bool, given string) error {
	b := append(c.out.line(), "* LIST "...)
	b = appendAttributes(b, info, l.Subscribed || l.ReturnSubscribed)
	b = append(b, ` "/" `...)
	b = imap.AppendMailbox(b, info.Name, c.utf8Names())
	switch {
	case childInfo && given != "":
		b = c.appendOldName(append(b, ` ("CHILDINFO" ("SUBSCRIBED") `...), given)
	case childInfo:
		b = append(b, ` ("CHILDINFO" ("SUBSCRIBED"))`...)
	case given != "":
		b = c.appendOldName(append(b, ' ', '('), given)
	}
	c.out.end(append(b, '\r', '\n'))
	if len(l.Metadata) > 0 && !info.NoSelect {
		if err := c.tellMetadataOf(ctx, info.Name, l.Metadata); err != nil {
			return err
		}
	}
	if l.ReturnMyRights && !info.NoSelect {
		if err := c.tellRightsTo(ctx, info.Name); err != nil {
			return err
		}
	}
	if len(l.Status) == 0 || info.NoSelect { // RFC 5819 section 2
		return nil
	}
	if _, err := c.mailbox(ctx, info.Name, store.MayRead); err != nil {
		return nil
	}
	return c.tellStatus(ctx, info, l.Status)
}

// tellMailbox sends the LIST of one mailbox unasked; with the name that the
// client gave if it has become another, RFC 9051 section 6.3.9.7.
func (c *conn) tellMailbox(info store.Info, supplied string) {
	b := append(c.out.line(), "* LIST "...)
	b = appendAttributes(b, info, true)
	b = append(b, ` "/" `...)
	b = imap.AppendMailbox(b, info.Name, c.utf8Names())
	if supplied != info.Name {
		b = c.appendOldName(append(b, ' ', '('), supplied)
	}
	c.out.end(append(b, '\r', '\n'))
}

// appendOldName writes the last of the extended items of a LIST.
func (c *conn) appendOldName(b []byte, name string) []byte {
	b = imap.AppendMailbox(append(b, `"OLDNAME" (`...), name, c.utf8Names())
	return append(b, "))"...)
}

// appendAttributes writes the attributes of a mailbox, RFC 9051 section 7.3.1.
func appendAttributes(b []byte, info store.Info, subscribed bool) []byte {
	var names [6]string
	list := names[:0]
	switch {
	case info.NonExistent:
		list = append(list, `\NonExistent`, `\Noselect`) // the first implies the second, not all know it
	case info.NoSelect:
		list = append(list, `\Noselect`)
	}
	if info.HasChildren {
		list = append(list, `\HasChildren`)
	} else {
		list = append(list, `\HasNoChildren`)
	}
	if info.Subscribed && subscribed {
		list = append(list, `\Subscribed`)
	}
	if info.SpecialUse != "" {
		list = append(list, info.SpecialUse)
	}
	return imap.AppendFlags(b, list...)
}
