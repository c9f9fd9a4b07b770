package delivertest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

// Behaviour is what something of this host does with mail.
type Behaviour string

// The behaviours.
const (
	Takes   Behaviour = "takes"   // it
	Fails   Behaviour = "fails"   // for now
	Refuses Behaviour = "refuses" // for good
	Hangs   Behaviour = "hangs"   // until it is stopped
	Ignores Behaviour = "ignores" // the message, and takes it
)

// Place is where a transport of this host delivers to, in one trial.
type Place struct {
	Transport Transport
	Hop       mail.Hop
	Taken     func() int // how many whole messages it has
}

// Local is what every transport to something of this host must do: one outcome
// for each recipient, success where and only where the message was taken, and
// an end when it is told to stop. start makes a place; false leaves a behaviour
// out that the place cannot have.
func Local(t *testing.T, start func(t *testing.T, b Behaviour) (Place, bool)) {
	large := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 20000)
	for _, x := range []struct {
		name   string
		b      Behaviour
		body   mail.Body
		want   mail.Class
		taken  int
		cancel time.Duration
	}{
		{"takes", Takes, Body(text), mail.Success, 3, 0},
		{"takes a large one", Takes, Body(large), mail.Success, 3, 0},
		{"takes an empty one", Takes, Body(""), mail.Success, 3, 0},
		{"fails", Fails, Body(text), mail.Transient, 0, 0},
		{"refuses", Refuses, Body(text), mail.Permanent, 0, 0},
		{"refuses a large one", Refuses, Body(large), mail.Permanent, 0, 0},
		{"ignores a large one", Ignores, Body(large), mail.Success, 0, 0},
		{"hangs until stopped", Hangs, Body(text), mail.Transient, 0, 200 * time.Millisecond},
		{"unreadable", Takes, broken{Body(strings.Repeat("x", 100000)), errors.New("bad disk")}, mail.Transient, 0, 0},
		{"panic", Takes, broken{Body(strings.Repeat("x", 100000)), nil}, mail.Transient, 0, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			place, ok := start(t, x.b)
			if !ok {
				return
			}
			item := Item(x.body, "a", "b", "c")
			item.Hop = place.Hop
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if x.cancel > 0 {
				time.AfterFunc(x.cancel, cancel)
			}
			outcomes := place.Transport.Deliver(ctx, item, x.body)
			if len(outcomes) != 3 {
				t.Fatalf("%d outcomes for 3 recipients", len(outcomes))
			}
			for i, o := range outcomes {
				if o.Status.Class() != x.want || int(o.Status.Enhanced[0]) != o.Status.Code/100 {
					t.Errorf("recipient %d: %v (%v), want %dxx", i, o.Status, o.Err, x.want)
				}
				if !o.Apart {
					t.Errorf("recipient %d: %v is taken for a word about all", i, o.Status)
				}
				if x.want != mail.Success && o.Err == nil {
					t.Errorf("recipient %d: %v without a reason", i, o.Status)
				}
			}
			if got := place.Taken(); x.b == Takes && got != x.taken {
				t.Errorf("%d messages were taken, want %d", got, x.taken)
			}
		})
	}
}
