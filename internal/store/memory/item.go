package memory

import (
	"context"
	"fmt"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Item finds one queue item.
func (e *Engine) Item(_ context.Context, id mail.ID) (mail.Item, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.open(); err != nil {
		return mail.Item{}, err
	}
	item, ok := e.items[id]
	if !ok {
		return mail.Item{}, fmt.Errorf("queue item %s: %w", id, engine.ErrNotFound)
	}
	return item, nil
}
