package route

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"plic/internal/directory"
	"plic/internal/mail"
)

// member is one target of an alias.
type member struct {
	address mail.Address // or
	command string       // a command to be given the message, "prog arg", or
	file    string       // a file to append it to, or
	include string       // a file with more members
	final   bool         // the address itself, not the alias of that name
	keep    bool         // only the domain is given, the local part stays
}

// alias looks an address up in the tables of aliases, only as a whole domain or
// only as itself. It says whether that was all there is to do.
func (w *walk) alias(ctx context.Context, p at, class Class, catchAll bool) (done bool, err error) {
	o := &w.router.o
	list := o.Tables.Aliases
	if len(list) == 0 {
		return false, nil
	}
	base, detail := p.to.Detail(o.Separator)
	var keys []string
	if !catchAll {
		keys = addressKeys(p.to, o.Separator, false)
		if class == Local {
			keys = append(keys, p.to.Local)
			if base != p.to {
				keys = append(keys, base.Local)
			}
		}
	}
	if catchAll || class != Local {
		keys = append(keys, "@"+p.to.Domain.String())
	}
	a, err := w.ask(ctx, "alias", list, keys...)
	if err != nil || !a.found {
		return false, err
	}
	members, err := w.members(a.value, p.to.Domain)
	if err != nil {
		return false, wrong("read the alias "+a.key, err)
	}
	for i := range members {
		m := &members[i]
		switch {
		case m.keep:
			if routed(p.to.Local) && m.address.Domain != p.to.Domain {
				return false, failure(p.to, mail.Reply(550, "5.7.1", "routes written by the sender are not followed"), nil)
			}
			m.address.Local = p.to.Local
		case detail != "" && a.key == base.String() && m.address.Local != "" && !strings.Contains(m.address.Local, o.Separator):
			m.address.Local += o.Separator + detail // what nobody has looked at goes on
		}
	}
	if p, err = w.owned(ctx, p, strings.HasPrefix(a.key, "@")); err != nil {
		return false, err
	}
	return true, w.expand(ctx, p, members)
}

// owned makes the owner of a list, if it has one, the sender of what goes to
// its members: what comes back concerns him. Reports stay without a sender.
func (w *walk) owned(ctx context.Context, p at, catchAll bool) (at, error) {
	if catchAll || p.from.IsNull() {
		return p, nil
	}
	o := &w.router.o
	base, _ := p.to.Detail(o.Separator)
	if strings.HasPrefix(strings.ToLower(base.Local), "owner-") {
		return p, nil
	}
	owner := mail.Address{Local: "owner-" + base.Local, Domain: base.Domain}
	a, err := w.ask(ctx, "owner", o.Tables.Aliases, owner.String(), owner.Local)
	if err != nil {
		return p, err
	}
	if !a.found {
		t, err := o.Directory.Resolve(ctx, owner)
		if err != nil && !errors.Is(err, directory.ErrNotFound) {
			return p, unavailable("look up "+owner.String(), err)
		}
		if err != nil || t.CatchAll {
			return p, nil
		}
		w.note(Step{Step: "owner", Table: "directory", Key: owner.String(), Found: true, Answer: owner.String()})
	}
	p.from, p.list = owner, true
	return p, nil
}

// expand follows an alias. One dead member does not stop the others; if none
// is left, the first reason counts.
func (w *walk) expand(ctx context.Context, p at, members []member) error {
	before := len(w.found)
	var first error
	for _, m := range members {
		err := w.member(ctx, p, m)
		if err != nil && (mail.StatusOf(err).Temporary() || errors.Is(err, errTooMany)) {
			return err
		}
		if err != nil && first == nil {
			first = fmt.Errorf("alias %s: %w", p.to, err)
		}
	}
	if len(w.found) > before {
		return nil
	}
	return first
}

func (w *walk) member(ctx context.Context, p at, m member) error {
	next := at{from: p.from, depth: p.depth + 1, list: p.list}
	switch {
	case m.command != "":
		w.found = append(w.found, Destination{Address: p.to, From: p.from, List: p.list, Hop: mail.Hop{Kind: mail.HopPipe, Host: "|" + m.command, Exact: true}})
	case m.file == "/dev/null":
		w.found = append(w.found, Destination{Address: p.to, From: p.from, List: p.list, Discard: true})
	case m.file != "":
		w.found = append(w.found, Destination{Address: p.to, From: p.from, List: p.list, Hop: mail.Hop{Kind: mail.HopPipe, Host: m.file, Exact: true}})
	case m.include != "":
		members, err := w.included(m.include, p.to.Domain)
		if err != nil {
			return wrong("include "+m.include, err)
		}
		w.note(Step{Step: "include", Table: m.include, Found: true, Answer: fmt.Sprintf("%d members", len(members))})
		return w.expand(ctx, at{to: p.to, from: p.from, depth: p.depth + 1, list: p.list}, members)
	default:
		next.to = m.address
		next.final = m.final || m.address.Key() == p.to.Key()
		return w.visit(ctx, next)
	}
	return nil
}

// members reads the targets of an alias. Names without a domain are at home
// where the alias is.
func (w *walk) members(text string, domain mail.Domain) ([]member, error) {
	if domain.IsZero() {
		domain = w.router.o.Hostname
	}
	var list []member
	for _, part := range split(text) {
		m, err := parseMember(part, domain)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, errors.New("it leads nowhere")
	}
	return list, nil
}

func parseMember(text string, domain mail.Domain) (m member, err error) {
	inner := text
	if len(text) > 1 && text[0] == '"' && text[len(text)-1] == '"' {
		if unquoted := strings.ReplaceAll(text[1:len(text)-1], `\"`, `"`); strings.HasPrefix(unquoted, "|") || strings.HasPrefix(unquoted, "/") || strings.HasPrefix(unquoted, ":") {
			inner = unquoted
		}
	}
	switch {
	case strings.HasPrefix(inner, "|"):
		if m.command = strings.TrimSpace(inner[1:]); m.command == "" {
			return m, errors.New("the command is missing")
		}
		return m, nil
	case strings.HasPrefix(inner, "/") && !strings.Contains(inner, "@"):
		m.file = inner
		return m, nil
	case strings.HasPrefix(strings.ToLower(inner), ":include:"):
		m.include = strings.TrimSpace(inner[len(":include:"):])
		return m, nil
	case strings.HasPrefix(inner, "@"):
		m.keep = true
		m.address.Domain, err = mail.ParseDomain(inner[1:])
		return m, err
	case strings.HasPrefix(inner, `\`):
		m.final = true
		inner = inner[1:]
	}
	if inner = strings.TrimSuffix(strings.TrimPrefix(inner, "<"), ">"); !strings.Contains(inner, "@") {
		inner += "@" + domain.String()
	}
	m.address, err = mail.ParseAddress(inner)
	return m, err
}

// split cuts a list at commas that stand in no quotes.
func split(text string) []string {
	var list []string
	start, quotes := 0, false
	add := func(part string) {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			quotes = !quotes
		case ',':
			if !quotes {
				add(text[start:i])
				start = i + 1
			}
		}
	}
	add(text[start:])
	return list
}

// maxInclude bounds a file that an alias includes.
const maxInclude = 4 << 20

// included reads the members that a file names. They may be addresses and more
// such files: whoever may write a list may not thereby run commands.
func (w *walk) included(path string, domain mail.Domain) ([]member, error) {
	f, err := w.router.o.FS.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxInclude+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxInclude {
		return nil, fmt.Errorf("it has more than %d octets", maxInclude)
	}
	var list []member
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		members, err := w.members(line, domain)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		for _, m := range members {
			if m.command != "" || m.file != "" || m.keep {
				return nil, fmt.Errorf("line %d: a list may name addresses only", n)
			}
		}
		list = append(list, members...)
	}
	return list, nil
}

// routed says that a local part may be read as a route to somewhere else.
func routed(local string) bool { return strings.ContainsAny(local, "@%!") }
