// Package notebooktest has notes in memory, for tests of those who keep some.
package notebooktest

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"plic/internal/notebook"
)

// Notes are in memory. The fields are for a test while nobody works with them.
type Notes struct {
	All  map[string][]byte
	Puts int   // how often some were kept
	Fail error // of all that follows; nil for none

	mu sync.Mutex
}

// Note gives the value of a key, nil if there is none.
func (n *Notes) Note(_ context.Context, key string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.All[key], n.Fail
}

// Notes gives those whose keys begin with a prefix, by rising key.
func (n *Notes) Notes(_ context.Context, prefix string) iter.Seq2[notebook.Note, error] {
	n.mu.Lock()
	all, fail := maps.Clone(n.All), n.Fail
	n.mu.Unlock()
	return func(yield func(notebook.Note, error) bool) {
		if fail != nil {
			yield(notebook.Note{}, fail)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if strings.HasPrefix(key, prefix) && !yield(notebook.Note{Key: key, Value: all[key]}, nil) {
				return
			}
		}
	}
}

// PutNotes keeps notes.
func (n *Notes) PutNotes(_ context.Context, list ...notebook.Note) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.Fail != nil {
		return n.Fail
	}
	if slices.ContainsFunc(list, func(x notebook.Note) bool { return len(x.Value) > notebook.MostOfOne }) {
		return errors.New("the note is too large")
	}
	n.Puts++
	if n.All == nil {
		n.All = map[string][]byte{}
	}
	for _, x := range list {
		if n.All[x.Key] = x.Value; x.Value == nil {
			delete(n.All, x.Key)
		}
	}
	return nil
}
