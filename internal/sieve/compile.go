package sieve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits bound scripts and what they cost. Zero values are defaults.
type Limits struct {
	Script    int // octets of one script; 256 KiB
	Together  int // octets of a script with those that it includes; 1 MiB
	Regexes   int // weight of their regular expressions, about one for an octet; 100,000
	Nesting   int // of blocks and tests; 32
	Includes  int // scripts included altogether; 255
	Depth     int // how deep they include each other; 10
	Actions   int // that one message may come to; 32
	Redirects int // of them; 4
	Variable  int // octets of a variable; 64 KiB
	Steps     int // work for one message, in commands, tests and octets looked at / 64; 1,000,000
}

func (l Limits) withDefaults() Limits {
	for _, x := range []struct {
		at    *int
		value int
	}{
		{&l.Script, 256 << 10}, {&l.Together, 1 << 20}, {&l.Regexes, 100000}, {&l.Nesting, 32}, {&l.Includes, 255}, {&l.Depth, 10},
		{&l.Actions, 32}, {&l.Redirects, 4}, {&l.Variable, 64 << 10}, {&l.Steps, 1000000},
	} {
		if *x.at == 0 {
			*x.at = x.value
		}
	}
	return l
}

// Options are what a script is compiled with.
type Options struct {
	Limits Limits
	// Allow says whether a capability may be used; nil allows all but those of
	// vnd.dovecot, which are for the administrator to allow.
	Allow func(capability string) bool
	// Load finds a script to include, of the user or of the site; nil has none.
	// ErrNoScript if there is none of the name.
	Load func(global bool, name string) (string, error)
}

// ErrNoScript is the answer of Options.Load to a name that it does not know.
var ErrNoScript = errors.New("no such script")

// Script is a compiled script. It may be run at the same time by many.
type Script struct {
	limits Limits
	block  []node
	caps   map[string]bool
}

// Requires says whether the script itself requires a capability.
func (s *Script) Requires(capability string) bool { return s.caps[capability] }

// node is a command that can be run.
type node interface{ run(m *machine) error }

// test is a test that can be asked.
type test interface {
	eval(m *machine) (bool, error)
}

// compiler makes nodes of the calls of one script.
type compiler struct {
	o     *Options
	caps  map[string]bool // that the script has required
	loops []string        // names of the loops around, "" for one without
	including
}

// including is what scripts that include each other share.
type including struct {
	depth int
	sum   *sum
	open  []string // the scripts that are being compiled
}

// sum is what they come to.
type sum struct {
	scripts int // included
	octets  int
	weight  int // of regular expressions
}

// Compile checks a script and makes it ready to run. An error is an *Error, or
// wraps one of Options.Load.
func Compile(src string, o Options) (*Script, error) {
	o.Limits = o.Limits.withDefaults()
	return compile(src, &o, including{sum: new(sum)})
}

func compile(src string, o *Options, in including) (*Script, error) {
	if len(src) > o.Limits.Script {
		return nil, &Error{Text: fmt.Sprintf("the script is longer than %d octets", o.Limits.Script)}
	}
	if in.sum.octets += len(src); in.sum.octets > o.Limits.Together {
		return nil, &Error{Text: fmt.Sprintf("the scripts are longer than %d octets together", o.Limits.Together)}
	}
	calls, err := parse(src, &o.Limits)
	if err != nil {
		return nil, err
	}
	c := &compiler{o: o, caps: map[string]bool{}, including: in}
	for len(calls) > 0 && calls[0].name == "require" {
		if err := c.require(&calls[0]); err != nil {
			return nil, err
		}
		calls = calls[1:]
	}
	s := &Script{limits: o.Limits, caps: c.caps}
	s.block, err = c.block(calls)
	return s, err
}

func (c *compiler) require(k *call) error {
	if len(k.args) != 1 || k.args[0].kind != quoted || len(k.tests) > 0 || k.braced {
		return errorAt(k.Pos, "require takes a list of capabilities")
	}
	for _, name := range k.args[0].strings {
		if !c.supports(name) {
			return errorAt(k.Pos, "the capability %q is not supported", name)
		}
		c.caps[name] = true
	}
	return nil
}

// supports says that a capability exists and may be used.
func (c *compiler) supports(name string) bool {
	return slices.Contains(Capabilities(), name) && c.o.allows(name)
}

func (o *Options) allows(name string) bool {
	if o.Allow != nil {
		return o.Allow(name)
	}
	return !strings.HasPrefix(name, "vnd.")
}

// block compiles commands, joining if, elsif and else.
func (c *compiler) block(calls []call) ([]node, error) {
	var out []node
	for i := range calls {
		k := &calls[i]
		switch k.name {
		case "require":
			return nil, errorAt(k.Pos, "require comes before all other commands")
		case "if":
			chain := &conditional{}
			if err := c.branch(chain, k); err != nil {
				return nil, err
			}
			out = append(out, chain)
		case "elsif", "else":
			chain, ok := previous(out)
			if !ok || i == 0 || calls[i-1].name == "else" {
				return nil, errorAt(k.Pos, "%s without if", k.name)
			}
			if err := c.branch(chain, k); err != nil {
				return nil, err
			}
		default:
			n, err := c.command(k)
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
	}
	return out, nil
}

func previous(nodes []node) (*conditional, bool) {
	if len(nodes) == 0 {
		return nil, false
	}
	chain, ok := nodes[len(nodes)-1].(*conditional)
	return chain, ok
}

// branch adds a branch to a chain of if, elsif and else.
func (c *compiler) branch(chain *conditional, k *call) (err error) {
	b := branch{Pos: k.Pos}
	want := 1
	if k.name == "else" {
		want = 0
	}
	if len(k.args) > 0 || k.list || len(k.tests) != want || !k.braced {
		return errorAt(k.Pos, "%s takes %d test and a block", k.name, want)
	}
	if want == 1 {
		if b.test, err = c.test(&k.tests[0]); err != nil {
			return err
		}
	}
	b.block, err = c.block(k.block)
	chain.branches = append(chain.branches, b)
	return err
}

// command compiles any other command.
func (c *compiler) command(k *call) (node, error) {
	spec, ok := commandOf(k.name)
	if !ok || spec.command == nil {
		return c.unknown(errorAt(k.Pos, "there is no command %q", k.name))
	}
	a, err := c.arguments(k, spec)
	if err != nil {
		return c.unknown(err)
	}
	return spec.command(c, a)
}

// test compiles a test.
func (c *compiler) test(k *call) (test, error) {
	spec, ok := testOf(k.name)
	if !ok {
		return c.unknown(errorAt(k.Pos, "there is no test %q", k.name))
	}
	a, err := c.arguments(k, spec)
	if err != nil {
		return c.unknown(err)
	}
	if k.braced || len(k.block) > 0 {
		return nil, errorAt(k.Pos, "a test has no block")
	}
	return spec.test(c, a)
}

// unknown puts a fault off until it is met, in a script that asks with ihave
// what there is, RFC 5463 section 4.
func (c *compiler) unknown(err error) (*fault, error) {
	if c.caps["ihave"] {
		return &fault{err}, nil
	}
	return nil, err
}

// fault stands for what could not be compiled.
type fault struct{ err error }

func (f *fault) run(*machine) error          { return f.err }
func (f *fault) eval(*machine) (bool, error) { return false, f.err }

// need says that a capability must have been required.
func (c *compiler) need(p Pos, capability, what string) error {
	for name := range strings.SplitSeq(capability, "/") {
		if capability == "" || c.caps[name] {
			return nil
		}
	}
	return errorAt(p, "%s needs require %q", what, strings.Split(capability, "/")[0])
}
