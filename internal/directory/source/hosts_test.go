package source

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := map[string]bool{"a": true}
		var tried []string
		h := NewHosts([]string{"a", "b"}, time.Second, nil)
		connect := func(ctx context.Context) (string, error) {
			tried = nil
			err := h.Connect(ctx, func(ctx context.Context, host string) error {
				tried = append(tried, host)
				switch {
				case host == "hole":
					<-ctx.Done()
					return ctx.Err()
				case down[host]:
					return errors.New("refused")
				}
				return nil
			})
			return strings.Join(tried, " "), err
		}
		check := func(what, want string, fails bool) {
			t.Helper()
			if got, err := connect(t.Context()); got != want || (err != nil) != fails {
				t.Errorf("%s: tried %q, %v; want %q", what, got, err, want)
			}
		}
		check("the first is down", "a b", false)
		check("and left alone", "b", false)
		down["b"] = true
		check("both are down", "b", true)
		check("and left alone", "", true)
		time.Sleep(pause)
		check("asked again soon", "a b", true)
		time.Sleep(pause)
		down["a"] = false
		check("the first is back", "a", false)

		h = NewHosts([]string{"hole", "b"}, time.Second, nil)
		down["b"] = false
		check("a black hole", "hole b", false)
		time.Sleep(pause)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if got, err := connect(ctx); got != "hole" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who went away: tried %q, %v", got, err)
		}
		check("nothing is held against the host", "hole b", false)
	})
}
