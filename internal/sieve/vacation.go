package sieve

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"plic/internal/message"
)

// vacation answers a sender once in a while, RFC 5230 and RFC 6131.
func (c *compiler) vacation(a *args) (node, error) {
	if err := a.only("days", "seconds"); err != nil {
		return nil, err
	}
	v := &vacationNode{args: a}
	var err error
	for _, x := range []struct {
		tag string
		to  **text
	}{{"subject", &v.subject}, {"from", &v.from}, {"handle", &v.handle}} {
		if *x.to, err = c.tagText(a, x.tag); err != nil {
			return nil, err
		}
	}
	if v.from != nil && v.from.parts == nil {
		if _, ok := address(v.from.plain); !ok {
			return nil, errorAt(v.from.Pos, "%q is no address", v.from.plain)
		}
	}
	if v.addresses, err = c.texts(a.tags["addresses"]); err != nil {
		return nil, err
	}
	if v.reason, err = c.text(a.pos[0]); err != nil {
		return nil, err
	}
	v.copy, err = c.fcc(a)
	return v, err
}

type vacationNode struct {
	*args
	subject, from, handle, reason *text
	addresses                     []*text
	copy                          func(*machine) *Copy
}

func (v *vacationNode) run(m *machine) error {
	for _, have := range m.out.Actions {
		switch have.(type) {
		case *Vacation:
			return errorAt(v.Pos, "vacation is given twice")
		case *Reject:
			return errorAt(v.Pos, "vacation and reject exclude each other")
		}
	}
	if why := v.unwanted(m); why != "" {
		m.trace(v.Pos, "no answer: %s", why)
		return nil
	}
	out := &Vacation{
		At: v.Pos, To: m.in.From, From: v.from.expand(m), Subject: v.subject.expand(m), Reason: v.reason.expand(m),
		MIME: v.has("mime"), For: v.period(), Copy: v.copy(m),
	}
	out.Key = v.key(m, out)
	m.charge(askSite)
	if m.in.Seen != nil && m.in.Seen(out.Key) {
		m.trace(v.Pos, "no answer: %s had one lately", m.in.From)
		return nil
	}
	m.trace(v.Pos, "answer to %s", m.in.From)
	if out.For > 0 {
		m.out.Remember = append(m.out.Remember, Memory{out.Key, out.For})
	}
	return m.add(v.Pos, out)
}

// period is how long a sender has no second answer.
func (v *vacationNode) period() time.Duration {
	const day = 24 * time.Hour
	switch {
	case v.has("seconds"):
		return time.Duration(min(v.tags["seconds"].n, maxSeconds)) * time.Second
	case v.has("days"):
		return time.Duration(min(max(v.tags["days"].n, 1), 90)) * day
	}
	return 7 * day
}

// key tells answers apart, RFC 5230 section 4.2: by the handle, else by what
// would be said.
func (v *vacationNode) key(m *machine, out *Vacation) string {
	what := "handle\x00" + v.handle.expand(m)
	if v.handle == nil {
		mime := ""
		if out.MIME {
			mime = "mime"
		}
		what = strings.Join([]string{"text", out.Subject, out.From, mime, out.Reason}, "\x00")
	}
	sum := sha256.Sum256([]byte(what))
	return "vacation\x00" + hex.EncodeToString(sum[:12]) + "\x00" + strings.ToLower(out.To)
}

// unwanted says why a message must have no answer, RFC 5230 section 4.5 and RFC
// 3834 section 2.
func (v *vacationNode) unwanted(m *machine) string {
	root := m.in.Message.Root
	local, _ := cutAddress(strings.ToLower(m.in.From))
	switch {
	case m.in.From == "":
		return "it has no sender"
	case local == "mailer-daemon" || local == "listserv" || local == "majordomo" || strings.HasSuffix(local, "-request") ||
		strings.HasPrefix(local, "owner-") || strings.HasSuffix(local, "-owner") || strings.HasPrefix(local, "noreply") || strings.HasPrefix(local, "no-reply"):
		return "its sender is a program"
	}
	m.charge(len(m.header.fields) / 4)
	for _, f := range m.header.list() {
		name, value := strings.ToLower(f.Name), strings.ToLower(f.Text())
		switch {
		case strings.HasPrefix(name, "list-"):
			return "it came by a mailing list"
		case name == "auto-submitted" && value != "no" && value != "":
			return "it was made by a program"
		case name == "precedence" && (value == "bulk" || value == "list" || value == "junk"):
			return "it is bulk mail"
		case name == "x-auto-response-suppress" && (strings.Contains(value, "oof") || strings.Contains(value, "all")):
			return "its sender wants no answer"
		}
	}
	mine := map[string]bool{}
	for _, list := range [][]string{expandAll(m, v.addresses), m.in.Addresses, {m.in.To}} {
		m.charge(len(list) / 4)
		for _, addr := range list {
			mine[strings.ToLower(addr)] = true
		}
	}
	if mine[strings.ToLower(m.in.From)] {
		return "it is from the owner"
	}
	for _, name := range []string{"To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"} {
		for _, value := range m.named(root, name) {
			m.charge(len(value) / 16)
			for _, mb := range message.ParseAddressList(value) {
				if mine[strings.ToLower(mb.Local+"@"+mb.Host)] {
					return ""
				}
			}
		}
	}
	return "it is not addressed to the owner"
}

func isIn(list []string, addr string) bool {
	return slices.ContainsFunc(list, func(a string) bool { return strings.EqualFold(a, addr) })
}

// fcc compiles where a copy of what is sent is filed, RFC 8580.
func (c *compiler) fcc(a *args) (func(*machine) *Copy, error) {
	if !a.has("fcc") {
		for _, tag := range []string{"create", "flags", "specialuse", "mailboxid"} {
			if a.has(tag) {
				return nil, errorAt(a.tags[tag].Pos, ":%s needs :fcc", tag)
			}
		}
		return func(*machine) *Copy { return nil }, nil
	}
	name, err := c.tagText(a, "fcc")
	if err != nil {
		return nil, err
	}
	file, err := c.file(a, name)
	return func(m *machine) *Copy { return &Copy{file(m)} }, err
}
