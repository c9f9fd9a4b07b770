package store

import (
	"context"

	"plic/internal/mail"
)

// Item finds one queue item; engine.ErrNotFound, engine.ErrDamaged.
func (s *Store) Item(ctx context.Context, id mail.ID) (mail.Item, error) {
	return s.engine.Item(ctx, id)
}
