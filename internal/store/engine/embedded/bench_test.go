package embedded

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

func benchEngine(b *testing.B) *Engine {
	e, err := Open(b.Context(), Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(); err != nil {
			b.Error(err)
		}
	})
	return e
}

func apply(b testing.TB, e *Engine, batch *engine.Batch) {
	b.Helper()
	ticket, err := e.Apply(batch)
	if err == nil {
		err = ticket.Wait()
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDeliver commits one message at a time, durably, from each of some
// goroutines, on the real disk.
func BenchmarkDeliver(b *testing.B) {
	for _, size := range []int{2 << 10, 20 << 10} {
		for _, writers := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, writers), func(b *testing.B) { benchDeliver(b, size, writers) })
		}
	}
}

func benchDeliver(b *testing.B, size, writers int) {
	e := benchEngine(b)
	body := bytes.Repeat([]byte("All work and no play.\r\n"), size/23+1)[:size]
	for i := range writers {
		apply(b, e, &engine.Batch{
			Accounts:  []engine.Account{{ID: engine.AccountID(i + 1), Name: fmt.Sprint("user", i), NextMailbox: 2}},
			Mailboxes: []engine.MailboxChange{{Account: engine.AccountID(i + 1), Record: engine.Mailbox{ID: 1, Name: "INBOX"}}},
		})
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	b.ResetTimer()
	for i := range writers {
		all.Go(func() {
			for uid := engine.UID(1); left.Add(-1) >= 0; uid++ {
				w, err := e.NewBody(b.Context())
				if err != nil {
					b.Error(err)
					return
				}
				for at := 0; at < size; at += 4096 {
					w.Write(body[at:min(size, at+4096)])
				}
				t, err := e.Apply(&engine.Batch{
					Mailboxes: []engine.MailboxChange{{
						Account: engine.AccountID(i + 1),
						Record:  engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: uid + 1, Messages: uint32(uid)},
						Add: []engine.Message{{
							Entry:  engine.Entry{UID: uid, ModSeq: engine.ModSeq(uid), Body: w.ID(), Size: int64(size)},
							Detail: engine.Detail{Prefix: body[:200], Summary: body[:600]},
						}},
					}},
					Bodies: []engine.BodyWriter{w},
				})
				if err == nil {
					err = t.Wait()
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
	if s, err := e.Stats(b.Context()); err == nil {
		b.ReportMetric(float64(s.Commits)/float64(s.Syncs), "commits/sync")
	}
}

// BenchmarkEntries reads the index of a mailbox of 100,000 messages.
func BenchmarkEntries(b *testing.B) {
	e := benchEngine(b)
	const messages = 100_000
	fillMailbox(b, e, messages)
	for b.Loop() {
		n := 0
		for _, err := range e.Entries(b.Context(), 1, 1, 0) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != messages {
			b.Fatal(n)
		}
	}
}

func fillMailbox(b testing.TB, e *Engine, messages int) mail.ID {
	var id mail.ID
	for from := 1; from <= messages; from += 1000 {
		w, _ := e.NewBody(b.Context())
		io.WriteString(w, "Subject: 1\r\n\r\n1\r\n")
		id = w.ID()
		c := engine.MailboxChange{Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX"}}
		for uid := from; uid < from+1000; uid++ {
			c.Add = append(c.Add, engine.Message{
				Entry:  engine.Entry{UID: engine.UID(uid), ModSeq: engine.ModSeq(uid), Body: id, Internal: engine.DateOf(time.Now())},
				Detail: engine.Detail{Prefix: make([]byte, 200), Summary: make([]byte, 600)},
			})
		}
		apply(b, e, &engine.Batch{
			Accounts:  []engine.Account{{ID: 1, Name: "user", NextMailbox: 2}},
			Mailboxes: []engine.MailboxChange{c}, Bodies: []engine.BodyWriter{w},
		})
	}
	return id
}

// BenchmarkOpenBody opens and reads a small body.
func BenchmarkOpenBody(b *testing.B) {
	e := benchEngine(b)
	id := fillMailbox(b, e, 1000)
	for b.Loop() {
		body, err := e.OpenBody(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		body.Close()
	}
}

// BenchmarkOpen opens and closes an empty directory.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		e, err := Open(b.Context(), Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
