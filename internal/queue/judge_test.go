package queue

import (
	"testing"

	"plic/internal/mail"
)

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
