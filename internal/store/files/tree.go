package files

import (
	"fmt"
	"slices"
	"strings"
)

// trees makes, renames and subscribes mailboxes. Those above come first.
func (c *carry) trees() error {
	jobs := slices.Clone(c.jobs)
	slices.SortFunc(jobs, func(x, y *job) int { return strings.Compare(x.in.Record.Name, y.in.Record.Name) })
	for _, j := range jobs {
		if err := c.tree(j); err != nil {
			return fmt.Errorf("mailbox %s: %w", j.in.Record.Name, err)
		}
	}
	var told []*account
	for _, j := range jobs {
		if j.a != c.adopted && !slices.Contains(told, j.a) && c.resubscribed(j.a) {
			told = append(told, j.a)
			if err := c.subscribe(j.a); err != nil {
				return fmt.Errorf("subscriptions of %s: %w", j.a.name, err)
			}
		}
	}
	return nil
}

// tree brings the files of a mailbox to its name.
func (c *carry) tree(j *job) error {
	rec, tree := &j.in.Record, j.a.tree
	if j.in.Remove || rec.NoSelect {
		return nil
	}
	fresh := j.was.ID == 0 || j.was.NoSelect
	if j.a == c.adopted {
		return j.b.reopen(rec.Name)
	}
	renamed := !fresh && j.was.Name != rec.Name
	if !j.in.Found {
		j.a.mu.Lock()
		var err error
		switch {
		case fresh:
			err = tree.Create(c.ctx, rec.Name)
			c.undo = append(c.undo, func() {
				if rec.Name != "INBOX" {
					_ = tree.Remove(c.ctx, rec.Name)
				}
			})
		case renamed:
			err = tree.Rename(c.ctx, j.was.Name, rec.Name)
			c.undo = append(c.undo, func() { _ = tree.Rename(c.ctx, rec.Name, j.was.Name) })
		}
		j.a.mu.Unlock()
		if err != nil {
			return err
		}
	}
	if fresh || renamed {
		if err := j.b.reopen(rec.Name); err != nil {
			return err
		}
		if renamed {
			before := j.was.Name
			c.undo = append(c.undo, func() { _ = j.b.reopen(before) })
		}
	}
	if !j.in.Found && (fresh || j.was.UIDValidity != rec.UIDValidity) {
		return c.header(j)
	}
	return nil
}

// header writes the UIDVALIDITY of a mailbox that has got one.
func (c *carry) header(j *job) error {
	files := j.b.files.Load()
	release, err := files.Hold(c.ctx)
	if err != nil {
		return err
	}
	defer release()
	if h, err := files.Header(c.ctx); err != nil || h.UIDValidity != 0 && j.was.ID == 0 {
		return err // what is there already has one, which the index will take over
	}
	return files.Number(c.ctx, Header{j.in.Record.UIDValidity, j.in.Record.UIDNext}, nil)
}

// resubscribed says that subscriptions of an account change.
func (c *carry) resubscribed(a *account) bool {
	for _, j := range c.jobs {
		rec := &j.in.Record
		if j.a != a || j.in.Found {
			continue
		}
		on := rec.Subscribed && !j.in.Remove
		if was := j.was.ID != 0 && j.was.Subscribed; was != on || on && j.was.Name != rec.Name {
			return true
		}
	}
	return false
}

// subscribe tells the format all names that are subscribed now.
func (c *carry) subscribe(a *account) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	was, err := a.tree.List(c.ctx)
	if err != nil {
		return err
	}
	names := map[string]bool{} // what others have subscribed since stays
	for _, name := range was.Subscribed {
		names[name] = true
	}
	for _, j := range c.jobs {
		if j.a == a && j.was.ID != 0 && j.was.Subscribed {
			delete(names, j.was.Name)
		}
	}
	for _, j := range c.jobs {
		if j.a == a && j.in.Record.Subscribed && !j.in.Remove {
			names[j.in.Record.Name] = true
		}
	}
	list := make([]string, 0, len(names))
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return a.tree.Subscribe(c.ctx, list)
}

// removals takes away what is removed, those below first.
func (c *carry) removals() error {
	var gone []*job
	for _, j := range c.jobs {
		if j.in.Remove && !j.in.Found && j.was.ID != 0 && !j.was.NoSelect {
			gone = append(gone, j)
		}
	}
	slices.SortFunc(gone, func(x, y *job) int { return strings.Compare(y.was.Name, x.was.Name) })
	for _, j := range gone {
		j.a.mu.Lock()
		err := j.a.tree.Remove(c.ctx, j.was.Name)
		j.a.mu.Unlock()
		if err != nil {
			return fmt.Errorf("remove mailbox %s: %w", j.was.Name, err)
		}
	}
	for _, a := range c.forget {
		if err := c.clear(a); err != nil {
			return err
		}
	}
	return nil
}

// clear removes all mail of an account.
func (c *carry) clear(a *account) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, err := a.tree.List(c.ctx)
	if err != nil {
		return err
	}
	names := append(slices.Clone(list.Mailboxes), "INBOX")
	slices.Sort(names)
	for _, name := range slices.Backward(slices.Compact(names)) {
		if err := a.tree.Remove(c.ctx, name); err != nil {
			return fmt.Errorf("remove mailbox %s of %s: %w", name, a.name, err)
		}
	}
	return a.tree.Subscribe(c.ctx, nil)
}
