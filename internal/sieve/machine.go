package sieve

import (
	"errors"
	"fmt"
	"slices"

	"plic/internal/message"
)

// machine runs a script over one message.
type machine struct {
	in     *Input
	limits *Limits
	out    *Result
	caps   map[string]bool // of the script that runs

	vars     map[string]string // of the script that runs
	globals  map[string]string
	imported map[string]bool // names that the script has declared global
	matched  []string        // match variables
	flags    []string        // the internal variable of imap4flags
	once     map[string]bool // scripts included with :once
	steps    int
	paused   int // steps when Pause was called last

	header *header       // the fields that tests see
	part   *message.Part // in foreverypart; nil outside
	bodies map[string][]string
}

// Signals that end a block; they are no errors.
var (
	errStop   = errors.New("stop")
	errReturn = errors.New("return")
)

// breaking is a signal that ends a loop.
type breaking struct{ name string }

func (b *breaking) Error() string { return "break " + b.name }

// Run runs the script over a message. The error is an *Error of the script, or
// one of reading the message; even then the Result says what to do: what was
// decided before, but nothing that would lose the message, and an implicit keep.
func (s *Script) Run(in *Input) (*Result, error) {
	m := &machine{
		in: in, limits: &s.limits, caps: s.caps, out: &Result{Keep: true}, vars: map[string]string{}, globals: map[string]string{},
		imported: map[string]bool{}, once: map[string]bool{}, bodies: map[string][]string{},
		flags: slices.Clone(in.Flags),
	}
	m.header = newHeader(in)
	err := m.block(s.block)
	if errors.Is(err, errStop) || errors.Is(err, errReturn) {
		err = m.spend(Pos{}, 0)
	}
	if err == nil {
		err = m.conflict()
	}
	if err != nil {
		// RFC 5228 section 2.10.6: what was not done yet is not done.
		m.out.Keep, m.out.KeepFlags, m.out.Actions, m.out.Remember = true, nil, nil, nil
		m.out.Edits = nil
		return m.out, fmt.Errorf("sieve: %w", err)
	}
	if m.out.Keep && m.out.KeepFlags == nil {
		m.out.KeepFlags = slices.Clone(m.flags)
	}
	m.out.Edits = append(m.header.edits(), m.out.Edits...)
	return m.out, nil
}

// conflict finds actions that exclude each other, RFC 5429 section 2.3.
func (m *machine) conflict() error {
	rejects, others := 0, m.out.explicitKeep
	for _, a := range m.out.Actions {
		switch a := a.(type) {
		case *Reject:
			rejects++
		case *FileInto, *Redirect:
			others = true
		case *Vacation:
			if rejects > 0 {
				return errorAt(a.At, "vacation and reject exclude each other")
			}
		}
	}
	if rejects > 0 && others {
		return &Error{Text: "reject excludes keep, fileinto and redirect"}
	}
	return nil
}

func (m *machine) block(nodes []node) error {
	for _, n := range nodes {
		if err := m.spend(Pos{}, 1); err != nil {
			return err
		}
		if err := n.run(m); err != nil {
			return err
		}
	}
	return m.spend(Pos{}, 0)
}

// spend counts work.
func (m *machine) spend(p Pos, n int) error {
	if m.charge(n); m.spent() {
		return errorAt(p, "the script takes too long")
	}
	if m.in.Pause == nil || m.steps < m.paused+pauseAfter {
		return nil
	}
	m.paused = m.steps
	return m.in.Pause()
}

// pauseAfter is after how many steps others may be made way for: a few milliseconds.
const pauseAfter = 8192

// charge counts work where there is no way to end the script: the next spend does.
func (m *machine) charge(n int) { m.steps += n }

func (m *machine) spent() bool { return m.steps > m.limits.Steps }

// What a question to the site costs in steps: about its mailboxes, what it
// remembers or its lists, and to a program.
const (
	askSite    = 200
	askProgram = 50_000
)

// value is the value of a variable; one that was not set is empty.
func (m *machine) value(p *piece) string {
	switch {
	case p.number >= 0:
		if p.number < len(m.matched) {
			return m.matched[p.number]
		}
		return ""
	case p.global || m.imported[p.name]:
		return m.globals[p.name]
	}
	return m.vars[p.name]
}

func (m *machine) set(name, value string) {
	value = clip(value, m.limits.Variable)
	if m.imported[name] {
		m.globals[name] = value
		return
	}
	m.vars[name] = value
}

// captured sets the match variables after a match.
func (m *machine) captured(groups []string) {
	m.matched = groups[:min(len(groups), maxMatch+1)]
}

// add adds an action, within the limits.
func (m *machine) add(p Pos, a Action) error {
	if len(m.out.Actions) >= m.limits.Actions {
		return errorAt(p, "more than %d actions", m.limits.Actions)
	}
	if _, ok := a.(*Redirect); ok {
		n := 0
		for _, have := range m.out.Actions {
			if _, ok := have.(*Redirect); ok {
				n++
			}
		}
		if n >= m.limits.Redirects {
			return errorAt(p, "more than %d redirects", m.limits.Redirects)
		}
	}
	m.out.Actions = append(m.out.Actions, a)
	return nil
}

// trace tells what happened at a line, for people.
func (m *machine) trace(p Pos, format string, args ...any) {
	if m.in.Trace != nil {
		m.in.Trace(p.Line, fmt.Sprintf(format, args...))
	}
}

func (m *machine) inList(value, list string) (bool, error) {
	if m.in.Lists == nil {
		return false, nil
	}
	m.charge(askSite)
	return m.in.Lists.Contains(list, value)
}

// conditional is if with its elsif and else.
type conditional struct{ branches []branch }

type branch struct {
	Pos
	test  test // nil for else
	block []node
}

func (c *conditional) run(m *machine) error {
	for _, b := range c.branches {
		ok := true
		if b.test != nil {
			var err error
			if ok, err = b.test.eval(m); err != nil {
				return err
			}
			m.trace(b.Pos, "the test is %v", ok)
		}
		if ok {
			return m.block(b.block)
		}
	}
	return nil
}

// allOf and anyOf are allof and anyof; not is not.
type allOf []test

func (t allOf) eval(m *machine) (bool, error) {
	for _, x := range t {
		if err := m.spend(Pos{}, 1); err != nil {
			return false, err
		}
		if ok, err := x.eval(m); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

type anyOf []test

func (t anyOf) eval(m *machine) (bool, error) {
	for _, x := range t {
		if err := m.spend(Pos{}, 1); err != nil {
			return false, err
		}
		if ok, err := x.eval(m); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

type not struct{ test }

func (t not) eval(m *machine) (bool, error) {
	ok, err := t.test.eval(m)
	return !ok, err
}

type constant bool

func (t constant) eval(*machine) (bool, error) { return bool(t), nil }

// lookup is a test over values that are found when it is asked.
type lookup struct {
	values func(*machine) ([]string, error)
	match  *matching
}

func (t *lookup) eval(m *machine) (bool, error) {
	values, err := t.values(m)
	if err != nil {
		return false, err
	}
	return t.match.any(m, values)
}

// ask is any other test.
type ask func(*machine) (bool, error)

func (t ask) eval(m *machine) (bool, error) { return t(m) }

// do is a command without parts of its own.
type do func(*machine) error

func (d do) run(m *machine) error { return d(m) }

// signal ends blocks.
type signal struct{ err error }

func (s signal) run(*machine) error { return s.err }
