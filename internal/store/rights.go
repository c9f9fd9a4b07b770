package store

import (
	"fmt"
	"slices"
	"strings"
)

// Rights are what an identifier may do with a mailbox, RFC 4314 section 2.1.
type Rights uint16

// The rights, in the order in which they are written.
const (
	MayLookup  Rights = 1 << iota // l: see that it is there
	MayRead                       // r: open it
	MaySee                        // s: change \Seen
	MayWrite                      // w: change other flags
	MayInsert                     // i: put messages in
	MayPost                       // p: send mail to it
	MayCreate                     // k: make mailboxes below it
	MayRemove                     // x: delete or rename it
	MayDelete                     // t: change \Deleted
	MayExpunge                    // e: expunge messages
	MayAdmin                      // a: change its rights

	AllRights = MayAdmin<<1 - 1
)

const rightLetters = "lrswipkxtea"

// The rights c and d of RFC 2086, as RFC 4314 section 2.1.1 lets a server
// understand them.
const (
	oldCreate = MayCreate | MayRemove
	oldDelete = MayDelete | MayExpunge
)

// ParseRights reads rights as they are written.
func ParseRights(text string) (r Rights, err error) {
	for i := range len(text) {
		switch n := strings.IndexByte(rightLetters, text[i]); {
		case n >= 0:
			r |= 1 << n
		case text[i] == 'c':
			r |= oldCreate
		case text[i] == 'd':
			r |= oldDelete
		default:
			return 0, fmt.Errorf("there is no right %.1q", text[i:])
		}
	}
	return r, nil
}

// String writes rights, with c and d for clients of RFC 2086.
func (r Rights) String() string {
	b := make([]byte, 0, len(rightLetters)+2)
	for i := range len(rightLetters) {
		if r&(1<<i) != 0 {
			b = append(b, rightLetters[i])
		}
	}
	if r&oldCreate != 0 {
		b = append(b, 'c')
	}
	if r&oldDelete != 0 {
		b = append(b, 'd')
	}
	return string(b)
}

// Has says that all of some rights are there.
func (r Rights) Has(need Rights) bool { return r&need == need }

// The identifiers that stand for more than one account, RFC 4314 section 2.
const (
	Anyone        = "anyone"
	Authenticated = "authenticated"
)

// Grant gives rights to an identifier, or with Not takes them away whatever
// else gives them.
type Grant struct {
	Who    string // the name of an account, "$group" or "group:group", Anyone or Authenticated
	Not    bool
	Rights Rights
}

// ACL is who but its owner may do what with a mailbox; sorted, never changed.
type ACL []Grant

// Of gives the rights of an account that is not the owner, in some groups.
func (l ACL) Of(account string, groups ...string) Rights {
	return l.of(func(who string) bool {
		return who == Anyone || who == Authenticated || strings.EqualFold(who, account) ||
			slices.ContainsFunc(groups, func(g string) bool { return isGroup(who, g) })
	})
}

// identifiers are the names by which rights are given to a group: Dovecot's and
// Cyrus's.
func identifiers(group string) []string { return []string{"$" + group, "group:" + group} }

// isGroup says whether an identifier is that of a group.
func isGroup(who, group string) bool {
	return slices.ContainsFunc(identifiers(group), func(name string) bool { return strings.EqualFold(who, name) })
}

// OfStrangers gives the rights of who has not logged in.
func (l ACL) OfStrangers() Rights { return l.of(func(who string) bool { return who == Anyone }) }

func (l ACL) of(is func(who string) bool) Rights {
	var given, taken Rights
	for i := range l {
		if g := &l[i]; is(g.Who) {
			if g.Not {
				taken |= g.Rights
			} else {
				given |= g.Rights
			}
		}
	}
	return given &^ taken
}

// With gives the list with other rights for an identifier; none is no entry.
func (l ACL) With(g Grant) ACL {
	out := slices.DeleteFunc(slices.Clone(l), func(have Grant) bool {
		return have.Not == g.Not && strings.EqualFold(have.Who, g.Who)
	})
	if g.Rights != 0 {
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b Grant) int { return strings.Compare(a.id(), b.id()) })
	return out
}

// Get gives an identifier's entry, its rights 0 if there is none.
func (l ACL) Get(who string, not bool) Grant {
	for _, g := range l {
		if g.Not == not && strings.EqualFold(g.Who, who) {
			return g
		}
	}
	return Grant{Who: who, Not: not}
}

func (g Grant) id() string {
	if g.Not {
		return "-" + g.Who
	}
	return g.Who
}

// encode writes the list as a note: a line for each entry.
func (l ACL) encode() []byte {
	if len(l) == 0 {
		return nil
	}
	var b []byte
	for _, g := range l {
		b = fmt.Appendf(b, "%s %s\n", g.Rights, g.id())
	}
	return b
}

// decodeACL reads a note; lines that make no sense grant nothing.
func decodeACL(note []byte) (l ACL) {
	for line := range strings.Lines(string(note)) {
		text, who, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		r, err := ParseRights(text)
		if !ok || err != nil {
			continue
		}
		who, not := strings.CutPrefix(who, "-")
		l = append(l, Grant{who, not, r})
	}
	return l
}
