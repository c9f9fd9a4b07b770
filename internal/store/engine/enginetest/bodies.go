package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// pattern is content in which no two places look alike.
func pattern(n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// keep applies a body with an item as its owner.
func (b *bench) keep(w engine.BodyWriter) {
	b.Helper()
	b.apply(&engine.Batch{
		PutItems: []mail.Item{{ID: mail.NewID(b.c.now()), Body: w.ID()}}, Bodies: []engine.BodyWriter{w},
	})
}

func testBodies(b *bench) {
	var kept []engine.BodyWriter
	sizes := []int{0, 1, 4095, 4096, 5000, 64 << 10, 128<<10 - 1, 128 << 10, 128<<10 + 1, 192 << 10, 200_001}
	for _, n := range sizes {
		w := b.body(pattern(n))
		b.wants("size", w.Size(), n)
		equalBody(b, "before Apply", w.Body(), pattern(n))
		if _, err := b.e.OpenBody(b.Context(), w.ID()); !errors.Is(err, engine.ErrNotFound) {
			b.Errorf("not applied: %v, want ErrNotFound", err)
		}
		b.keep(w)
		equalBody(b, "after Apply", w.Body(), pattern(n))
		w.Discard() // does nothing now
		w.Discard()
		kept = append(kept, w)
	}
	look := func() {
		b.Helper()
		for i, w := range kept {
			body, err := b.e.OpenBody(b.Context(), w.ID())
			if err != nil {
				b.Fatal(sizes[i], err)
			}
			b.wants("size", body.Size(), sizes[i])
			readAround(b, body, pattern(sizes[i]))
			equalBody(b, "opened", body, pattern(sizes[i]))
		}
		together(b, kept, sizes)
	}
	look()
	b.tend()
	look()
	b.reopen()
	look()
	b.sound()
	if _, err := b.e.OpenBody(b.Context(), mail.NewID(b.c.now())); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("a body that never was: %v, want ErrNotFound", err)
	}
}

// together opens bodies by one call, in some order, with some that never were.
func together(b *bench, kept []engine.BodyWriter, sizes []int) {
	b.Helper()
	var ids []mail.ID
	var want []int // sizes, -1 for none
	for i := range 200 {
		if i%7 == 3 {
			ids, want = append(ids, mail.NewID(b.c.now())), append(want, -1)
			continue
		}
		k := (i*i + i/2) % len(kept)
		ids, want = append(ids, kept[k].ID()), append(want, sizes[k])
	}
	var bodies []mail.Body // all stay open
	for body, err := range b.e.OpenBodies(b.Context(), ids) {
		switch i := len(bodies); {
		case want[i] >= 0 && err != nil:
			b.Fatal(want[i], err)
		case want[i] < 0 && !errors.Is(err, engine.ErrNotFound):
			b.Errorf("one of many that never was: %v, want ErrNotFound", err)
		}
		bodies = append(bodies, body)
	}
	b.wants("bodies", len(bodies), len(ids))
	for i, body := range bodies {
		if want[i] >= 0 {
			b.wants("size", body.Size(), want[i])
			equalBody(b, "opened with others", body, pattern(want[i]))
		}
	}
	for range b.e.OpenBodies(b.Context(), ids) {
		break // stops without trouble
	}
	// Those are closed now; what they were read with may serve others, but not while
	// one is open.
	i, held := 0, -1
	var hold mail.Body
	for body, err := range b.e.OpenBodies(b.Context(), ids) {
		if err == nil {
			if hold != nil {
				equalBody(b, "open while another was opened", hold, pattern(want[held]))
			}
			hold, held = body, i
		}
		i++
	}
	equalBody(b, "the last that was opened", hold, pattern(want[held]))
}

// readAround reads pieces of a body, and beyond its end.
func readAround(b *bench, body mail.Body, want []byte) {
	b.Helper()
	for _, r := range [][2]int{{0, 1}, {1, 10}, {65530, 20}, {65536, 65536}, {100, 70000}, {len(want) - 1, 1}, {len(want), 0}} {
		if r[0] < 0 || r[0]+r[1] > len(want) {
			continue
		}
		got := make([]byte, r[1])
		n, err := body.ReadAt(got, int64(r[0]))
		if n != r[1] || err != nil && err != io.EOF || !bytes.Equal(got, want[r[0]:r[0]+r[1]]) {
			b.Errorf("%d octets at %d of %d: %d, %v", r[1], r[0], len(want), n, err)
		}
	}
	got := make([]byte, 10)
	if n, err := body.ReadAt(got, int64(len(want)-min(3, len(want)))); n != min(3, len(want)) || err != io.EOF {
		b.Errorf("at the end of %d: %d, %v; want EOF", len(want), n, err)
	}
	if n, err := body.ReadAt(got, int64(len(want)+5)); n != 0 || err != io.EOF {
		b.Errorf("beyond the end of %d: %d, %v; want EOF", len(want), n, err)
	}
	if _, err := body.ReadAt(got, -1); err == nil || err == io.EOF {
		b.Errorf("before the start: %v, want an error", err)
	}
}

func testLargeBody(b *bench) {
	want := pattern(5 << 20)
	w, err := b.e.NewBody(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for at := 0; at < len(want); at += 33_333 {
		if _, err := w.Write(want[at:min(len(want), at+33_333)]); err != nil {
			b.Fatal(err)
		}
		if at == 33_333*10 { // it can be read while it comes in
			equalBody(b, "half", w.Body(), want[:33_333*11])
		}
	}
	b.keep(w)
	b.reopen()
	body, err := b.e.OpenBody(b.Context(), w.ID())
	if err != nil {
		b.Fatal(err)
	}
	readAround(b, body, want)
	var together sync.WaitGroup
	for i := range 4 {
		together.Go(func() {
			piece := make([]byte, 300_000)
			if _, err := body.ReadAt(piece, int64(i*1_000_000)); err != nil || !bytes.Equal(piece, want[i*1_000_000:i*1_000_000+300_000]) {
				b.Errorf("read beside others: %v", err)
			}
		})
	}
	together.Wait()
	equalBody(b, "large", body, want)
}

func testDiscard(b *bench) {
	before, err := b.fs.List("/store")
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{10, 300 << 10} {
		w := b.body(pattern(n))
		w.Discard()
		w.Discard()
		if _, err := w.Write([]byte("x")); err == nil {
			b.Error("a discarded body takes more")
		}
		if _, err := b.e.Apply(&engine.Batch{Bodies: []engine.BodyWriter{w}}); err == nil {
			b.Error("a discarded body was applied")
		}
	}
	after, _ := b.fs.List("/store")
	b.wants("files", len(after), len(before))
	w := b.body(pattern(300 << 10)) // never discarded, as when the process dies
	b.reopen()
	b.tend()
	if _, err := b.e.OpenBody(b.Context(), w.ID()); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("a body that no batch took: %v, want ErrNotFound", err)
	}
	b.sound()
}

// testOwners shares bodies between messages and items in all ways and takes
// the owners away one after the other.
func testOwners(b *bench) {
	for _, n := range []int{50, 150 << 10} {
		w := b.body(pattern(n))
		unwanted := b.body(pattern(n + 1))
		record := engine.Mailbox{ID: 1, Name: "INBOX"}
		item := mail.Item{ID: mail.NewID(b.c.now()), Body: w.ID()}
		add := func(uid engine.UID) []engine.Message {
			return []engine.Message{{Entry: engine.Entry{UID: uid, Body: w.ID()}}}
		}
		b.apply(&engine.Batch{
			Accounts:  []engine.Account{{ID: 1, Name: "a"}},
			Mailboxes: []engine.MailboxChange{{Account: 1, Record: record, Add: add(1)}},
			PutItems:  []mail.Item{item}, Bodies: []engine.BodyWriter{w, unwanted},
		})
		steps := []*engine.Batch{
			{DropItems: []mail.ID{item.ID}},
			{Mailboxes: []engine.MailboxChange{{Account: 1, Record: record, Add: add(2), Expunge: []engine.UID{1}, ExpungedAt: 5}}},
			{Mailboxes: []engine.MailboxChange{{Account: 1, Record: record, Expunge: []engine.UID{2}, ExpungedAt: 6}}},
		}
		for i, step := range steps {
			b.apply(step)
			b.tend() // within grace
			if _, err := contentOf(b.Context(), b.e, w.ID()); err != nil && !b.s.Volatile {
				b.Fatalf("step %d: %v", i, err)
			}
			b.c.advance(time.Hour)
			b.tend()
			b.sound()
			_, err := contentOf(b.Context(), b.e, w.ID())
			if last := i == len(steps)-1; last != errors.Is(err, engine.ErrNotFound) {
				b.Fatalf("step %d: %v", i, err)
			}
			if _, err := b.e.OpenBody(b.Context(), unwanted.ID()); !errors.Is(err, engine.ErrNotFound) {
				b.Errorf("a body without an owner: %v, want ErrNotFound", err)
			}
		}
		b.apply(&engine.Batch{Forget: []engine.AccountID{1}})
	}
}

func testTickets(b *bench) {
	b.user(1, "a", 0)
	var last engine.Ticket
	for uid := engine.UID(1); uid <= 50; uid++ {
		w := b.body(pattern(int(uid) * 50))
		var err error
		last, err = b.e.Apply(&engine.Batch{
			Mailboxes: []engine.MailboxChange{{
				Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: uid + 1},
				Add: []engine.Message{{Entry: engine.Entry{UID: uid, Body: w.ID()}}},
			}},
			Bodies: []engine.BodyWriter{w},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.wants("visible before it is durable", len(all(b.T, b.e.Entries(b.Context(), 1, 1, 0))), 50)
	var together sync.WaitGroup
	for range 4 { // a ticket may be waited for more than once
		together.Go(func() {
			if err := last.Wait(); err != nil {
				b.Error(err)
			}
		})
	}
	together.Wait()
	if b.s.Volatile {
		return
	}
	after, err := b.s.Open(b.Context(), Config{FS: b.fs.CrashClone(vfs.CrashConfig{}), Now: b.c.now})
	if err != nil {
		b.Fatal(err)
	}
	defer after.Close()
	b.wants("durable with the last", len(all(b.T, after.Entries(b.Context(), 1, 1, 0))), 50)
}

func testClosed(b *bench) {
	b.user(1, "a", 3)
	w := b.body(pattern(200 << 10))
	b.keep(w)
	open, err := b.e.OpenBody(b.Context(), w.ID())
	if err != nil {
		b.Fatal(err)
	}
	ticket, err := b.e.Apply(&engine.Batch{Accounts: []engine.Account{{ID: 4, Name: "late"}}})
	if err != nil {
		b.Fatal(err)
	}
	if err := b.e.Close(); err != nil {
		b.Fatal(err)
	}
	if err := ticket.Wait(); err != nil {
		b.Error("a ticket after Close:", err)
	}
	equalBody(b, "a body opened before Close", open, pattern(200<<10))
	errs := map[string]error{"Room": b.e.Room(1)}
	_, errs["Apply"] = b.e.Apply(&engine.Batch{})
	_, errs["NewBody"] = b.e.NewBody(b.Context())
	_, errs["OpenBody"] = b.e.OpenBody(b.Context(), w.ID())
	_, _, errs["Account"] = b.e.Account(b.Context(), "a")
	for _, errs["Entries"] = range b.e.Entries(b.Context(), 1, 1, 0) {
	}
	for _, errs["Items"] = range b.e.Items(b.Context()) {
	}
	for what, err := range errs {
		if !errors.Is(err, engine.ErrClosed) {
			b.Errorf("%s after Close: %v, want ErrClosed", what, err)
		}
	}
	if err := b.e.Close(); err != nil {
		b.Error("Close again:", err)
	}
	b.open()
	if _, _, err := b.e.Account(b.Context(), "late"); err != nil {
		b.Error(err)
	}
}

func testCancelled(b *bench) {
	b.user(1, "a", 5000)
	ctx, cancel := context.WithCancel(b.Context())
	var last error
	n := 0
	for _, err := range b.e.Entries(ctx, 1, 1, 0) {
		if n++; n == 10 {
			cancel()
		}
		last = err
	}
	cancel()
	if !errors.Is(last, context.Canceled) || n > 2000 {
		b.Errorf("a cancelled scan gave %d entries and %v", n, last)
	}
}
