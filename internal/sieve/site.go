package sieve

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// environment asks about where the script runs, RFC 5183. An item that is not
// known matches nothing.
func (c *compiler) environment(a *args) (test, error) {
	match, err := c.matching(a, a.pos[1])
	if err != nil {
		return nil, err
	}
	name, err := c.text(a.pos[0])
	return &lookup{match: match, values: func(m *machine) ([]string, error) {
		item := strings.ToLower(name.expand(m))
		switch {
		case item == "remote-ip" && m.in.Remote.IsValid():
			return []string{m.in.Remote.String()}, nil
		case item == "name":
			return []string{"plic"}, nil
		}
		if v, ok := m.in.Environment[item]; ok {
			return []string{v}, nil
		}
		return nil, nil
	}}, err
}

// every is a test that asks the same of all strings of a list.
func every(texts []*text, cost int, holds func(m *machine, s string) bool) test {
	return ask(func(m *machine) (bool, error) {
		for _, s := range expandAll(m, texts) {
			if err := m.spend(Pos{}, cost+len(s)/16); err != nil {
				return false, err
			}
			if !holds(m, s) {
				return false, nil
			}
		}
		return true, nil
	})
}

func (c *compiler) mailboxexists(a *args) (test, error) {
	names, err := c.texts(a.pos[0])
	return every(names, askSite, func(m *machine, s string) bool { return m.in.Mailboxes != nil && m.in.Mailboxes.Exists(s) }), err
}

func (c *compiler) mailboxidexists(a *args) (test, error) {
	ids, err := c.texts(a.pos[0])
	return every(ids, askSite, func(m *machine, s string) bool {
		if m.in.Mailboxes == nil {
			return false
		}
		_, ok := m.in.Mailboxes.ByID(s)
		return ok
	}), err
}

// specialuse is specialuse_exists, RFC 8579 section 3.
func (c *compiler) specialuse(a *args) (test, error) {
	mailbox, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	uses, err := c.texts(a.pos[1])
	return every(uses, askSite, func(m *machine, s string) bool {
		switch {
		case m.in.Mailboxes == nil:
			return false
		case mailbox != nil:
			return m.in.Mailboxes.HasSpecialUse(mailbox.expand(m), s)
		}
		_, ok := m.in.Mailboxes.BySpecialUse(s)
		return ok
	}), err
}

// metadata is metadata and servermetadata, RFC 5490.
func (c *compiler) metadata(a *args) (test, error) {
	pos := a.pos
	mailbox := &text{}
	var err error
	if a.name == "metadata" {
		if mailbox, err = c.text(pos[0]); err != nil {
			return nil, err
		}
		pos = pos[1:]
	}
	match, err := c.matching(a, pos[1])
	if err != nil {
		return nil, err
	}
	name, err := c.text(pos[0])
	return &lookup{match: match, values: func(m *machine) ([]string, error) {
		if m.in.Mailboxes == nil {
			return nil, nil
		}
		m.charge(askSite)
		if v, ok := m.in.Mailboxes.Metadata(mailbox.expand(m), name.expand(m)); ok {
			return []string{v}, nil
		}
		return nil, nil
	}}, err
}

func (c *compiler) metadataexists(a *args) (test, error) {
	pos := a.pos
	mailbox := &text{}
	var err error
	if a.name == "metadataexists" {
		if mailbox, err = c.text(pos[0]); err != nil {
			return nil, err
		}
		pos = pos[1:]
	}
	names, err := c.texts(pos[0])
	return every(names, askSite, func(m *machine, s string) bool {
		if m.in.Mailboxes == nil {
			return false
		}
		_, ok := m.in.Mailboxes.Metadata(mailbox.expand(m), s)
		return ok
	}), err
}

// score compiles a test of a score, RFC 5235: "0" if it was not tested, else
// from 1 to the highest.
func (c *compiler) score(a *args, find func(*machine) string) (test, error) {
	match, err := c.matching(a, a.pos[0])
	return &lookup{match: match, values: func(m *machine) ([]string, error) {
		return []string{find(m)}, nil
	}}, err
}

func (c *compiler) spamtest(a *args) (test, error) {
	percent := a.has("percent")
	return c.score(a, func(m *machine) string {
		switch s := m.in.Spam; {
		case s == nil:
			return "0"
		case percent:
			return strconv.Itoa(min(max(s.Percent, 0), 100))
		default:
			return strconv.Itoa(1 + min(max(s.Percent, 0), 100)*9/100)
		}
	})
}

func (c *compiler) virustest(a *args) (test, error) {
	return c.score(a, func(m *machine) string {
		if m.in.Virus == nil {
			return "0"
		}
		return strconv.Itoa(1 + min(max(m.in.Virus.Percent, 0), 100)*4/100)
	})
}

// duplicate says whether a message of the same key was here before, RFC 7352.
func (c *compiler) duplicate(a *args) (test, error) {
	if err := a.only("header", "uniqueid"); err != nil {
		return nil, err
	}
	handle, err := c.tagText(a, "handle")
	if err != nil {
		return nil, err
	}
	header, err := c.tagText(a, "header")
	if err != nil {
		return nil, err
	}
	unique, err := c.tagText(a, "uniqueid")
	keep := 7 * 24 * time.Hour
	if s := a.tags["seconds"]; s != nil {
		keep = time.Duration(min(s.n, maxSeconds)) * time.Second
	}
	return ask(func(m *machine) (bool, error) {
		id := ""
		switch {
		case unique != nil:
			id = "u" + unique.expand(m)
		default:
			name := "Message-ID"
			if header != nil {
				name = header.expand(m)
			}
			values := m.named(m.in.Message.Root, name)
			if len(values) == 0 {
				return false, nil
			}
			id = "h" + values[0]
		}
		key := fmt.Sprintf("duplicate\x00%s\x00%s", handle.expand(m), id)
		m.charge(askSite)
		seen := m.in.Seen != nil && m.in.Seen(key)
		if len(m.out.Remember) >= maxRemembered {
			return false, errorAt(a.Pos, "more than %d things to remember", maxRemembered)
		}
		if !seen || a.has("last") {
			m.out.Remember = append(m.out.Remember, Memory{key, keep})
		}
		return seen, nil
	}), err
}

// maxRemembered bounds what one message may leave to be remembered.
const maxRemembered = 100

// maxSeconds is the longest time that is remembered.
const maxSeconds = 90 * 24 * 3600

// validExtList says that lists are known, RFC 6134.
func (c *compiler) validExtList(a *args) (test, error) {
	lists, err := c.texts(a.pos[0])
	return every(lists, askSite, func(m *machine, s string) bool { return m.in.Lists != nil && m.in.Lists.Known(s) }), err
}
