package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"plic/internal/store"
)

// largeMailbox is how many messages a large mailbox has.
const largeMailbox = 100_000

// Bench measures a store over an engine.
func Bench(b *testing.B, place NewPlace) {
	for _, writers := range []int{1, 50} {
		b.Run(fmt.Sprintf("Deliver/2KiB/%dwriters", writers), func(b *testing.B) { benchDeliver(b, place, writers, false) })
	}
	b.Run("Deliver/2KiB/50writers/loaded", func(b *testing.B) { benchDeliver(b, place, 50, true) })
	b.Run("Large", func(b *testing.B) { benchLarge(b, place) })
}

// letter is a message of about 2 KiB as people send them.
func letter() []byte {
	head := "Date: Mon, 2 Mar 2026 10:11:12 +0100\r\nFrom: Ann Example <ann@example.org>\r\nTo: Bob <bob@example.net>\r\n" +
		"Subject: =?utf-8?q?Caf=C3=A9_tomorrow?=\r\nMessage-ID: <0123456789@example.org>\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	line := "The quick brown fox jumps over the lazy dog, and so on and on.\r\n"
	return []byte(head + strings.Repeat(line, (2048-len(head))/len(line)))
}

func benchDeliver(b *testing.B, place NewPlace, writers int, loaded bool) {
	s := newSite(b, place(b))
	boxes := make([]*store.Mailbox, 10)
	for i := range boxes {
		boxes[i] = s.mailbox(fmt.Sprint("user", i), "INBOX")
		if loaded {
			s.snapshot(boxes[i])
		}
	}
	body, prefix := letter(), bytes.Repeat([]byte("Received: from somewhere by here\r\n"), 8)
	var next atomic.Int64
	var all sync.WaitGroup
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	b.ResetTimer()
	for range writers {
		all.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				if err := s.deliverOne(boxes[n%int64(len(boxes))], body, prefix); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func (s *site) deliverOne(m *store.Mailbox, body, prefix []byte) error {
	d, err := s.NewDraft(s.ctx)
	if err != nil {
		return err
	}
	defer d.Discard()
	if _, err := d.Write(body); err != nil {
		return err
	}
	tx := s.Begin()
	tx.Deliver(m, store.Incoming{Draft: d, Prefix: prefix})
	_, err = tx.Commit(s.ctx)
	return err
}

func benchLarge(b *testing.B, place NewPlace) {
	s := newSite(b, place(b))
	inbox, archive := s.mailbox("ann", "INBOX"), s.mailbox("ann", "Archive")
	d := s.draft(string(letter()))
	for range largeMailbox / 10_000 {
		in := make([]store.Incoming, 10_000)
		for i := range in {
			in[i] = store.Incoming{Draft: d, Prefix: []byte("Delivered-To: ann@example.org\r\n")}
		}
		if _, err := inbox.Append(s.ctx, in...); err != nil {
			b.Fatal(err)
		}
	}
	uids := s.uids(inbox)
	b.Run("Load", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			s.restart()
			inbox = s.mailbox("ann", "INBOX")
			b.StartTimer()
			if s.snapshot(inbox).Len() != largeMailbox {
				b.Fatal("not all")
			}
		}
	})
	archive = s.mailbox("ann", "Archive")
	b.Run("AllFlags", func(b *testing.B) {
		var seen int
		for range b.N {
			for _, e := range s.snapshot(inbox).All() {
				if e.Flags&store.Seen != 0 {
					seen++
				}
			}
		}
	})
	b.Run("Deliver", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if err := s.deliverOne(inbox, letter(), nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("SetFlags1000", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			op := store.FlagOp(1 + i%2)
			if _, _, err := inbox.SetFlags(s.ctx, uids[5000:6000], op, store.Flags{System: store.Seen}, store.MaxModSeq); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Diff", func(b *testing.B) { benchDiff(b, s, inbox, uids) })
	b.Run("Details", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			n, room := 0, []byte(nil)
			for d, err := range inbox.Details(s.ctx, uids) {
				if room = d.AppendEnvelope(room[:0]); err != nil || len(room) == 0 {
					b.Fatal(err)
				}
				n++
			}
			if n != len(uids) {
				b.Fatal("not all")
			}
		}
	})
	b.Run("Copy1000", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, _, err := inbox.Copy(s.ctx, uids[5000:6000], archive); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchDiff(b *testing.B, s *site, inbox *store.Mailbox, uids []store.UID) {
	old := s.snapshot(inbox)
	op := store.FlagsAdd
	if e, _ := old.Get(uids[7000]); e.Flags&store.Flagged != 0 {
		op = store.FlagsRemove
	}
	if _, _, err := inbox.SetFlags(s.ctx, uids[7000:7001], op, store.Flags{System: store.Flagged}, store.MaxModSeq); err != nil {
		b.Fatal(err)
	}
	now := s.snapshot(inbox)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if c := store.Diff(old, now); len(c.Flagged) != 1 {
			b.Fatalf("%d flagged", len(c.Flagged))
		}
	}
}
