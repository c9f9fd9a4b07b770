package sieve

import (
	"slices"
	"strings"
	"time"

	"plic/internal/message"
)

func (c *compiler) keep(a *args) (node, error) {
	flags, err := c.flagList(a)
	return do(func(m *machine) error {
		m.out.Keep, m.out.explicitKeep = true, true
		m.out.KeepFlags = flags(m)
		m.trace(a.Pos, "keep the message")
		return nil
	}), err
}

func (c *compiler) discard(a *args) (node, error) {
	return do(func(m *machine) error {
		if !m.out.explicitKeep {
			m.out.Keep = false
		}
		m.trace(a.Pos, "discard: no implicit keep")
		return nil
	}), nil
}

// cancel ends the implicit keep, but for an action with :copy.
func (m *machine) cancel(a *args) {
	if !a.has("copy") && !m.out.explicitKeep {
		m.out.Keep = false
	}
}

// file compiles the tags that say where a message is filed.
func (c *compiler) file(a *args, mailbox *text) (func(m *machine) FileInto, error) {
	if err := a.only("specialuse", "mailboxid"); err != nil {
		return nil, err
	}
	flags, err := c.flagList(a)
	if err != nil {
		return nil, err
	}
	use, err := c.tagText(a, "specialuse")
	if err != nil {
		return nil, err
	}
	id, err := c.tagText(a, "mailboxid")
	return func(m *machine) FileInto {
		return FileInto{
			At: a.Pos, Mailbox: mailbox.expand(m), Flags: flags(m), Create: a.has("create"),
			SpecialUse: use.expand(m), MailboxID: id.expand(m),
		}
	}, err
}

func (c *compiler) fileinto(a *args) (node, error) {
	name, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	file, err := c.file(a, name)
	return do(func(m *machine) error {
		f := file(m)
		if f.Mailbox == "" || strings.ContainsAny(f.Mailbox, "\x00\r\n") {
			return errorAt(a.Pos, "%q is no name of a mailbox", f.Mailbox)
		}
		m.cancel(a)
		m.trace(a.Pos, "file into %q", f.Mailbox)
		for _, have := range m.out.Actions {
			if h, ok := have.(*FileInto); ok && h.Mailbox == f.Mailbox && h.MailboxID == f.MailboxID && h.SpecialUse == f.SpecialUse {
				h.Flags, h.Create = f.Flags, h.Create || f.Create // once is enough, RFC 5228 section 2.10.3
				return nil
			}
		}
		return m.add(a.Pos, &f)
	}), err
}

func (c *compiler) redirect(a *args) (node, error) {
	if err := a.only("bytimerelative", "bytimeabsolute"); err != nil {
		return nil, err
	}
	to, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	if _, ok := address(to.plain); !ok && to.parts == nil && !a.has("list") {
		return nil, errorAt(to.Pos, "%q is no address", to.plain)
	}
	notify, err := c.tagText(a, "notify")
	if err != nil {
		return nil, err
	}
	ret, err := c.tagText(a, "ret")
	if err != nil {
		return nil, err
	}
	by, err := c.by(a)
	return do(func(m *machine) error {
		r := &Redirect{At: a.Pos, To: to.expand(m), List: a.has("list"), Notify: notify.expand(m), Ret: strings.ToUpper(ret.expand(m))}
		if !r.List {
			addr, ok := address(r.To)
			if !ok {
				return errorAt(a.Pos, "%q is no address", r.To)
			}
			r.To = addr.String()
		} else if m.in.Lists == nil || !m.in.Lists.Known(r.To) {
			return errorAt(a.Pos, "there is no list %q", r.To)
		}
		if r.Ret != "" && r.Ret != "FULL" && r.Ret != "HDRS" {
			return errorAt(a.Pos, "%q is neither FULL nor HDRS", r.Ret)
		}
		if err := by(m, r); err != nil {
			return err
		}
		m.cancel(a)
		m.trace(a.Pos, "redirect to %s", r.To)
		for _, have := range m.out.Actions {
			if h, ok := have.(*Redirect); ok && strings.EqualFold(h.To, r.To) {
				return nil
			}
		}
		return m.add(a.Pos, r)
	}), err
}

// by compiles the tags of redirect-deliverby, RFC 6009 section 6.
func (c *compiler) by(a *args) (func(*machine, *Redirect) error, error) {
	absolute, err := c.tagText(a, "bytimeabsolute")
	if err != nil {
		return nil, err
	}
	mode, err := c.tagText(a, "bymode")
	return func(m *machine, r *Redirect) error {
		switch {
		case absolute != nil:
			at, err := time.Parse(time.RFC3339, absolute.expand(m))
			if err != nil {
				return errorAt(a.Pos, "%q is no time", absolute.expand(m))
			}
			r.By = at
		case a.has("bytimerelative"):
			r.By = m.in.Now.Add(time.Duration(min(a.tags["bytimerelative"].n, maxSeconds)) * time.Second)
		default:
			return nil
		}
		r.ByMode, r.ByTrace = "notify", a.has("bytrace")
		if mode != nil {
			r.ByMode = strings.ToLower(mode.expand(m))
		}
		if r.ByMode != "notify" && r.ByMode != "return" {
			return errorAt(a.Pos, "%q is neither notify nor return", r.ByMode)
		}
		return nil
	}, err
}

func (c *compiler) reject(a *args) (node, error) {
	reason, err := c.text(a.pos[0])
	return do(func(m *machine) error {
		if !m.out.explicitKeep {
			m.out.Keep = false
		}
		m.trace(a.Pos, "refuse the message")
		for _, have := range m.out.Actions {
			if _, ok := have.(*Reject); ok {
				return errorAt(a.Pos, "the message is refused already")
			}
		}
		return m.add(a.Pos, &Reject{At: a.Pos, Reason: reason.expand(m), InSession: a.name == "ereject"})
	}), err
}

// addheader adds a field, RFC 5293 section 4.
func (c *compiler) addheader(a *args) (node, error) {
	name, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	if name.parts == nil && !validFieldName(name.plain) {
		return nil, errorAt(name.Pos, "%q is no name of a field", name.plain)
	}
	value, err := c.text(a.pos[1])
	return do(func(m *machine) error {
		n, v := name.expand(m), value.expand(m)
		if !validFieldName(n) {
			return errorAt(a.Pos, "%q is no name of a field", n)
		}
		m.trace(a.Pos, "add the field %s", n)
		if len(m.header.fields) > maxFields {
			return errorAt(a.Pos, "the header has too many fields")
		}
		m.header.add(n, strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == '\r' || r == '\n' }), " "), a.has("last"))
		return m.spend(a.Pos, 16)
	}), err
}

const maxFields = 10000

// deleteheader deletes fields, RFC 5293 section 5. Received and Auto-Submitted
// stay: loops are told by them.
func (c *compiler) deleteheader(a *args) (node, error) {
	match, err := c.matching(a, a.pos[1])
	if err != nil {
		return nil, err
	}
	name, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	if name.parts == nil && !validFieldName(name.plain) {
		return nil, errorAt(name.Pos, "%q is no name of a field", name.plain)
	}
	n, last, err := index(a)
	return do(func(m *machine) error {
		who := name.expand(m)
		if strings.EqualFold(who, "Received") || strings.EqualFold(who, "Auto-Submitted") {
			return nil
		}
		var at []int
		for i := range m.header.fields {
			if strings.EqualFold(m.header.fields[i].Name, who) {
				at = append(at, i)
			}
		}
		if n > 0 {
			if n > len(at) {
				return nil
			}
			k := n - 1
			if last {
				k = len(at) - n
			}
			at = at[k : k+1]
		}
		m.trace(a.Pos, "delete the field %s", who)
		gone := map[int]bool{}
		for _, i := range at {
			ok := a.pos[1] == nil
			if !ok {
				if ok, err = match.any(m, []string{message.DecodeHeader(m.header.fields[i].Text())}); err != nil {
					return err
				}
			}
			gone[i] = ok
		}
		i := -1
		m.header.fields = slices.DeleteFunc(m.header.fields, func(field) bool { i++; return gone[i] })
		return m.spend(a.Pos, 1+len(m.header.fields)/16)
	}), err
}
