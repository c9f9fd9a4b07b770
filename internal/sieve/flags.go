package sieve

import (
	"slices"
	"strings"
)

// Flags of a message are lists of words, as RFC 5232 section 2 has them: each
// string may hold several, and none counts twice.
func splitFlags(values []string) (out []string) {
	have := map[string]bool{}
	for _, v := range values {
		for f := range strings.FieldsSeq(v) {
			if key := strings.ToLower(f); validFlag(f) && !have[key] {
				have[key] = true
				out = append(out, f)
			}
		}
	}
	return out
}

// validFlag says that a word is a flag that can be set: a system flag or a
// keyword. Others are passed over.
func validFlag(f string) bool {
	if name, ok := strings.CutPrefix(f, `\`); ok {
		switch strings.ToLower(name) {
		case "answered", "flagged", "deleted", "seen", "draft":
			return true
		}
		return false
	}
	for i := range len(f) {
		if c := f[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// flagList compiles :flags; without it the internal variable counts.
func (c *compiler) flagList(a *args) (func(*machine) []string, error) {
	if !a.has("flags") {
		return func(m *machine) []string { return slices.Clone(m.flags) }, nil
	}
	texts, err := c.texts(a.tags["flags"])
	return func(m *machine) []string {
		flags := splitFlags(expandAll(m, texts))
		if flags == nil {
			flags = []string{}
		}
		return flags
	}, err
}

// changeFlags is setflag, addflag and removeflag, RFC 5232 section 3.
func (c *compiler) changeFlags(a *args) (node, error) {
	name, err := c.flagVariable(a.pos[0])
	if err != nil {
		return nil, err
	}
	texts, err := c.texts(a.pos[1])
	return do(func(m *machine) error {
		flags := splitFlags(expandAll(m, texts))
		have := m.flagsOf(name)
		switch a.name {
		case "addflag":
			flags = splitFlags(append(have, flags...))
		case "removeflag":
			gone := map[string]bool{}
			for _, f := range flags {
				gone[strings.ToLower(f)] = true
			}
			flags = slices.DeleteFunc(have, func(f string) bool { return gone[strings.ToLower(f)] })
		}
		if name == nil {
			m.flags = flags
		} else {
			m.assign(name, strings.Join(flags, " "))
		}
		m.trace(a.Pos, "flags are %q", flags)
		return m.spend(a.Pos, len(have)+len(flags))
	}), err
}

// flagVariable reads the variable that holds flags; nil is the internal one.
func (c *compiler) flagVariable(a *argument) (*piece, error) {
	if a == nil {
		return nil, nil
	}
	if err := c.need(a.Pos, "variables", "flags in a variable"); err != nil {
		return nil, err
	}
	return c.variable(a)
}

func (m *machine) flagsOf(name *piece) []string {
	if name == nil {
		return slices.Clone(m.flags)
	}
	return splitFlags([]string{m.value(name)})
}

func (c *compiler) hasflag(a *args) (test, error) {
	match, err := c.matching(a, a.pos[1])
	if err != nil {
		return nil, err
	}
	var names []*piece
	if a.pos[0] != nil {
		for _, s := range a.pos[0].strings {
			p, err := c.flagVariable(&argument{Pos: a.pos[0].Pos, strings: []string{s}})
			if err != nil {
				return nil, err
			}
			names = append(names, p)
		}
	} else {
		names = []*piece{nil}
	}
	return ask(func(m *machine) (bool, error) {
		var flags []string
		for _, p := range names {
			flags = append(flags, m.flagsOf(p)...)
		}
		if match.kind == "count" {
			return match.any(m, flags)
		}
		words := *match // the keys may hold several flags each
		words.keys, words.compiled = nil, nil
		for i, k := range match.keys {
			if match.kind != "is" && match.kind != "contains" {
				words.keys = append(words.keys, k)
				if match.compiled != nil {
					words.compiled = append(words.compiled, match.compiled[i])
				}
				continue
			}
			for f := range strings.FieldsSeq(k.expand(m)) {
				words.keys = append(words.keys, &text{plain: f})
			}
		}
		return words.any(m, flags)
	}), nil
}
