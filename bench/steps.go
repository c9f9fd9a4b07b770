package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stepper measures a mailbox in files step by step.
type stepper struct {
	*fileSite
	n     int // messages
	took  map[string]figure
	order []string // of the names
}

// steps fills the mailbox and does all that is measured with it.
func (s *fileSite) steps(ctx context.Context, n, octets int) (map[string]figure, []string, error) {
	if err := s.fillFiles(ctx, n, octets); err != nil {
		return nil, nil, fmt.Errorf("%s: fill: %w", s.name, err)
	}
	x := &stepper{fileSite: s, n: n, took: map[string]figure{}}
	for _, next := range []func(context.Context) error{x.look, x.within, x.others, x.flagFirst} {
		if err := next(ctx); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return x.took, x.order, nil
}

// held measures within a session.
func (x *stepper) held(name string, c *imapConn, do func(*imapConn) error) error {
	f, err := x.measure(c, do)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	x.took[name] = f
	x.order = append(x.order, name)
	return nil
}

// step measures in a session of its own.
func (x *stepper) step(ctx context.Context, name string, do func(*imapConn) error) error {
	c, err := x.login(ctx, filesUser)
	if err != nil {
		return err
	}
	defer c.close()
	return x.held(name, c, do)
}

// opens measures a SELECT in a session of its own.
func (x *stepper) opens(ctx context.Context, name string) error {
	return x.step(ctx, name, selectInbox)
}

func selectInbox(c *imapConn) error { return c.do("SELECT INBOX") }

// again restarts the server.
func (x *stepper) again(ctx context.Context) error {
	time.Sleep(1500 * time.Millisecond) // until the time of the file tells of changes
	return x.restart(ctx, known)
}

// look opens the mailbox for the first time, and later.
func (x *stepper) look(ctx context.Context) error {
	first := "SELECT, first ever"
	if x.inbox == "" { // it was filled by itself
		first = "SELECT, first after it was filled"
	}
	if err := x.opens(ctx, first); err != nil {
		return err
	}
	fetch := func(c *imapConn) error { return c.each("SELECT INBOX", "FETCH 1:* (ENVELOPE)") }
	for _, name := range []string{"FETCH 1:* (ENVELOPE) at once", "FETCH 1:* (ENVELOPE) again"} {
		if err := x.step(ctx, name, fetch); err != nil {
			return err
		}
	}
	if err := x.opens(ctx, "SELECT again"); err != nil {
		return err
	}
	if err := x.again(ctx); err != nil {
		return err
	}
	return x.opens(ctx, "SELECT after a restart")
}

// within measures within one session, after another program's delivery.
func (x *stepper) within(ctx context.Context) error {
	if x.inbox != "" {
		if err := x.deliverFile(x.n); err != nil {
			return err
		}
		if err := x.opens(ctx, "SELECT after a delivery by another program"); err != nil {
			return err
		}
	}
	c, err := x.login(ctx, filesUser)
	if err != nil {
		return err
	}
	defer c.close()
	if err := selectInbox(c); err != nil {
		return err
	}
	noop := func(c *imapConn) error { return c.do("NOOP") }
	if err := x.held("NOOP", c, noop); err != nil {
		return err
	}
	if x.inbox != "" {
		if err := x.deliverFile(x.n + 1); err != nil {
			return err
		}
		if err := x.held("NOOP after a delivery by another program", c, noop); err != nil {
			return err
		}
	}
	if err := x.held("APPEND", c, func(c *imapConn) error { return c.append1("INBOX", x.letters.short(1)) }); err != nil {
		return err
	}
	return x.held("STORE of a flag, and back", c, func(c *imapConn) error {
		return errors.Join(c.do(`STORE %d +FLAGS (\Flagged)`, x.n), c.do(`STORE %d -FLAGS (\Flagged)`, x.n))
	})
}

// others has mutt change the mailbox.
func (x *stepper) others(ctx context.Context) error {
	if x.inbox == "" {
		return nil
	}
	if err := x.mutt(ctx, x.n/2); err != nil {
		return err
	}
	if err := x.opens(ctx, "SELECT after mutt has flagged a message"); err != nil {
		return err
	}
	if err := x.again(ctx); err != nil {
		return err
	}
	return x.opens(ctx, "SELECT after that and a restart")
}

// flagFirst is the first flag of a session.
func (x *stepper) flagFirst(ctx context.Context) error {
	return x.step(ctx, "STORE of a flag, first in a session", func(c *imapConn) error {
		return errors.Join(selectInbox(c), c.do(`STORE %d +FLAGS (\Flagged)`, x.n/3))
	})
}
