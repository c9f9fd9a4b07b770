package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/pace"
	"plic/internal/store/memory"
)

func TestKeys(t *testing.T) {
	t.Parallel()
	s := New(Options{Engine: memory.New(time.Now)})
	defer s.Close()
	inbox := testMailbox(t, s, "alice", "INBOX")
	testPut(t, inbox, "From: \"Zo\u00eb\" <z@a.example>\r\nTo: g: x@b.example;\r\nCc: c@d.example\r\nSubject: [l] Re: Hello\r\n"+
		"Date: Fri, 1 Mar 2024 23:30:00 -0100\r\nMessage-ID: <b@x>\r\nReferences: <r@x> <a@x>\r\n\r\n")
	testPut(t, inbox, "Message-ID: <a@x>\r\nIn-Reply-To: <r@x> <s@x>\r\n\r\n")
	snap := testSnapshot(t, inbox)
	columns, err := inbox.Columns(context.Background(), snap)
	if err != nil {
		t.Fatal(err)
	}
	a, b := columns.Keys(1), columns.Keys(2)
	for name, got := range map[string][]byte{"HELLO": a.Base, "Z": a.From, "G": a.To, "C": a.Cc, "ZOE\u0308": a.ShownFrom, "": b.Base} {
		if !bytes.Equal(got, []byte(name)) {
			t.Errorf("got %q, want %q", got, name)
		}
	}
	if !a.Reply || !a.Dated || a.SentDay() != 19783 || a.Sent != 1709339400 || b.Dated {
		t.Errorf("got %+v and %+v", a, b)
	}
	if refs := a.Refs(); len(refs) != 2 || refs[1] != b.ID || len(b.Refs()) != 1 || b.Refs()[0] != refs[0] {
		t.Errorf("the one refers to %x, the other, %x, to %x", refs, b.ID, b.Refs())
	}
	if none := columns.Keys(3); none.ID != 0 {
		t.Errorf("keys of a message that is not there: %+v", none)
	}
}

// Whatever comes and goes, columns give what the messages are.
func TestColumnsFollow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(3, 4))
	s := New(Options{Engine: memory.New(time.Now), ColumnBytes: 1 << 12})
	defer s.Close()
	inbox := testMailbox(t, s, "alice", "INBOX")
	subjects := map[UID]string{}
	next := UID(1)
	for range 60 {
		for range r.IntN(100) {
			subjects[next] = fmt.Sprint("S", r.IntN(1000))
			testPut(t, inbox, "Subject: "+subjects[next]+"\r\n\r\n")
			next++
		}
		var gone []UID
		for uid := range subjects {
			if r.IntN(3) == 0 {
				gone = append(gone, uid)
				delete(subjects, uid)
			}
		}
		if _, err := inbox.Expunge(ctx, gone, false); err != nil {
			t.Fatal(err)
		}
		snap := testSnapshot(t, inbox)
		columns, err := inbox.Columns(ctx, snap)
		if err != nil {
			t.Fatal(err)
		}
		walk := columns.Walk()
		for _, e := range snap.All() {
			one, all := columns.Keys(e.UID), walk(e.UID)
			if string(one.Base) != subjects[e.UID] || string(all.Base) != subjects[e.UID] {
				t.Fatalf("UID %d has the subject %q and %q, want %q", e.UID, one.Base, all.Base, subjects[e.UID])
			}
		}
	}
}

// Who pauses while it reads keys keeps nobody waiting.
func TestColumnsPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Engine: memory.New(time.Now)})
		defer s.Close()
		inbox := testMailbox(t, s, "alice", "INBOX")
		for i := range 100 {
			testPut(t, inbox, fmt.Sprintf("Subject: S%d\r\n\r\n", i+1))
		}
		snap := testSnapshot(t, inbox)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		paused, done := make(chan struct{}), make(chan error, 1)
		go func() {
			step := sync.OnceFunc(func() { <-paused })
			c, err := inbox.Columns(pace.With(ctx, func(context.Context) error { step(); return nil }), snap)
			if err == nil && (len(c.uids) != 100 || string(c.Keys(7).Base) != "S7") {
				err = fmt.Errorf("%d keys, %q that of the seventh", len(c.uids), c.Keys(7).Base)
			}
			done <- err
		}()
		synctest.Wait()
		if c, err := inbox.Columns(ctx, snap); err != nil {
			t.Errorf("while another pauses: %v", err)
		} else if base := c.Keys(100).Base; len(c.uids) != 100 || string(base) != "S100" {
			t.Errorf("%d keys, %q that of the last", len(c.uids), base)
		}
		close(paused)
		if err := <-done; err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
}

func testPut(t *testing.T, m *Mailbox, text string) {
	t.Helper()
	d, err := m.account.store.NewDraft(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Append(context.Background(), Incoming{Draft: d}); err != nil {
		t.Fatal(err)
	}
}
