package imapd

import (
	"context"
	"maps"
	"slices"

	"plic/internal/imap"
	"plic/internal/store"
)

// lsub is LSUB, RFC 3501 section 6.3.9: subscribed names that match, and for
// "%" also the names that do not but have such below them.
func (c *conn) lsub(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	reference := s.Pattern()
	s.SP()
	pattern := s.Pattern()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if pattern == "" {
		c.out.text(`* LSUB (\Noselect) "/" ""`)
		return reply{}, nil
	}
	pattern = imap.NormalName(reference + pattern)
	infos, err := c.reachable(ctx, []string{pattern})
	if err != nil {
		return reply{}, err
	}
	above := namesAbove(infos, func(i *store.Info) bool { return i.Subscribed })
	tell := func(name, attributes string) {
		b := append(c.out.line(), "* LSUB "...)
		b = append(b, attributes...)
		b = append(b, ` "/" `...)
		b = imap.AppendMailbox(b, name, c.utf8Names())
		c.out.end(append(b, '\r', '\n'))
	}
	for _, info := range infos {
		if !info.Subscribed {
			continue
		}
		delete(above, info.Name)
		if imap.MatchName(pattern, info.Name) {
			tell(info.Name, "()")
		}
	}
	if pattern[len(pattern)-1] == '%' {
		for _, name := range sorted(above) {
			if imap.MatchName(pattern, name) {
				tell(name, `(\Noselect)`)
			}
		}
	}
	return reply{}, nil
}

func sorted(names map[string]bool) []string { return slices.Sorted(maps.Keys(names)) }
