package tlspolicy

import (
	"context"
	"encoding/json"
	"iter"
)

// Note is a small record that outlives the process.
type Note struct {
	Key   string
	Value []byte // nil takes the note away
}

// Notes keeps them.
type Notes interface {
	// Note gives the value of a key, nil if there is none.
	Note(ctx context.Context, key string) ([]byte, error)
	// Notes gives those whose keys begin with a prefix, by rising key.
	Notes(ctx context.Context, prefix string) iter.Seq2[Note, error]
	// PutNotes keeps notes, durably when it returns.
	PutNotes(ctx context.Context, notes ...Note) error
}

// The beginnings of keys.
const (
	stsPrefix    = "tls/sts/"    // and the domain
	seenPrefix   = "tls/seen/"   // and the domain
	reportPrefix = "tls/report/" // the day, "/" and the domain
)

// get reads a note as JSON; false if there is none, or nothing that we wrote.
func get[T any](ctx context.Context, n Notes, key string) (v T, found bool, err error) {
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
func note(key string, v any) (Note, error) {
	text, err := json.Marshal(v)
	return Note{key, text}, err
}

// put keeps v.
func put(ctx context.Context, n Notes, key string, v any) error {
	x, err := note(key, v)
	if err != nil {
		return err
	}
	return n.PutNotes(ctx, x)
}
