package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/store/engine"
)

// dropKey begins the notes of messages that were dropped here.
const dropKey = "maildrop/"

// drops lets one message of a name in at a time.
type drops struct {
	mu   sync.Mutex
	busy map[string]chan struct{}
}

// enter waits until nobody else is at the name.
func (d *drops) enter(ctx context.Context, name string) (leave func(), err error) {
	for {
		d.mu.Lock()
		other := d.busy[name]
		if other == nil {
			if d.busy == nil {
				d.busy = map[string]chan struct{}{}
			}
			mine := make(chan struct{})
			d.busy[name] = mine
			d.mu.Unlock()
			return func() {
				d.mu.Lock()
				delete(d.busy, name)
				d.mu.Unlock()
				close(mine)
			}, nil
		}
		d.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Drop takes a message that a program of this host hands in, under a name that is
// the message's alone: of the same name it is taken once. It is routed when it is
// safe, so that a wrong recipient is reported to its sender rather than to a
// program that does not listen.
func (p *Office) Drop(ctx context.Context, env *mail.Envelope, trace []byte, body io.Reader, name string) error {
	leave, err := p.drops.enter(ctx, name)
	if err != nil {
		return storage("drop a message", err)
	}
	defer leave()
	notes := p.o.Store.Notes()
	_, err = notes.Get(ctx, dropKey+name)
	if err == nil {
		return nil // it was taken before
	}
	if !errors.Is(err, engine.ErrNotFound) {
		return storage("look for a note", err)
	}
	if err := p.room(env.Size); err != nil {
		return err
	}
	draft, err := p.Begin(ctx, env)
	if err != nil {
		return err
	}
	n, err := io.Copy(draft, body)
	switch {
	case err != nil:
		draft.Abort()
		return storage("take a message in", err)
	case p.o.MaxDrop > 0 && n > p.o.MaxDrop:
		draft.Abort()
		return &mail.Failure{Op: "drop a message", Status: mail.Reply(552, "5.3.4", fmt.Sprintf("the message has more than %d octets", p.o.MaxDrop))}
	}
	j := &job{draft: draft.Draft, env: env, trace: trace}
	item := p.item(j, mail.Hop{Kind: mail.HopPost, Host: Dropped}, itemsOf(env.To))
	tx := p.o.Store.Begin()
	tx.PutItem(item)
	tx.PutNote(notes, dropKey+name, []byte(p.o.Now().UTC().Format(time.RFC3339)))
	if _, err := tx.Commit(ctx); err != nil {
		draft.Abort()
		return storage("commit", err)
	}
	e := j.event(journal.Accept)
	e.To = addresses(item.To)
	p.record(e)
	if p.scheduler != nil {
		p.scheduler.Added(item)
	}
	return nil
}

// ForgetDrops drops what is remembered of messages that were taken long enough
// ago, but for those that keep names.
func (p *Office) ForgetDrops(ctx context.Context, age time.Duration, keep func(name string) bool) error {
	notes := p.o.Store.Notes()
	all, err := notes.All(ctx, dropKey)
	if err != nil {
		return err
	}
	tx, found := p.o.Store.Begin(), false
	for _, n := range all {
		at, err := time.Parse(time.RFC3339, string(n.Value))
		name := strings.TrimPrefix(n.Key, dropKey)
		if err == nil && p.o.Now().Sub(at) < age || keep(name) {
			continue
		}
		tx.PutNote(notes, n.Key, nil)
		found = true
	}
	if !found {
		return nil
	}
	_, err = tx.Commit(ctx)
	return err
}
