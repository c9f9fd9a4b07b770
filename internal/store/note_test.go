package store_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"plic/internal/store/engine"
)

// TestNotesWaitForStorage: a note is read when it is durable, not before, and
// never if it may not be.
func TestNotesWaitForStorage(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			notes := w.mailbox("ann", "INBOX").Notes()
			w.e.Hold()
			put, got, listed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
			go func() { put <- notes.Put(t.Context(), "x", []byte("x")) }()
			synctest.Wait()
			go func() { _, err := notes.Get(t.Context(), "x"); got <- err }()
			go func() { _, err := notes.All(t.Context(), ""); listed <- err }()
			synctest.Wait()
			w.want("answers before it is durable", len(put)+len(got)+len(listed), 0)
			if fails {
				w.e.Fail()
			} else {
				w.e.Release()
			}
			for _, c := range []chan error{put, got, listed} {
				if err := <-c; errors.Is(err, engine.ErrFailed) != fails {
					t.Errorf("after it: %v, failed %v", err, fails)
				}
			}
		})
	}
}
