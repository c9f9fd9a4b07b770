package queue

import (
	"slices"
	"testing"
	"time"

	"plic/internal/mail"
)

func TestShapes(t *testing.T) {
	t.Parallel()
	now := time.Now()
	old, fresh, held := itemTo("a.test", "x", "y"), itemTo("a.test", "z"), itemTo("b.test", "x")
	old.Envelope.Received = now.Add(-50 * time.Minute)
	old.To[0].Fault, old.To[1].Fault = mail.FaultGreylist, mail.FaultFull
	fresh.Envelope.Origin.Account = "ann@c.test"
	held.Hold, held.Envelope.From = true, mail.Address{}
	held.Envelope.Received = now.Add(-100 * day)
	q := New(Options{Custody: newMemory(old, fresh, held), Reporter: reporter{}})
	for by, want := range map[By][]Shape{
		ByHost:   {{Name: "a.test", Items: 2, Recipients: 3, Ages: [Ages]int{0: 1, 4: 2}}, {Name: "b.test", Items: 1, Recipients: 1, Held: 1, Ages: [Ages]int{9: 1}}},
		BySender: {{Name: "a.test", Items: 1, Recipients: 2}, {Name: "<>", Items: 1, Recipients: 1, Held: 1}, {Name: "ann@c.test", Items: 1, Recipients: 1}},
		ByFault: {{Name: "not tried yet", Items: 2, Recipients: 2, Held: 1}, {Name: "full", Items: 1, Recipients: 1},
			{Name: "greylist", Items: 1, Recipients: 1}},
		ByDomain: {{Name: "a.test", Items: 2, Recipients: 3}, {Name: "b.test", Items: 1, Recipients: 1, Held: 1}},
	} {
		got, err := q.Shapes(t.Context(), Filter{}, by)
		if err != nil {
			t.Fatal(err)
		}
		same := slices.EqualFunc(got, want, func(g, w Shape) bool {
			return g.Name == w.Name && g.Items == w.Items && g.Recipients == w.Recipients && g.Held == w.Held &&
				g.Bytes == int64(w.Items)*1000 && (w.Ages == [Ages]int{} || g.Ages == w.Ages) && !g.Oldest.IsZero()
		})
		if !same {
			t.Errorf("by %s: %+v", by, got)
		}
	}
	if got, err := q.Shapes(t.Context(), Filter{Fault: mail.FaultFull, Older: 40 * time.Minute, Younger: time.Hour}, ByHost); err != nil || len(got) != 1 || got[0].Items != 1 {
		t.Errorf("filtered %+v, %v", got, err)
	}
	for _, f := range []Filter{{Older: time.Hour, Host: "a.test"}, {Younger: 40 * time.Minute, Fault: mail.FaultFull}, {Account: "bob@c.test"}} {
		if got, err := q.Shapes(t.Context(), f, ByHost); err != nil || len(got) != 0 {
			t.Errorf("%+v chooses %+v, %v", f, got, err)
		}
	}
}
