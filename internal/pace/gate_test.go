package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// One of each name is inside at a time, those that give up wait no more, and nothing
// is left of any.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(1)
		leave, err := g.Enter(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		gaveUp, inside := make(chan error, 1), make(chan func(), 1)
		go func() {
			_, err := g.Enter(ctx, "ann")
			gaveUp <- err
		}()
		synctest.Wait()
		stop()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		go func() {
			leave, err := g.Enter(t.Context(), "ann")
			if err != nil {
				t.Error(err)
			}
			inside <- leave
		}()
		synctest.Wait()
		if n := g.Waiting("ann"); n != 2 || len(inside) != 0 {
			t.Errorf("%d are there, %d more inside", n, len(inside))
		}
		bob, err := g.Enter(t.Context(), "bob")
		if err != nil {
			t.Fatal(err)
		}
		leave()
		(<-inside)()
		bob()
		if g.Len() != 0 || g.Waiting("ann") != 0 {
			t.Errorf("%d names are left", g.Len())
		}
	})
}
