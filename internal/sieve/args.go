package sieve

import "strings"

// spec says what a command or test takes.
type spec struct {
	capability string // that must be required; names with a slash between are alternatives
	tags       string // "copy@copy days=n flags=l@imap4flags": name, value, capability
	args       string // positional: "s" string, "l" list, "n" number; "?s" may be left out
	tests      int    // how many tests; -1 for a list
	block      bool
	command    func(*compiler, *args) (node, error)
	test       func(*compiler, *args) (test, error)
}

// args are the arguments of a call, checked against its spec.
type args struct {
	*call
	tags map[string]*argument
	pos  []*argument // by position; nil for one that was left out
}

// has says that a tag was given.
func (a *args) has(tag string) bool { return a.tags[tag] != nil }

// arguments checks the arguments of a call.
func (c *compiler) arguments(k *call, s spec) (*args, error) {
	if err := c.need(k.Pos, s.capability, k.name); err != nil {
		return nil, err
	}
	a := &args{call: k, tags: map[string]*argument{}}
	var positional []*argument
	for i := 0; i < len(k.args); i++ {
		arg := &k.args[i]
		if arg.kind != tag {
			positional = append(positional, arg)
			continue
		}
		if len(positional) > 0 {
			return nil, errorAt(arg.Pos, ":%s must come before the other arguments of %s", arg.tag, k.name)
		}
		value, capability, ok := findTag(s.tags, arg.tag)
		if !ok {
			return nil, errorAt(arg.Pos, "%s does not take :%s", k.name, arg.tag)
		}
		if err := c.need(arg.Pos, capability, ":"+arg.tag); err != nil {
			return nil, err
		}
		if a.has(arg.tag) {
			return nil, errorAt(arg.Pos, ":%s is given twice", arg.tag)
		}
		a.tags[arg.tag] = arg
		if value == 0 {
			continue
		}
		if i++; i == len(k.args) || !k.args[i].fits(value) {
			return nil, errorAt(arg.Pos, ":%s needs %s", arg.tag, kindName(value))
		}
		a.tags[arg.tag] = &k.args[i]
	}
	if err := a.place(positional, s.args); err != nil {
		return nil, err
	}
	switch {
	case s.tests >= 0 && (len(k.tests) != s.tests || k.list), s.tests < 0 && !k.list:
		return nil, errorAt(k.Pos, "%s has the wrong number of tests", k.name)
	case s.block != k.braced:
		if s.block {
			return nil, errorAt(k.Pos, "%s needs a block", k.name)
		}
		return nil, errorAt(k.Pos, "%s takes no block", k.name)
	}
	return a, nil
}

// findTag finds a tag in the notation of spec.tags.
func findTag(tags, name string) (value byte, capability string, ok bool) {
	for t := range strings.FieldsSeq(tags) {
		t, capability, _ := strings.Cut(t, "@")
		t, kind, _ := strings.Cut(t, "=")
		if t == name {
			if kind != "" {
				value = kind[0]
			}
			return value, capability, true
		}
	}
	return 0, "", false
}

func (a *argument) fits(kind byte) bool {
	switch kind {
	case 'n':
		return a.kind == number
	case 's':
		return a.kind == quoted && !a.list
	}
	return a.kind == quoted
}

func kindName(kind byte) string {
	switch kind {
	case 'n':
		return "a number"
	case 's':
		return "a string"
	}
	return "a list of strings"
}

// place gives positional arguments to their places; of those that may be left
// out the first are, if there are too few.
func (a *args) place(given []*argument, want string) error {
	places := strings.Fields(want)
	missing := len(places) - len(given)
	for _, p := range places {
		kind, optional := p[0], false
		if p[0] == '?' {
			kind, optional = p[1], true
		}
		if optional && missing > 0 {
			missing--
			a.pos = append(a.pos, nil)
			continue
		}
		if len(given) == 0 {
			return errorAt(a.Pos, "%s needs %s more", a.name, kindName(kind))
		}
		if !given[0].fits(kind) {
			return errorAt(given[0].Pos, "%s expects %s here", a.name, kindName(kind))
		}
		a.pos, given = append(a.pos, given[0]), given[1:]
	}
	if len(given) > 0 {
		return errorAt(given[0].Pos, "%s takes no more arguments", a.name)
	}
	return nil
}

// only says that at most one of some tags is given.
func (a *args) only(tags ...string) error {
	seen := ""
	for _, t := range tags {
		if !a.has(t) {
			continue
		}
		if seen != "" {
			return errorAt(a.Pos, ":%s and :%s exclude each other", seen, t)
		}
		seen = t
	}
	return nil
}

// tagText compiles the string of a tag; nil if it was not given.
func (c *compiler) tagText(a *args, tag string) (*text, error) {
	if !a.has(tag) {
		return nil, nil
	}
	return c.text(a.tags[tag])
}

// texts compiles a list of strings.
func (c *compiler) texts(a *argument) ([]*text, error) {
	if a == nil {
		return nil, nil
	}
	out := make([]*text, len(a.strings))
	for i, s := range a.strings {
		t, err := c.textOf(a.Pos, s)
		if err != nil {
			return nil, err
		}
		out[i] = t
	}
	return out, nil
}

func (c *compiler) text(a *argument) (*text, error) {
	if a == nil {
		return nil, nil
	}
	return c.textOf(a.Pos, a.strings[0])
}
