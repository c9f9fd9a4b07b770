package storetest_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"plic/internal/store"
)

// BenchmarkMaildir has Maildirs of a real file system, in TMPDIR, that another
// program has filled. Each size is gone through once.
func BenchmarkMaildir(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchMaildir(b, n) })
	}
}

func benchMaildir(b *testing.B, n int) {
	top := b.TempDir()
	dir := top + "/mail/ann"
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(dir+"/"+sub, 0o700); err != nil {
			b.Fatal(err)
		}
	}
	for i := range n {
		text := fmt.Sprintf("From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: number %d\nMessage-ID: <%d@example.org>\n\n%01900d\n", i, i, i)
		name := fmt.Sprintf("%s/cur/%d.M%d.host,S=%d,W=%d:2,S", dir, 1_700_000_000+i, i, len(text), len(text)+6)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	var s *store.Store
	inbox := func() *store.Mailbox {
		a, err := s.Account(b.Context(), "ann")
		check(err)
		m, err := a.Mailbox("INBOX")
		check(err)
		return m
	}
	look := func() *store.Snapshot {
		snap, err := inbox().Snapshot(b.Context())
		check(err)
		return snap
	}
	s = store.New(store.Options{Engine: openOnDisk(b, top)})
	once := func(name string, do func()) {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				do()
			}
		})
	}
	begin := time.Now()
	look()
	b.Logf("%d messages, first look: %v", n, time.Since(begin).Round(time.Millisecond))
	check(s.Close())
	once("reopen", func() {
		s = store.New(store.Options{Engine: openOnDisk(b, top)})
		if got := look().Len(); got < n {
			b.Fatalf("%d messages", got)
		}
		check(s.Close())
	})
	s = store.New(store.Options{Engine: openOnDisk(b, top)})
	defer func() { check(s.Close()) }()
	look()
	once("look", func() { look() })
	k := 0
	once("found", func() { // a delivery of another program
		k++
		check(os.WriteFile(fmt.Sprintf("%s/new/%d.N%d.other", dir, 1_800_000_000+k, k), []byte("Subject: new\n\nHello.\n"), 0o600))
		look()
	})
	once("append", func() {
		d, err := s.NewDraft(b.Context())
		check(err)
		fmt.Fprintf(d, "Subject: new\r\n\r\n%01900d\r\n", k)
		_, err = inbox().Append(b.Context(), store.Incoming{Draft: d})
		check(err)
	})
	uid, on := look().At(0).UID, false
	once("flag", func() {
		op := store.FlagsAdd
		if on = !on; !on {
			op = store.FlagsRemove
		}
		_, _, err := inbox().SetFlags(b.Context(), []store.UID{uid}, op, store.Flags{System: store.Flagged}, store.MaxModSeq)
		check(err)
	})
}
