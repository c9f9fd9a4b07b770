package tlspolicy

import (
	"context"
	"encoding/json"

	"plic/internal/notebook"
)

// The beginnings of keys.
const (
	stsPrefix    = "tls/sts/"    // and the domain
	seenPrefix   = "tls/seen/"   // and the domain
	reportPrefix = "tls/report/" // the day, "/" and the domain
)

// get reads a note as JSON; false if there is none, or nothing that we wrote.
func get[T any](ctx context.Context, n notebook.Notes, key string) (v T, found bool, err error) {
	text, err := n.Note(ctx, key)
	if err != nil || text == nil {
		return v, false, err
	}
	if json.Unmarshal(text, &v) != nil {
		var none T
		return none, false, nil
	}
	return v, true, nil
}

// note makes a note of v.
func note(key string, v any) (notebook.Note, error) {
	text, err := json.Marshal(v)
	return notebook.Note{Key: key, Value: text}, err
}

// put keeps v.
func put(ctx context.Context, n notebook.Notes, key string, v any) error {
	x, err := note(key, v)
	if err != nil {
		return err
	}
	return n.PutNotes(ctx, x)
}
