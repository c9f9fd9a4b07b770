package main

import (
	"path/filepath"
	"testing"
)

// The work of every limit can be done, of a small mailbox.
func TestLimits(t *testing.T) {
	t.Parallel()
	b, err := newBare(t.Context(), filepath.Join(t.TempDir(), "octets"))
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	for _, l := range limits(1000) {
		l.trips, l.syncs = min(l.trips, 10), min(l.syncs, 10)
		if err := b.do(l); err != nil {
			t.Errorf("%s: %v", l.name, err)
		}
	}
}
