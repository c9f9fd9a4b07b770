package sieve

// call is a command or a test with its arguments, RFC 5228 section 8.2: what
// both have in common before it is known what they mean.
type call struct {
	Pos
	name   string
	args   []argument
	tests  []call
	list   bool // tests stand in parentheses
	block  []call
	braced bool
}

// argument is one argument: a tag, a number, a string or a list of strings.
type argument struct {
	Pos
	kind    kind // tag, number or quoted
	tag     string
	n       uint64
	strings []string
	list    bool // in brackets
}

// parser builds calls from tokens.
type parser struct {
	lex    lexer
	tok    token
	limits *Limits
	depth  int
}

func parse(src string, limits *Limits) ([]call, error) {
	p := &parser{lex: lexer{src: src, line: 1}, limits: limits}
	if err := p.next(); err != nil {
		return nil, err
	}
	calls, err := p.commands()
	if err == nil && p.tok.kind != end {
		err = errorAt(p.tok.Pos, "%v is too much", &p.tok)
	}
	return calls, err
}

func (p *parser) next() (err error) {
	p.tok, err = p.lex.next()
	return err
}

// enter counts how deep blocks, tests and lists nest.
func (p *parser) enter() error {
	if p.depth++; p.depth > p.limits.Nesting {
		return errorAt(p.tok.Pos, "more than %d levels deep", p.limits.Nesting)
	}
	return nil
}

func (p *parser) commands() ([]call, error) {
	var calls []call
	for p.tok.kind == identifier {
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		calls = append(calls, c)
	}
	return calls, nil
}

func (p *parser) command() (call, error) {
	c, err := p.call()
	if err != nil {
		return c, err
	}
	switch {
	case p.tok.is(';'):
		return c, p.next()
	case p.tok.is('{'):
		c.braced = true
		if err := p.enter(); err != nil {
			return c, err
		}
		if err := p.next(); err != nil {
			return c, err
		}
		if c.block, err = p.commands(); err != nil {
			return c, err
		}
		p.depth--
		if !p.tok.is('}') {
			return c, errorAt(p.tok.Pos, "} or a command is expected, not %v", &p.tok)
		}
		return c, p.next()
	}
	return c, errorAt(p.tok.Pos, "; or { is expected after %s, not %v", c.name, &p.tok)
}

// call reads a name with its arguments and tests.
func (p *parser) call() (call, error) {
	c := call{Pos: p.tok.Pos, name: p.tok.text}
	if p.tok.kind != identifier {
		return c, errorAt(p.tok.Pos, "a name is expected, not %v", &p.tok)
	}
	if err := p.enter(); err != nil {
		return c, err
	}
	if err := p.next(); err != nil {
		return c, err
	}
	for {
		a, ok, err := p.argument()
		if err != nil {
			return c, err
		}
		if !ok {
			break
		}
		c.args = append(c.args, a)
	}
	var err error
	switch {
	case p.tok.kind == identifier:
		var t call
		if t, err = p.call(); err == nil {
			c.tests = []call{t}
		}
	case p.tok.is('('):
		c.list = true
		c.tests, err = p.testList()
	}
	p.depth--
	return c, err
}

func (p *parser) testList() (tests []call, err error) {
	for {
		if err := p.next(); err != nil {
			return nil, err
		}
		t, err := p.call()
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
		if p.tok.is(')') {
			return tests, p.next()
		}
		if !p.tok.is(',') {
			return nil, errorAt(p.tok.Pos, ") or , is expected, not %v", &p.tok)
		}
	}
}

func (p *parser) argument() (a argument, ok bool, err error) {
	a.Pos = p.tok.Pos
	switch p.tok.kind {
	case tag:
		a.kind, a.tag = tag, p.tok.text
	case number:
		a.kind, a.n = number, p.tok.n
	case quoted, multiline:
		a.kind, a.strings = quoted, []string{p.tok.text}
	default:
		if !p.tok.is('[') {
			return a, false, nil
		}
		a.kind, a.list = quoted, true
		a.strings, err = p.stringList()
		return a, true, err
	}
	return a, true, p.next()
}

// stringList reads strings in brackets. An empty list is not in the grammar,
// but other servers take it.
func (p *parser) stringList() (all []string, err error) {
	for {
		if err := p.next(); err != nil {
			return nil, err
		}
		if len(all) == 0 && p.tok.is(']') {
			return nil, p.next()
		}
		if p.tok.kind != quoted && p.tok.kind != multiline {
			return nil, errorAt(p.tok.Pos, "a string is expected in the list, not %v", &p.tok)
		}
		all = append(all, p.tok.text)
		if err := p.next(); err != nil {
			return nil, err
		}
		if p.tok.is(']') {
			return all, p.next()
		}
		if !p.tok.is(',') {
			return nil, errorAt(p.tok.Pos, "] or , is expected, not %v", &p.tok)
		}
	}
}
