package store

import (
	"context"
	"fmt"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

const queueStep = 1000

// Leap makes the state of an earlier time fit to go on from, in an engine that
// no store uses yet: nothing is given again that clients have seen since. What is
// in the queue is held: most of it has been sent since.
func Leap(ctx context.Context, e engine.Engine, why string) error {
	if err := engine.Leap(ctx, e); err != nil {
		return err
	}
	if err := holdQueue(ctx, e, why); err != nil {
		return fmt.Errorf("leap: queue: %w", err)
	}
	return nil
}

// holdQueue holds all items.
func holdQueue(ctx context.Context, e engine.Engine, why string) error {
	var some []mail.Item
	put := func() error {
		if len(some) == 0 {
			return nil
		}
		t, err := e.Apply(&engine.Batch{PutItems: some})
		some = nil
		if err != nil {
			return err
		}
		return t.Wait()
	}
	for i, err := range e.Items(ctx) {
		if err != nil {
			return err
		}
		i.Hold, i.Why = true, why
		if some = append(some, i); len(some) == queueStep {
			if err := put(); err != nil {
				return err
			}
		}
	}
	return put()
}
