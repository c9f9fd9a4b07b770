package imapd

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
	"plic/internal/message/messagetest"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/headers"
	"plic/internal/store/memory"
)

// counting counts the bodies that are opened.
type counting struct {
	engine.Engine
	opened atomic.Int64
}

func (c *counting) OpenBody(ctx context.Context, id mail.ID) (mail.Body, error) {
	c.opened.Add(1)
	return c.Engine.OpenBody(ctx, id)
}

// Who lists a mailbox again is told the same, and nothing is opened for it.
func TestHeadersAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &counting{Engine: memory.New(time.Now)}
		s := store.New(store.Options{Engine: e})
		t.Cleanup(func() { s.Close() })
		k, err := headers.New(headers.Options{})
		if err != nil {
			t.Fatal(err)
		}
		with := newHouse(t, func(o *Options) { o.Store, o.Headers = s, k })
		with.store = s
		without := newHouse(t, func(o *Options) { o.Store = s })
		for range 3 {
			for _, m := range messagetest.All() {
				if m.Clean() && len(m.Raw) < 32<<10 {
					with.deliver("INBOX", store.Flags{}, string(m.Raw))
				}
			}
		}
		c, plain := with.open("alice"), without.open("alice")
		c.ok("SELECT INBOX")
		c.ok("SELECT INBOX") // nothing is \Recent now
		plain.ok("SELECT INBOX")
		list := func() {
			t.Helper()
			for _, command := range []string{
				"FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])",
				"FETCH 1:* (ENVELOPE BODY.PEEK[HEADER.FIELDS (subject)] BODY.PEEK[HEADER.FIELDS (FROM)]<3.20>)",
				"UID FETCH 7:20,3 BODY.PEEK[HEADER.FIELDS (References)]",
			} {
				got, want := c.ok(command), plain.ok(command)
				if !slices.Equal(got, want) {
					for i := range min(len(got), len(want)) {
						if got[i] != want[i] {
							t.Fatalf("%s: line %d is\n%q, not\n%q", command, i, got[i], want[i])
						}
					}
					t.Fatalf("%s: %d lines, not %d", command, len(got), len(want))
				}
			}
		}
		list()
		synctest.Wait() // it is kept in the background
		before := e.opened.Load()
		plain.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject)]")
		all := e.opened.Load() - before
		c.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (Subject)]")
		if n := e.opened.Load() - before - all; n > all/20 { // but for those with much too long headers
			t.Errorf("%d of %d are still opened", n, all)
		}
		list()

		// \Seen is set all the same, and what was not asked for often is read.
		c.ok("FETCH 1 BODY[HEADER.FIELDS (Subject)]")
		if got := c.ok("FETCH 1 (FLAGS BODY.PEEK[HEADER.FIELDS (Received)])"); !match("* 1 FETCH (FLAGS (...\\Seen...", got[0]) {
			t.Errorf("it says %q", got)
		}
	})
}
