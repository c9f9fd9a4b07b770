package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// drop takes the owners of messages away, but for every keep-th.
func (r *rig) drop(messages, keep int) {
	r.Helper()
	items := map[mail.ID]mail.ID{}
	for i, err := range r.e.Items(r.Context()) {
		r.must(err)
		items[i.Body] = i.ID
	}
	b := &engine.Batch{Mailboxes: []engine.MailboxChange{{
		Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX"}, ExpungedAt: 1000,
	}}}
	for entry, err := range r.e.Entries(r.Context(), 1, 1, 0) {
		r.must(err)
		if int(entry.UID)%keep != 0 {
			b.Mailboxes[0].Expunge = append(b.Mailboxes[0].Expunge, entry.UID)
			b.DropItems = append(b.DropItems, items[entry.Body])
		}
	}
	apply(r, r.e, b)
}

// TestCompact frees most bodies and expects the segments to shrink, under
// readers that read all the time.
func TestCompact(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const messages, size = 200, 3000
	ids := r.fill(messages, size)
	r.must(r.e.Settle())
	before, err := r.e.Stats(t.Context())
	r.must(err)
	r.drop(messages, 4)
	var stop sync.WaitGroup
	quit := make(chan struct{})
	for range 2 {
		stop.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-quit:
					return
				default:
				}
				if i := n % messages; (i+1)%4 == 0 {
					if got, err := r.read(ids[i]); err != nil || !bytes.Equal(got, content(i, size)) {
						t.Errorf("body %d: %d octets, %v", i, len(got), err)
						return
					}
				}
			}
		})
	}
	r.must(r.e.Reclaim(t.Context()))
	if s, _ := r.e.Stats(t.Context()); s.Bodies != messages {
		t.Errorf("%d bodies within grace, want %d", s.Bodies, messages)
	}
	r.now = r.now.Add(time.Hour)
	for range 2 {
		r.must(r.e.Reclaim(t.Context()))
	}
	close(quit)
	stop.Wait()
	after, err := r.e.Stats(t.Context())
	r.must(err)
	if after.Bodies != messages/4 || after.Segments*3 > before.Segments {
		t.Errorf("%d bodies in %d segments, before %d in %d", after.Bodies, after.Segments, before.Bodies, before.Segments)
	}
	if files := len(r.list("/store/bodies", segmentSuffix)); files != after.Segments {
		t.Errorf("%d files, %d segments", files, after.Segments)
	}
	r.sound()
	for range 2 {
		for i, id := range ids {
			got, err := r.read(id)
			if kept := (i+1)%4 == 0; kept && (err != nil || !bytes.Equal(got, content(i, size))) || !kept && !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("body %d: %d octets, %v", i, len(got), err)
			}
		}
		r.close()
		r.open()
	}
	r.sound()
}

// TestCompactKeepsDamaged: a segment with a damaged body that has an owner is
// never removed.
func TestCompactKeepsDamaged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.fill(40, 3000)
	r.close()
	name := r.list("/store/bodies", "1"+segmentSuffix)[0]
	octets := r.load(name)
	at := bytes.Index(octets, content(3, 3000))
	octets[at+100] ^= 1
	r.save(name, octets)
	r.open()
	r.drop(40, 4)
	r.now = r.now.Add(time.Hour)
	for range 2 {
		r.must(r.e.Reclaim(t.Context()))
	}
	if got := r.load(name); !bytes.Equal(got, octets) {
		t.Error("the segment was changed")
	}
	for i, id := range ids {
		if got, err := r.read(id); i == 3 && !errors.Is(err, engine.ErrDamaged) ||
			i%4 == 3 && i != 3 && (err != nil || !bytes.Equal(got, content(i, 3000))) {
			t.Errorf("body %d: %d octets, %v", i, len(got), err)
		}
	}
}

// TestRedo crashes when bodies are in the log only.
func TestRedo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.fill(60, 3000)
	r.fs = r.fs.CrashClone(vfs.CrashConfig{})
	if n := len(r.list("/store/bodies", segmentSuffix)); n != 0 {
		t.Fatalf("%d segments survived; none was synced", n)
	}
	r.o.FS = r.fs
	for range 3 {
		r.open()
		for i, id := range ids {
			if got, err := r.read(id); err != nil || !bytes.Equal(got, content(i, 3000)) {
				t.Fatalf("body %d: %d octets, %v", i, len(got), err)
			}
		}
		err := r.e.eachRecord(kindRedo, func(key, _ []byte) error { return errors.New("a redo record is left") })
		r.must(err)
		r.sound()
		r.now = r.now.Add(time.Hour)
		r.must(r.e.Reclaim(t.Context()))
		r.fs = r.fs.CrashClone(vfs.CrashConfig{})
		r.o.FS = r.fs
	}
}

// TestSegmentLost: a power cut leaves the name of a later segment and not that of an
// earlier one, of which the log has all. Nothing waits for the lost one to be there.
func TestSegmentLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const messages, size = 60, 3000
	ids := r.fill(messages, size)
	disk := r.crash(100, 1)
	r.close()
	r.onDisk(disk)
	if n := len(r.list("/store/bodies", segmentSuffix)); n < 3 {
		t.Fatalf("%d segments", n)
	}
	r.must(r.fs.Remove("/store/bodies/" + segmentName(1)))
	for start := range 3 {
		r.open()
		for i, id := range ids {
			if got, err := r.read(id); start < 2 && (err != nil || !bytes.Equal(got, content(i, size))) {
				t.Fatalf("body %d: %d octets, %v", i, len(got), err)
			}
		}
		r.sound()
		r.must(r.e.Reclaim(t.Context()))
		if s, err := r.e.Stats(t.Context()); err != nil || s.Segments != len(r.list("/store/bodies", segmentSuffix)) {
			t.Errorf("start %d: %d segments of %v, %v", start, s.Segments, r.list("/store/bodies", segmentSuffix), err)
		}
		if start == 1 {
			r.drop(messages, messages+1)
			r.now = r.now.Add(time.Hour)
			r.must(r.e.Reclaim(t.Context()))
			r.must(r.e.Reclaim(t.Context()))
			if n := len(r.list("/store/bodies", segmentSuffix)); n > 1 {
				t.Errorf("%d segments of nothing", n)
			}
		}
		r.close()
	}
}

// TestSegmentMissing: what is left of a segment that somebody has removed is damaged,
// and the others are made smaller as ever.
func TestSegmentMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.fill(100, 3000)
	r.close()
	r.must(r.fs.Remove("/store/bodies/" + segmentName(1)))
	r.open()
	before := len(r.list("/store/bodies", segmentSuffix))
	r.drop(100, 4)
	r.now = r.now.Add(time.Hour)
	for range 2 {
		r.must(r.e.Reclaim(t.Context()))
	}
	if n := len(r.list("/store/bodies", segmentSuffix)); n*2 > before {
		t.Errorf("%d segments, %d before", n, before)
	}
	if got, err := r.read(ids[99]); err != nil || !bytes.Equal(got, content(99, 3000)) {
		t.Errorf("the last body: %d octets, %v", len(got), err)
	}
	if _, err := r.read(ids[3]); !errors.Is(err, engine.ErrDamaged) && !vfs.NotExist(err) {
		t.Errorf("one of the missing segment: %v", err)
	}
}

// TestOrphans sweeps what a crash left of bodies that no batch took.
func TestOrphans(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill(1, 200<<10)
	w, err := r.e.NewBody(t.Context())
	r.must(err)
	_, err = w.Write(make([]byte, 300<<10))
	r.must(err)
	r.must(vfs.SyncDir(r.fs, "/store/bodies"))
	r.fs = r.fs.CrashClone(vfs.CrashConfig{})
	r.o.FS = r.fs
	r.open()
	if n := len(r.list("/store/bodies", bodySuffix)); n != 2 {
		t.Fatalf("%d files after the crash, want 2", n)
	}
	later, err := r.e.NewBody(t.Context()) // must not be swept
	r.must(err)
	_, err = later.Write(make([]byte, 300<<10))
	r.must(err)
	r.must(r.e.Reclaim(t.Context()))
	if n := len(r.list("/store/bodies", bodySuffix)); n != 2 {
		t.Errorf("%d files after the sweep, want 2", n)
	}
	apply(t, r.e, &engine.Batch{Bodies: []engine.BodyWriter{later}})
	r.sound()
}

// TestManyGraves removes many mailboxes: what is left of them is buried without a
// sync for each, also over a crash amid it, and whoever closes does not wait for it.
func TestManyGraves(t *testing.T) {
	t.Parallel()
	const boxes = 300
	r := newRig(t)
	apply(t, r.e, &engine.Batch{Accounts: []engine.Account{{ID: 1, Name: "user", NextMailbox: boxes + 1}}})
	all := new(engine.Batch)
	for m := range engine.MailboxID(boxes) {
		w, err := r.e.NewBody(t.Context())
		r.must(err)
		w.Write(content(int(m), 50))
		all.Bodies = append(all.Bodies, w)
		all.Mailboxes = append(all.Mailboxes, engine.MailboxChange{
			Account: 1, Record: engine.Mailbox{ID: m + 1, Name: fmt.Sprint(m)},
			Add: []engine.Message{{Entry: engine.Entry{UID: 1, ModSeq: 1, Body: w.ID()}}},
		})
	}
	apply(t, r.e, all)
	gone := new(engine.Batch)
	for m := range engine.MailboxID(boxes) {
		gone.Mailboxes = append(gone.Mailboxes, engine.MailboxChange{Account: 1, Record: engine.Mailbox{ID: m + 1}, Remove: true})
	}
	apply(t, r.e, gone)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.e.Reclaim(ctx); !errors.Is(err, context.Canceled) || len(r.e.graves.list()) != boxes {
		t.Errorf("cancelled: %v, %d are left", err, len(r.e.graves.list()))
	}
	before := r.e.log.Syncs()
	for _, g := range r.e.graves.list()[:boxes/2] {
		r.must(r.e.bury(t.Context(), g))
	}
	disk := r.crash(50, 1)
	r.must(r.e.Reclaim(t.Context()))
	if n := r.e.log.Syncs() - before; n > 5 {
		t.Errorf("%d syncs", n)
	}
	r.close()
	r.onDisk(disk)
	r.open()
	r.sound()
	r.must(r.e.Reclaim(t.Context()))
	r.now = r.now.Add(time.Hour)
	r.must(r.e.Reclaim(t.Context()))
	r.sound()
	if s, err := r.e.Stats(t.Context()); err != nil || s.Bodies != 0 || len(r.e.graves.list()) != 0 {
		t.Errorf("%d bodies and %d graves are left, %v", s.Bodies, len(r.e.graves.list()), err)
	}
}
