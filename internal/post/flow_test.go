package post

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
)

// While more comes than goes, a message for the queue waits a little before it is
// taken, and one that is for here does not; who stops meanwhile gets a 4xx.
func TestInFlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.told.pressure = time.Second
		took := func(to string) time.Duration {
			t.Helper()
			env := envelope("ann@here.test", to)
			env.Origin.Account = "ann@here.test"
			began := time.Now()
			if _, err := o.post(env, letter); err != nil {
				t.Fatal(err)
			}
			return time.Since(began)
		}
		if d := took("eve@there.test"); d != time.Second {
			t.Errorf("mail for the queue waited %v", d)
		}
		if d := took("bob@here.test"); d != 0 {
			t.Errorf("mail for here waited %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		env := envelope("ann@here.test", "eve@there.test")
		env.Origin.Account = "ann@here.test"
		d, err := o.Begin(ctx, env)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Abort()
		io.WriteString(d, letter)
		if _, err := d.Commit(ctx, env, nil); mail.StatusOf(err).Code != 451 || len(o.told.items) != 1 {
			t.Errorf("stopped with %v, %d items", err, len(o.told.items))
		}
	})
}
