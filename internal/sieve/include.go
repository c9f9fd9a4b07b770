package sieve

import (
	"errors"
	"slices"
	"strings"
)

// include runs another script as a part of this one, RFC 6609. It is compiled
// with the script that includes it, so that its faults are known at once.
func (c *compiler) include(a *args) (node, error) {
	if err := a.only("personal", "global"); err != nil {
		return nil, err
	}
	name, global := a.pos[0].strings[0], a.has("global")
	if strings.ContainsAny(name, "/\x00\r\n") || strings.Contains(name, "${") && c.caps["variables"] {
		return nil, errorAt(a.Pos, "%q is no name of a script", name)
	}
	key := "personal " + name
	if global {
		key = "global " + name
	}
	if slices.Contains(c.open, key) {
		return nil, errorAt(a.Pos, "the script %q includes itself", name)
	}
	if c.sum.scripts++; c.sum.scripts > c.o.Limits.Includes || c.depth >= c.o.Limits.Depth {
		return nil, errorAt(a.Pos, "too many scripts include each other")
	}
	src, err := c.load(global, name)
	if errors.Is(err, ErrNoScript) && a.has("optional") {
		return do(func(*machine) error { return nil }), nil
	}
	if err != nil {
		return nil, errorAt(a.Pos, "include %q: %v", name, err)
	}
	s, err := compile(src, c.o, including{depth: c.depth + 1, sum: c.sum, open: append(slices.Clone(c.open), key)})
	if err != nil {
		return nil, errorAt(a.Pos, "in the script %q: %v", name, err)
	}
	return &included{s, key, a.has("once")}, nil
}

func (c *compiler) load(global bool, name string) (string, error) {
	if c.o.Load == nil {
		return "", ErrNoScript
	}
	return c.o.Load(global, name)
}

// included is a script within another.
type included struct {
	script *Script
	key    string
	once   bool
}

func (n *included) run(m *machine) error {
	if n.once && m.once[n.key] {
		return nil
	}
	m.once[n.key] = true
	vars, imported, caps := m.vars, m.imported, m.caps
	m.vars, m.imported, m.caps = map[string]string{}, map[string]bool{}, n.script.caps
	err := m.block(n.script.block)
	m.vars, m.imported, m.caps = vars, imported, caps
	if errors.Is(err, errReturn) {
		return nil
	}
	return err
}

// global shares variables with the scripts around, RFC 6609 section 3.4.
func (c *compiler) global(a *args) (node, error) {
	for _, name := range a.pos[0].strings {
		if !isName(name) {
			return nil, errorAt(a.Pos, "%q is no name for a variable", name)
		}
	}
	return do(func(m *machine) error {
		for _, name := range a.pos[0].strings {
			m.imported[strings.ToLower(name)] = true
		}
		return nil
	}), nil
}
