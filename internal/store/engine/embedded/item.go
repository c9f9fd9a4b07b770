package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Item finds one queue item.
func (e *Engine) Item(_ context.Context, id mail.ID) (mail.Item, error) {
	if err := e.enter(); err != nil {
		return mail.Item{}, err
	}
	defer e.leave()
	key := idKey(kindItem, id)
	value, closer, err := e.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return mail.Item{}, fmt.Errorf("queue item %s: %w", id, engine.ErrNotFound)
	}
	if err != nil {
		return mail.Item{}, e.readError(err)
	}
	defer closer.Close()
	return decodeItem(key, value)
}
