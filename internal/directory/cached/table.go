package cached

import (
	"context"
	"fmt"
	"strings"

	"plic/internal/directory"
	"plic/internal/table"
)

// Table remembers what another table says; it is a table.Table.
type Table struct {
	o      Options
	values memory[string, string]
}

// NewTable puts a memory before a table. Keys are the same in any case.
func NewTable(of table.Table, o Options) *Table {
	o.defaults()
	t := &Table{o: o}
	t.values = newMemory(&t.o, "table", func(ctx context.Context, key string) (string, error) {
		value, found, err := of.Lookup(ctx, key)
		if err == nil && !found {
			err = fmt.Errorf("key %.60s: %w", key, directory.ErrNotFound)
		}
		return value, err
	})
	return t
}

// Lookup finds a key.
func (t *Table) Lookup(ctx context.Context, key string) (string, bool, error) {
	if len(key) > maxLogin {
		return "", false, nil
	}
	value, err := t.values.get(ctx, strings.ToLower(key))
	if directory.Missing(err) {
		return "", false, nil
	}
	return value, err == nil, err
}
