package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// rig is an engine on a file system in memory.
type rig struct {
	*testing.T
	fs  *vfs.Memory
	now time.Time
	e   *Engine
	o   Options
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, fs: vfs.NewMemory(), now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	r.o = Options{
		FS: r.fs, Dir: "/store", Now: func() time.Time { return r.now }, Cache: 1 << 20, Ballast: -1, Reserve: -1,
		manual: true, segment: 64 << 10, Uncompressed: true,
	}
	r.open()
	t.Cleanup(func() { r.e.Close() })
	return r
}

func (r *rig) open() {
	r.Helper()
	e, err := Open(r.Context(), r.o)
	if err != nil {
		r.Fatal(err)
	}
	r.e = e
}

func (r *rig) close() {
	r.Helper()
	if err := r.e.Close(); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func content(n, size int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%d ", n), size/2+1)[:size]
}

// fill makes an account with a mailbox of messages of some size, each with a
// body of its own.
func (r *rig) fill(messages, size int) []mail.ID {
	r.Helper()
	apply(r, r.e, &engine.Batch{Accounts: []engine.Account{{ID: 1, Name: "user", NextMailbox: 2}}})
	var ids []mail.ID
	for n := range messages {
		w, err := r.e.NewBody(r.Context())
		r.must(err)
		w.Write(content(n, size))
		ids = append(ids, w.ID())
		apply(r, r.e, &engine.Batch{
			Mailboxes: []engine.MailboxChange{{
				Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: engine.UID(n + 2)},
				Add: []engine.Message{{
					Entry:  engine.Entry{UID: engine.UID(n + 1), ModSeq: engine.ModSeq(n + 1), Body: w.ID()},
					Detail: engine.Detail{Prefix: []byte("X: y\r\n"), Summary: []byte("s")},
				}},
			}},
			PutItems: []mail.Item{{ID: mail.NewID(r.now), Body: w.ID()}},
			Bodies:   []engine.BodyWriter{w},
		})
	}
	return ids
}

func (r *rig) read(id mail.ID) ([]byte, error) {
	b, err := r.e.OpenBody(r.Context(), id)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	return io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
}

func (r *rig) problems() []string {
	var all []string
	for p := range r.e.Check(r.Context()) {
		all = append(all, p.String())
	}
	return all
}

func (r *rig) sound() {
	r.Helper()
	for _, p := range r.problems() {
		r.Error(p)
	}
}

func (r *rig) load(name string) []byte {
	r.Helper()
	f, err := r.fs.Open(name)
	r.must(err)
	defer f.Close()
	b, err := io.ReadAll(f)
	r.must(err)
	return b
}

func (r *rig) save(name string, b []byte) {
	r.Helper()
	f, err := r.fs.Create(name, vfs.Mail)
	r.must(err)
	_, err = f.Write(bytes.Clone(b))
	r.must(errors.Join(err, f.Sync(), f.Close()))
}

func (r *rig) list(dir, suffix string) []string {
	r.Helper()
	names, err := r.fs.List(dir)
	r.must(err)
	var got []string
	for _, n := range names {
		if strings.HasSuffix(n, suffix) {
			got = append(got, dir+"/"+n)
		}
	}
	return got
}

// TestDamagedBody flips and cuts a segment and a file everywhere: the body
// there is damaged, the others are as they were.
func TestDamagedBody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		suffix                          string
		bodies, size, stride, cutStride int
		packed                          bool
	}{
		{segmentSuffix, 4, 50, 1, 1, false}, {bodySuffix, 2, 200 << 10, 9973, 30011, false},
		{segmentSuffix, 3, 5000, 1, 1, true}, {bodySuffix, 2, 200 << 10, 1, 1, true},
	} {
		r := newRig(t)
		r.close()
		r.o.Uncompressed = !c.packed
		r.open()
		ids := r.fill(c.bodies, c.size)
		r.must(r.e.Settle())
		r.close()
		name := r.list("/store/bodies", c.suffix)[0]
		sound := r.load(name)
		if packed := len(sound) < c.size/2; packed != c.packed {
			t.Fatalf("%d octets of %d are stored", len(sound), c.size)
		}
		hurt := func(what string, octets []byte) {
			t.Helper()
			r.save(name, octets)
			r.open()
			defer r.close()
			damaged := 0
			for n, id := range ids {
				got, err := r.read(id)
				switch {
				case errors.Is(err, engine.ErrDamaged):
					damaged++
				case err != nil || !bytes.Equal(got, content(n, c.size)):
					t.Fatalf("%s: body %d: %d octets, %v", what, n, len(got), err)
				}
			}
			if damaged == 0 || strings.HasPrefix(what, "flip") && damaged > 1 {
				t.Errorf("%s: %d bodies are damaged", what, damaged)
			}
			if len(r.problems()) == 0 {
				t.Errorf("%s: Check finds nothing", what)
			}
		}
		for at := 0; at < len(sound); at += c.stride {
			flipped := bytes.Clone(sound)
			flipped[at] ^= 1 << (at % 8)
			hurt(fmt.Sprint("flip at ", at), flipped)
		}
		for at := 0; at < len(sound); at += c.cutStride {
			hurt(fmt.Sprint("cut at ", at), sound[:at])
		}
		r.must(r.fs.Remove(name))
		r.open()
		_, first := r.read(ids[0])
		_, second := r.read(ids[1])
		if !errors.Is(first, engine.ErrDamaged) && !errors.Is(second, engine.ErrDamaged) {
			t.Errorf("missing file: %v, %v, want ErrDamaged", first, second)
		}
		r.close()
	}
}

// hurtRecord flips a bit of a record behind the engine's back.
func (r *rig) hurtRecord(key []byte) (damaged []byte) {
	r.Helper()
	value, closer, err := r.e.db.Get(key)
	r.must(err)
	damaged = bytes.Clone(value)
	closer.Close()
	damaged[len(damaged)/2] ^= 4
	r.must(r.e.db.Set(key, damaged, pebble.NoSync))
	return damaged
}

// TestDamagedRecord: lists go on without the record, whose octets are kept;
// what is asked for by name is ErrDamaged.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.fill(5, 40)
	var items []mail.Item
	for i, err := range r.e.Items(t.Context()) {
		r.must(err)
		items = append(items, i)
	}
	apply(t, r.e, &engine.Batch{Mailboxes: []engine.MailboxChange{
		{Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX"}, Expunge: []engine.UID{4, 5}, ExpungedAt: 9},
		{Account: 1, Record: engine.Mailbox{ID: 2, Name: "other"}},
	}})
	count := func() (entries, details, gone, queued, boxes int) {
		t.Helper()
		ctx := t.Context()
		for _, err := range r.e.Entries(ctx, 1, 1, 0) {
			r.must(err)
			entries++
		}
		for _, err := range r.e.Details(ctx, 1, 1, []engine.UID{1, 2, 3}) {
			r.must(err)
			details++
		}
		for _, err := range r.e.Expunged(ctx, 1, 1, 0) {
			r.must(err)
			gone++
		}
		for _, err := range r.e.Items(ctx) {
			r.must(err)
			queued++
		}
		_, all, err := r.e.Account(ctx, "user")
		r.must(err)
		return entries, details, gone, queued, len(all)
	}
	if got := fmt.Sprint(count()); got != "3 3 2 5 2" {
		t.Fatal(got)
	}
	kept := map[string][]byte{}
	for _, key := range [][]byte{
		logKey(1, 1, 2), messageKey(1, partDetail, 1, 3), goneKey(1, 1, 9, 4),
		idKey(kindItem, items[1].ID), mailboxKey(1, partMailbox, 2),
	} {
		kept[string(key)] = r.hurtRecord(key)
	}
	if len(r.problems()) == 0 {
		t.Error("Check finds nothing")
	}
	for range 2 {
		if got := fmt.Sprint(count()); got != "3 2 0 4 1" {
			t.Error("left:", got)
		}
		if s, err := r.e.Stats(t.Context()); err != nil || s.Damaged != int64(len(kept)) {
			t.Errorf("%d records were set aside, %v; want %d", s.Damaged, err, len(kept))
		}
		r.close()
		r.open()
	}
	for key, want := range kept {
		value, closer, err := r.e.db.Get(append([]byte{kindDamaged}, key...))
		r.must(err)
		if !bytes.Equal(value, want) {
			t.Errorf("%x: kept %x, want %x", key, value, want)
		}
		closer.Close()
	}

	for key, ask := range map[string]func() error{
		string(idKey(kindLocation, ids[0])): func() error { _, err := r.read(ids[0]); return err },
		string(partKey(1, partRecord)):      func() error { _, _, err := r.e.Account(t.Context(), "user"); return err },
		string(nameKey("user")):             func() error { _, _, err := r.e.Account(t.Context(), "user"); return err },
	} {
		r.hurtRecord([]byte(key))
		for range 2 {
			if err := ask(); !errors.Is(err, engine.ErrDamaged) {
				t.Errorf("%q: %v, want ErrDamaged", key, err)
			}
		}
		for a, err := range r.e.Accounts(t.Context()) {
			if err != nil || len(key) == 10 {
				t.Error("accounts:", a, err)
			}
		}
	}
}

// TestDamagedFile flips a bit here and there in every file: whatever the engine
// says of it, it does not panic, and what it gives is what was put in.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.fill(40, 2000)
	r.must(r.e.Settle())
	r.must(r.e.db.Flush())
	r.fill(3, 100)
	r.close()
	disk := r.fs
	names := append(r.list("/store/records", ""), r.list("/store/bodies", "")...)
	served, refused := 0, 0
	for _, name := range names {
		sound := r.load(name)
		for at := 0; at < len(sound); at += 1 + len(sound)/12 {
			flipped := bytes.Clone(sound)
			flipped[at] ^= 1 << (at % 8)
			r.fs = disk.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
			r.o.FS = r.fs
			r.save(name, flipped)
			e, err := Open(t.Context(), r.o)
			if err != nil {
				refused++
				continue
			}
			served += serve(t, e, ids)
			e.Close()
		}
		r.fs = disk
	}
	t.Logf("%d bodies served, %d times not opened", served, refused)
	if served == 0 {
		t.Error("nothing was served")
	}
}

// TestDamagedBlock hurts one block of a file of Pebble's: what is in the others
// is listed.
func TestDamagedBlock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const messages = 20_000
	fillMailbox(t, r.e, messages)
	r.must(r.e.Settle())
	r.must(r.e.Fold(t.Context()))
	r.must(r.e.db.Flush())
	r.must(r.e.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
	r.close()
	mended, shut := int64(0), 0
	for _, name := range r.list("/store/records", ".sst") {
		sound := r.load(name)
		for at := range 40 {
			octets := bytes.Clone(sound)
			octets[len(octets)*(2*at+1)/80] ^= 8
			r.save(name, octets)
			var err error
			if r.e, err = Open(t.Context(), r.o); err != nil { // the block of what it cannot do without
				shut++
				continue
			}
			for range 2 {
				if left := listed(r, 1); left != messages {
					t.Errorf("%s: %d of %d entries are left", name, left, messages)
				}
			}
			if from := engine.UID(messages - 100); listed(r, from) > 101 {
				t.Errorf("%s: more than there is from uid %d", name, from)
			}
			mended += r.e.damaged.Load()
			r.close()
		}
		r.save(name, sound)
	}
	r.open()
	if mended == 0 || shut > 4 {
		t.Errorf("%d blocks mended, %d times not opened", mended, shut)
	}
}

// TestDamagedIndex hurts records of an index, before and after they are folded:
// every message stays in it, and none that went comes back.
func TestDamagedIndex(t *testing.T) {
	t.Parallel()
	for name, key := range map[string][]byte{
		"log, added": logKey(1, 1, 2), "log, expunged": logKey(1, 1, 10), "log, marked": logKey(1, 1, 9),
		"page": pageKey(1, 1, 1), "rest of a page": restKey(1, 1, 1),
	} {
		r := newRig(t)
		ids := r.fill(8, 40)
		apply(t, r.e, &engine.Batch{Mailboxes: []engine.MailboxChange{{
			Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX", HighestModSeq: 20}, Update: []engine.Entry{{UID: 3, ModSeq: 20, Flags: 1}},
		}}})
		apply(t, r.e, &engine.Batch{Mailboxes: []engine.MailboxChange{{
			Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX", HighestModSeq: 21}, Expunge: []engine.UID{4, 5}, ExpungedAt: 21,
		}}})
		if strings.HasSuffix(name, "page") {
			r.e.folds.want(mailboxRef{1, 1})
			r.must(r.e.Fold(t.Context()))
		}
		r.hurtRecord(key)
		for range 3 {
			var uids []engine.UID
			for entry, err := range r.e.Entries(t.Context(), 1, 1, 0) {
				r.must(err)
				uids = append(uids, entry.UID)
				if entry.Body != ids[entry.UID-1] || entry.Size != 0 && entry.Size != 46 {
					t.Errorf("%s: %+v", name, entry)
				}
			}
			if fmt.Sprint(uids) != "[1 2 3 6 7 8]" {
				t.Errorf("%s: %v", name, uids)
			}
			if p := r.problems(); len(p) != 1 {
				t.Errorf("%s: %v", name, p)
			}
			r.must(r.e.Fold(t.Context()))
			r.close()
			r.open()
		}
	}
}

// listed counts the entries from a UID on, which must rise.
func listed(r *rig, from engine.UID) (count int) {
	r.Helper()
	last := from - 1
	for entry, err := range r.e.Entries(r.Context(), 1, 1, from) {
		r.must(err)
		if entry.UID <= last {
			r.Fatalf("uid %d after %d", entry.UID, last)
		}
		last = entry.UID
		count++
	}
	return count
}

func serve(t *testing.T, e *Engine, ids []mail.ID) (served int) {
	ctx := context.Background()
	for _, err := range e.Entries(ctx, 1, 1, 0) {
		if err != nil && !errors.Is(err, engine.ErrDamaged) {
			t.Errorf("entries: %v", err)
		}
	}
	for n, id := range ids {
		b, err := e.OpenBody(ctx, id)
		if err != nil {
			if !errors.Is(err, engine.ErrDamaged) && !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("body %d: %v", n, err)
			}
			continue
		}
		got := make([]byte, b.Size())
		if _, err := b.ReadAt(got, 0); err != nil || !bytes.Equal(got, content(n, 2000)) {
			t.Errorf("body %d: other octets, %v", n, err)
		}
		served++
	}
	for range e.Check(ctx) {
		continue
	}
	return served
}

// TestUnreadableTable: a table of which the statistics cannot be read, be it
// damaged or the disk, ends nothing but what is in it, and is tried rarely.
func TestUnreadableTable(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{engine.ErrDamaged, syscall.EIO} {
		t.Run(cause.Error(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { unreadableTable(t, cause) })
		})
	}
}

func unreadableTable(t *testing.T, cause error) {
	disk := vfs.NewMemory()
	o := Options{FS: disk, Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	put := func(a engine.AccountID) string {
		for i := range 100 {
			apply(t, e, &engine.Batch{PutNotes: []engine.Note{{Account: a, Key: fmt.Sprint("n", i), Value: content(i, 100)}}})
		}
		before, err := disk.List("/store/records")
		flushed := e.db.Flush()
		after, err2 := disk.List("/store/records")
		if err := errors.Join(err, flushed, err2); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(after, func(name string) bool { return strings.HasSuffix(name, ".sst") && !slices.Contains(before, name) })
		return "/store/records/" + after[i]
	}
	put(7)
	if err := e.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false); err != nil { // few tables are not merged by themselves
		t.Fatal(err)
	}
	bad := put(6)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := disk.Stat(bad)
	if err != nil {
		t.Fatal(err)
	}
	from, to := info.Size()-700, info.Size()-300 // with its properties
	if cause == engine.ErrDamaged {
		f, err := disk.OpenReadWrite(bad, vfs.Mail)
		if err == nil {
			_, err = f.WriteAt(make([]byte, to-from), from)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	var reads atomic.Int64
	o.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Path != bad || op.Kind != errorfs.OpFileReadAt || op.Offset >= to {
			return nil
		}
		reads.Add(1)
		if cause == syscall.EIO {
			return cause
		}
		return nil
	}))
	if e, err = Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Hour) // of the bubble's time
	if n := reads.Load(); n < 2 || n > 50 {
		t.Errorf("read %d times in an hour", n)
	}
	if _, err := e.Note(t.Context(), 7, 0, "n7"); err != nil {
		t.Error(err)
	}
	if _, err := e.Note(t.Context(), 6, 0, "n7"); !errors.Is(err, cause) {
		t.Errorf("of the table: %v, want %v", err, cause)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
