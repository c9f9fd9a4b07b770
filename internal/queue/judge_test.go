package queue

import (
	"testing"
	"time"

	"plic/internal/mail"
)

// TestUntimed: of a host that keeps to no time for delivery the sender is told, if
// it wants to be told of delays, RFC 2852 section 4.1.4.2.
func TestUntimed(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	taken := mail.Outcome{Status: mail.Reply(250, "2.0.0", "taken"), Host: "mx.test", Reports: true}
	for _, c := range []struct {
		name   string
		by     mail.DeliverBy
		timed  bool
		notify mail.Notify
		want   int // fates
	}{
		{"no time", mail.DeliverBy{}, false, 0, 0},
		{"to be told", mail.DeliverBy{At: now}, false, 0, 1},
		{"to be told, never", mail.DeliverBy{At: now}, false, mail.NotifyNever, 0},
		{"to be told, kept to", mail.DeliverBy{At: now}, true, 0, 0},
		{"to be told, kept to, traced", mail.DeliverBy{At: now, Trace: true}, true, 0, 1},
		{"to go back", mail.DeliverBy{At: now, Return: true}, true, 0, 0},
	} {
		item := mail.Item{Envelope: mail.Envelope{From: mail.MustAddress("a@a.test"), By: c.by},
			To: []mail.ItemRcpt{{Recipient: mail.Recipient{Address: mail.MustAddress("b@b.test"), Notify: c.notify}}}}
		out := taken
		out.Timed = c.timed
		var o Options
		o.defaults()
		v := o.judge(&item, []mail.Outcome{out}, 1, now, now)
		q := Queue{o: o}
		_, fates := q.outcome(&item, &v, wish{})
		if len(fates) != c.want || c.want > 0 && fates[0].Untimed == c.timed {
			t.Errorf("%s: %+v", c.name, fates)
		}
	}
}

// What a program of this host makes of one recipient's mail says nothing about
// the next one's: nobody waits for it.
func TestApart(t *testing.T) {
	t.Parallel()
	fails := mail.Outcome{Status: mail.Reply(451, "4.3.0", "the command cannot take the message now"), Apart: true}
	takes := mail.Outcome{Status: mail.Reply(250, "2.0.0", "taken"), Apart: true}
	for _, all := range [][]mail.Outcome{{fails}, {takes}, {fails, takes}} {
		if got := healthOf(all); got != up {
			t.Errorf("%v: %v, want up", all, got)
		}
	}
	if fails.Apart = false; healthOf([]mail.Outcome{fails}) != down {
		t.Error("a host of which nothing is heard is not down")
	}
}
