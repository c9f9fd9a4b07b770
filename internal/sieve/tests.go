package sieve

import (
	"strings"

	"plic/internal/message"
)

func (c *compiler) not(a *args) (test, error) {
	t, err := c.test(&a.call.tests[0])
	return not{t}, err
}

func (c *compiler) several(a *args) (test, error) {
	var tests []test
	for i := range a.call.tests {
		t, err := c.test(&a.call.tests[i])
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	if a.name == "allof" {
		return allOf(tests), nil
	}
	return anyOf(tests), nil
}

// ihave says which capabilities there are, RFC 5463. Those that it finds may be
// used without require from here on.
func (c *compiler) ihave(a *args) (test, error) {
	have := true
	for _, name := range a.pos[0].strings {
		have = have && c.supports(name)
	}
	if have {
		for _, name := range a.pos[0].strings {
			c.caps[name] = true
		}
	}
	return constant(have), nil
}

func (c *compiler) exists(a *args) (test, error) {
	names, err := c.texts(a.pos[0])
	mime, anychild := a.has("mime"), a.has("anychild")
	return ask(func(m *machine) (bool, error) {
		for _, name := range expandAll(m, names) {
			found := false
			for _, p := range m.parts(mime, anychild) {
				if err := m.spend(a.Pos, 1); err != nil {
					return false, err
				}
				if found = len(m.named(p, name)) > 0; found {
					break
				}
			}
			if !found {
				return false, nil
			}
		}
		return true, nil
	}), err
}

func (c *compiler) size(a *args) (test, error) {
	if a.has("over") == a.has("under") {
		return nil, errorAt(a.Pos, "size takes one of :over and :under")
	}
	over, limit := a.has("over"), int64(min(a.pos[0].n, 1<<62))
	return ask(func(m *machine) (bool, error) {
		if over {
			return m.in.Message.Size > limit, nil
		}
		return m.in.Message.Size < limit, nil
	}), nil
}

func (c *compiler) headerTest(a *args) (test, error) {
	match, err := c.matching(a, a.pos[1])
	if err != nil {
		return nil, err
	}
	names, err := c.texts(a.pos[0])
	if err != nil {
		return nil, err
	}
	n, last, err := index(a)
	if err != nil {
		return nil, err
	}
	mime, anychild := a.has("mime"), a.has("anychild")
	content, err := c.contentPart(a)
	if err != nil {
		return nil, err
	}
	return &lookup{match: match, values: func(m *machine) (out []string, err error) {
		for _, name := range expandAll(m, names) {
			for _, p := range m.parts(mime, anychild) {
				values := m.named(p, name)
				if err := m.spend(a.Pos, 1+len(values)); err != nil {
					return nil, err
				}
				values = indexed(values, n, last)
				for _, v := range values {
					if err := m.spend(a.Pos, len(v)/64); err != nil {
						return nil, err
					}
					out = append(out, content(m, v)...)
				}
			}
		}
		return out, nil
	}}, nil
}

// contentPart is what :type, :subtype, :contenttype and :param take of a field,
// RFC 5703 section 4.1; without them it is the decoded text.
func (c *compiler) contentPart(a *args) (func(m *machine, value string) []string, error) {
	if err := a.only("type", "subtype", "contenttype", "param"); err != nil {
		return nil, err
	}
	params, err := c.texts(a.tags["param"])
	if err != nil {
		return nil, err
	}
	return func(m *machine, value string) []string {
		typ, subtype, list := message.ParseValue(value)
		switch {
		case a.has("type"):
			return []string{typ}
		case a.has("subtype"):
			return []string{subtype}
		case a.has("contenttype") && subtype != "":
			return []string{typ + "/" + subtype}
		case a.has("contenttype"):
			return []string{typ}
		case params != nil:
			var out []string
			for _, p := range expandAll(m, params) {
				if v := message.DecodeParam(list, strings.ToLower(p)); v != "" {
					out = append(out, v)
				}
			}
			return out
		}
		return []string{message.DecodeHeader(value)}
	}, nil
}

// part is which part of an address a test looks at.
func addressPart(a *args) (string, error) {
	kinds := []string{"all", "localpart", "domain", "user", "detail"}
	for _, k := range kinds {
		if a.has(k) {
			return k, a.only(kinds...)
		}
	}
	return "all", nil
}

// take gives the part of an address; ok is false if it has none.
func (m *machine) take(part, local, host string) (value string, ok bool) {
	user, detail, detailed := strings.Cut(local, m.separator())
	switch part {
	case "localpart":
		return local, true
	case "domain":
		return host, host != ""
	case "user":
		return user, true
	case "detail":
		return detail, detailed
	}
	if host == "" {
		return local, true
	}
	return local + "@" + host, true
}

func (m *machine) separator() string {
	if m.in.Separator == "" {
		return "+"
	}
	return m.in.Separator
}

func (c *compiler) address(a *args) (test, error) {
	match, err := c.matching(a, a.pos[1])
	if err != nil {
		return nil, err
	}
	part, err := addressPart(a)
	if err != nil {
		return nil, err
	}
	names, err := c.texts(a.pos[0])
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name.parts == nil && !holdsAddresses(name.plain) {
			return nil, errorAt(name.Pos, "the field %q holds no addresses", name.plain)
		}
	}
	n, last, err := index(a)
	mime, anychild := a.has("mime"), a.has("anychild")
	return &lookup{match: match, values: func(m *machine) (out []string, err error) {
		for _, name := range expandAll(m, names) {
			for _, p := range m.parts(mime, anychild) {
				values := m.named(p, name)
				if err := m.spend(a.Pos, 1+len(values)); err != nil {
					return nil, err
				}
				for _, v := range indexed(values, n, last) {
					if err := m.spend(a.Pos, len(v)/64); err != nil {
						return nil, err
					}
					for _, mb := range message.ParseAddressList(v) {
						if mb.Group {
							continue
						}
						if value, ok := m.take(part, mb.Local, mb.Host); ok {
							out = append(out, value)
						}
					}
				}
			}
		}
		return out, nil
	}}, err
}

// holdsAddresses says that a field may hold addresses, RFC 5228 section 5.1.
// Those of extensions begin with X-.
func holdsAddresses(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "from", "to", "cc", "bcc", "sender", "reply-to", "return-path", "delivered-to", "envelope-to", "return-receipt-to",
		"disposition-notification-to", "errors-to", "mail-followup-to", "mail-reply-to", "list-post", "approved", "for-approval", "for-handling",
		"original-to", "author", "mail-copies-to", "abuse-reports-to", "apparently-to", "followup-to", "reply-by", "delivered-by":
		return true
	}
	return strings.HasPrefix(name, "resent-") || strings.HasPrefix(name, "x-") || strings.HasPrefix(name, "original-")
}

func (c *compiler) envelope(a *args) (test, error) {
	match, err := c.matching(a, a.pos[1])
	if err != nil {
		return nil, err
	}
	part, err := addressPart(a)
	if err != nil {
		return nil, err
	}
	names, err := c.texts(a.pos[0])
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if name.parts == nil {
			if err := c.envelopePart(name.Pos, strings.ToLower(name.plain)); err != nil {
				return nil, err
			}
		}
	}
	return &lookup{match: match, values: func(m *machine) (out []string, err error) {
		for _, name := range expandAll(m, names) {
			switch name = strings.ToLower(name); name {
			case "from", "to":
				addr := m.in.From
				if name == "to" {
					addr = m.in.To
				}
				local, host := cutAddress(addr)
				if v, ok := m.take(part, local, host); ok || addr == "" && part != "detail" {
					out = append(out, v)
				}
			default:
				if v, ok := m.in.Envelope[name]; ok {
					out = append(out, v)
				}
			}
		}
		return out, nil
	}}, nil
}

func cutAddress(addr string) (local, host string) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 {
		return addr, ""
	}
	return addr[:at], addr[at+1:]
}

// envelopePart checks the name of a part, RFC 5228 section 5.4 and RFC 6009.
func (c *compiler) envelopePart(p Pos, name string) error {
	switch name {
	case "from", "to", "auth":
		return nil
	case "notify", "orcpt", "ret", "envid":
		return c.need(p, "envelope-dsn", "the envelope part "+name)
	case "bytimeabsolute", "bytimerelative", "bymode", "bytrace":
		return c.need(p, "envelope-deliverby", "the envelope part "+name)
	}
	return errorAt(p, "the envelope has no part %q", name)
}

func (c *compiler) stringTest(a *args) (test, error) {
	match, err := c.matching(a, a.pos[1])
	if err != nil {
		return nil, err
	}
	sources, err := c.texts(a.pos[0])
	return &lookup{match: match, values: func(m *machine) ([]string, error) {
		values := expandAll(m, sources)
		if match.kind != "count" {
			return values, nil
		}
		var full []string // empty ones do not count, RFC 5229 section 5
		for _, v := range values {
			if v != "" {
				full = append(full, v)
			}
		}
		return full, nil
	}}, err
}
