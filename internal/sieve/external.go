package sieve

import (
	"io"
)

// pipe gives the message to a program of the site.
func (c *compiler) pipe(a *args) (node, error) {
	program, arguments, err := c.program(a)
	return do(func(m *machine) error {
		m.cancel(a)
		m.trace(a.Pos, "pipe to %s", program.expand(m))
		return m.add(a.Pos, &Pipe{At: a.Pos, Program: program.expand(m), Args: expandAll(m, arguments), Try: a.has("try")})
	}), err
}

func (c *compiler) program(a *args) (*text, []*text, error) {
	program, err := c.text(a.pos[0])
	if err != nil {
		return nil, nil, err
	}
	arguments, err := c.texts(a.pos[1])
	return program, arguments, err
}

// filterTest runs a program over the message; what it gives back takes the
// place of the message.
func (c *compiler) filterTest(a *args) (test, error) {
	program, arguments, err := c.program(a)
	return ask(func(m *machine) (bool, error) {
		original := make([]byte, m.in.Message.Size)
		if _, err := io.ReadFull(io.NewSectionReader(m.in.Body, 0, m.in.Message.Size), original); err != nil {
			return false, err
		}
		out, ok, err := m.execute(a, "filter", program, arguments, original)
		if ok && err == nil {
			m.header = newHeader(m.in)
			m.out.Edits = []Edit{{From: 0, To: m.in.Message.Size, Text: out}}
		}
		return ok, err
	}), err
}

func (c *compiler) filterCommand(a *args) (node, error) {
	t, err := c.filterTest(a)
	return asCommand(t), err
}

// executeTest runs a program and says how it ended.
func (c *compiler) executeTest(a *args) (test, error) {
	if err := a.only("input", "pipe"); err != nil {
		return nil, err
	}
	program, arguments, err := c.program(a)
	if err != nil {
		return nil, err
	}
	input, err := c.tagText(a, "input")
	if err != nil {
		return nil, err
	}
	var name *piece
	if a.has("output") {
		if name, err = c.variable(a.tags["output"]); err != nil {
			return nil, err
		}
	}
	return ask(func(m *machine) (bool, error) {
		data := []byte(input.expand(m))
		if a.has("pipe") {
			data = make([]byte, m.in.Message.Size)
			if _, err := io.ReadFull(io.NewSectionReader(m.in.Body, 0, m.in.Message.Size), data); err != nil {
				return false, err
			}
		}
		out, ok, err := m.execute(a, "execute", program, arguments, data)
		if name != nil && err == nil {
			m.assign(name, string(out))
		}
		return ok, err
	}), nil
}

func (c *compiler) executeCommand(a *args) (node, error) {
	t, err := c.executeTest(a)
	return asCommand(t), err
}

func asCommand(t test) node {
	return do(func(m *machine) error {
		_, err := t.eval(m)
		return err
	})
}

func (m *machine) execute(a *args, kind string, program *text, arguments []*text, input []byte) ([]byte, bool, error) {
	if m.in.Execute == nil {
		return nil, false, errorAt(a.Pos, "no program may be run here")
	}
	name := program.expand(m)
	m.trace(a.Pos, "run %s", name)
	if err := m.spend(a.Pos, askProgram+len(input)/64); err != nil {
		return nil, false, err
	}
	out, ok, err := m.in.Execute(kind, name, expandAll(m, arguments), input)
	if err != nil {
		return nil, false, errorAt(a.Pos, "%s: %v", name, err)
	}
	return out, ok, nil
}
