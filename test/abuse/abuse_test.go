// Package abuse does to plic, as it is built and served, what every server on
// the Internet meets: smuggling, injection, relay tricks, floods. Each must get
// the answer that it deserves, and nobody else may suffer.
package abuse

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"plic/test/world"
)

var binary string

func TestMain(m *testing.M) { os.Exit(world.Main(m, &binary)) }

// target is a site under attack, and a host elsewhere that must get nothing
// from it.
type target struct {
	*world.Plic
	ann, eve string
	far      *world.Sink
}

// newTarget starts a site on a network of its own.
func newTarget(t *testing.T, network string, settings map[string]string) *target {
	t.Helper()
	w := world.New(t, binary, network)
	x := &target{far: w.Sink(t, "mx.far.test", nil)}
	x.Plic = w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test", Settings: settings})
	x.ann, x.eve = x.Account(t, "ann"), x.Account(t, "eve")
	return x
}

// text is a message with a subject.
func text(from, to, subject string) string {
	return fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"+
		"Message-ID: <%s@test>\r\n\r\nHello.\r\n", from, to, subject, subject)
}

// works fails unless the site still takes a good message and gives it out.
func (x *target) works(t *testing.T) {
	t.Helper()
	c := x.SMTP(t)
	defer c.Close()
	id := c.Deliver(world.Letter{From: "friend@far.test", To: []string{x.ann}, Text: text("friend@far.test", x.ann, "good")})
	x.WaitMail(t, x.ann, id)
}

// no fails if the text has any of the parts in it.
func no(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(got, part) {
			t.Errorf("%s has %q in it: %.2000q", what, part, got)
		}
	}
}

// want fails unless the text begins so.
func want(t *testing.T, what, got, prefix string) {
	t.Helper()
	if !strings.HasPrefix(got, prefix) {
		t.Errorf("%s: %.300q, not %s", what, got, prefix)
	}
}
