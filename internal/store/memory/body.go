package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// writer is a body on its way in.
type writer struct {
	e     *Engine
	id    mail.ID
	data  []byte
	taken bool
	gone  bool
}

// NewBody starts a body.
func (e *Engine) NewBody(ctx context.Context) (engine.BodyWriter, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := first(ctx.Err(), e.open(), e.refuse); err != nil {
		return nil, err
	}
	return &writer{e: e, id: mail.NewID(e.now())}, nil
}

func (w *writer) Write(p []byte) (int, error) {
	if w.taken || w.gone {
		return 0, errors.New("write to a body that is taken or discarded")
	}
	w.data = append(w.data, p...)
	return len(p), nil
}

func (w *writer) ID() mail.ID     { return w.id }
func (w *writer) Size() int64     { return int64(len(w.data)) }
func (w *writer) Body() mail.Body { return reader{bytes.NewReader(slices.Clip(w.data))} }

func (w *writer) Finish() {}

func (w *writer) Discard() {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	w.gone = true
}

// OpenBody reads a body; engine.ErrNotFound.
func (e *Engine) OpenBody(ctx context.Context, id mail.ID) (mail.Body, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := first(ctx.Err(), e.open()); err != nil {
		return nil, err
	}
	b := e.bodies[id]
	if b == nil {
		return nil, fmt.Errorf("body %s: %w", id, engine.ErrNotFound)
	}
	return reader{bytes.NewReader(b.data)}, nil
}

// OpenBodies opens bodies one after the other.
func (e *Engine) OpenBodies(ctx context.Context, ids []mail.ID) iter.Seq2[mail.Body, error] {
	return func(yield func(mail.Body, error) bool) {
		for _, id := range ids {
			if !yield(e.OpenBody(ctx, id)) {
				return
			}
		}
	}
}

// Bodies is how many bodies have owners.
func (e *Engine) Bodies() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.bodies)
}

// reader is a body in memory; it stays readable when the body goes.
type reader struct{ *bytes.Reader }

func (reader) Close() error { return nil }

var _ engine.Engine = (*Engine)(nil)
