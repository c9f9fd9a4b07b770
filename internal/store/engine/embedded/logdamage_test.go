package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded/wal"
	"plic/internal/vfs"
)

// logRig is a rig of which each commit is a message, one after the other.
type logRig struct {
	*rig
	ids []mail.ID
	box engine.Mailbox
}

func newLogRig(t *testing.T) *logRig {
	r := &logRig{rig: newRig(t), box: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: 1, UIDValidity: 7}}
	apply(t, r.e, &engine.Batch{Accounts: []engine.Account{{ID: 1, Name: "user", NextMailbox: 2, NextUIDValidity: 8}}})
	r.must(r.e.db.Flush())
	return r
}

func (r *logRig) deliver(size int) {
	r.Helper()
	w, err := r.e.NewBody(r.Context())
	r.must(err)
	w.Write(content(len(r.ids), size))
	r.ids = append(r.ids, w.ID())
	uid := r.box.UIDNext
	r.box.UIDNext++
	r.box.HighestModSeq++
	r.box.Messages++
	r.box.Unseen++
	r.box.Bytes += int64(size)
	apply(r, r.e, &engine.Batch{
		Mailboxes: []engine.MailboxChange{{Account: 1, Record: r.box, Add: []engine.Message{{
			Entry: engine.Entry{UID: uid, ModSeq: r.box.HighestModSeq, Body: w.ID(), Size: int64(size)},
		}}}},
		Bodies: []engine.BodyWriter{w},
	})
}

// crashedLogRig has delivered messages of a size when the power went. The store is not
// open; name is the newest log.
func crashedLogRig(t *testing.T, messages, size int) (r *logRig, name string) {
	r = newLogRig(t)
	for range messages {
		r.deliver(size)
	}
	disk := r.crash(100, 1)
	r.close()
	r.onDisk(disk)
	logs := r.logs()
	return r, logs[len(logs)-1]
}

// crash gives what is on the disk after the end of the process, or of power.
func (r *rig) crash(percent int, seed uint64) *vfs.Memory {
	return r.fs.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(seed, 1))})
}

// onDisk goes on with another disk.
func (r *rig) onDisk(fs *vfs.Memory) { r.fs, r.o.FS = fs, fs }

// logs are the files of the log, the newest last.
func (r *rig) logs() []string {
	return slices.Sorted(slices.Values(r.list("/store/records", wal.Suffix)))
}

// missing are the messages that are not there as they were.
func (r *logRig) missing() (uids []engine.UID) {
	r.Helper()
	bodies := map[engine.UID]mail.ID{}
	for entry, err := range r.e.Entries(r.Context(), 1, 1, 0) {
		r.must(err)
		bodies[entry.UID] = entry.Body
	}
	for i, id := range r.ids {
		uid := engine.UID(i + 1)
		got, err := r.read(id)
		if bodies[uid] != id || err != nil || !bytes.HasPrefix(got, content(i, 4)) {
			uids = append(uids, uid)
		}
	}
	return uids
}

// repair makes a store anew that is not opened, and looks whether all is right then.
func (r *logRig) repair(what string) (said []string) {
	r.Helper()
	tell := func(all []Repaired) {
		for _, one := range all {
			said = append(said, one.Record+": "+one.Done)
		}
	}
	done, err := Rebuild(r.Context(), r.o, "/aside/log")
	if err != nil {
		r.Fatalf("%s: %v", what, err)
	}
	tell(done)
	r.open()
	for round := range 3 {
		some := 0
		for one, err := range r.e.Repair(r.Context(), fmt.Sprint("/aside/", round)) {
			r.must(err)
			tell([]Repaired{one})
			some++
		}
		if some == 0 {
			break
		}
	}
	if p := r.problems(); len(p) > 0 {
		r.Errorf("%s: after repair: %v\n%s", what, p, strings.Join(said, "\n"))
	}
	return said
}

// above looks whether nothing is given again that was.
func (r *logRig) above(what string) {
	r.Helper()
	a, boxes, err := r.e.Account(r.Context(), "user")
	r.must(err)
	if len(boxes) != 1 || boxes[0].UIDValidity != 7 || boxes[0].UIDNext <= r.box.UIDNext || boxes[0].HighestModSeq <= r.box.HighestModSeq ||
		a.NextUIDValidity <= 8 || a.NextMailbox <= 2 {
		r.Errorf("%s: %+v, %+v after %+v", what, a, boxes, r.box)
	}
}

// TestLogDamage hurts a log here and there. Where it can be known that something
// acknowledged stood there, a start is refused, and a repair keeps the log, loses
// no other commit than those that were hurt, and gives no UID again; the bodies of
// those are in files. Without damage, and where only the last commit is hurt, which is as a
// crash leaves it, the store opens.
func TestLogDamage(t *testing.T) {
	t.Parallel()
	const messages = 40
	for _, size := range []int{60, 3000, 50_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			r := newLogRig(t)
			for range messages {
				r.deliver(size)
			}
			disk := r.crash(100, 1)
			r.close()
			r.onDisk(disk.CrashClone(vfs.CrashConfig{}))
			r.open() // without damage
			if m := r.missing(); len(m) > 0 {
				t.Fatalf("%v are missing", m)
			}
			r.close()
			r.onDisk(disk.CrashClone(vfs.CrashConfig{}))
			logs := r.logs()
			name := logs[len(logs)-1]
			octets := r.load(name)
			commits := slices.DeleteFunc(marks(octets, r.ids), func(at int) bool { return at < 0 }) // the others are in tables
			n := len(commits)
			heads := headsOf(octets)[1:] // the first commit is not of a message
			if len(heads) < n {
				t.Fatalf("%d heads of %d commits", len(heads), n)
			}
			heads = heads[len(heads)-n:]
			hurt := func(what string, from, to int, flip byte) (octetsAfter []byte) {
				t.Helper()
				r.onDisk(disk.CrashClone(vfs.CrashConfig{}))
				after := bytes.Clone(octets)
				for i := from; i < min(to, len(after)); i++ {
					if after[i] ^= flip; flip == 0 {
						after[i] = 0
					}
				}
				r.save(name, after)
				return after
			}
			for _, c := range []struct {
				what     string
				from, to int
				flip     byte
			}{
				{"head of the first record", heads[0], heads[0] + 1, 1},
				{"first record", commits[0], commits[0] + 1, 64},
				{"middle", commits[n/2], commits[n/2] + 1, 4},
				{"length", heads[n/8] + 9, heads[n/8] + 10, 0x80},
				{"number", heads[n/8] + 16, heads[n/8] + 17, 3},
				{"head", heads[n/8], heads[n/8] + logHead, 0x55},
				{"a block of zeros", commits[n/4] &^ 4095, commits[n/4]&^4095 + 4096, 0},
				{"two places", commits[1], commits[1] + 1, 4},
				{"head of zeros", heads[n*3/4], heads[n*3/4] + 20, 0},
				{"the last but one", commits[n-2], commits[n-2] + 1, 2},
			} {
				after := hurt(c.what, c.from, c.to, c.flip)
				if c.what == "two places" {
					after[commits[n/3]] ^= 1
					r.save(name, after)
				}
				_, err := Open(t.Context(), r.o)
				if !errors.Is(err, ErrRecords) || !strings.Contains(err.Error(), r.fs.PathBase(name)+" is damaged") {
					t.Fatalf("%s: opened: %v", c.what, err)
				}
				said := r.repair(c.what)
				if kept := r.load("/aside/log/" + r.fs.PathBase(name)); !bytes.Equal(kept, after) {
					t.Errorf("%s: the log was not kept", c.what)
				}
				r.above(c.what)
				lost := r.missing()
				if most := max(2, (c.to-c.from)/size+2); len(lost) > most || len(lost) == 0 && c.what == "middle" {
					t.Errorf("%s: %v are lost\n%s", c.what, lost, strings.Join(said, "\n"))
				}
				for _, uid := range lost {
					if !r.isKept(content(int(uid)-1, size)) {
						t.Errorf("%s: the body of %d is nowhere\n%s", c.what, uid, strings.Join(said, "\n"))
					}
				}
				t.Logf("%s: lost %v", c.what, lost)
				r.close()
			}
			hurt("last", commits[n-1], commits[n-1]+1, 2)
			r.open()
			if m := r.missing(); len(m) != 1 || m[0] != messages {
				t.Errorf("the last record: %v are missing", m)
			}
			r.close()
		})
	}
}

// logHead is what stands before a commit in a log.
const logHead = 36

// headsOf are the offsets of the records of a log.
func headsOf(log []byte) (at []int) {
	for n := 0; n+logHead <= len(log) && !zero(log[n:n+logHead]); {
		at = append(at, n)
		n += logHead + int(binary.LittleEndian.Uint32(log[n+8:]))
	}
	return at
}

func zero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// marks are offsets in a log, of each body's first mention.
func marks(log []byte, ids []mail.ID) (at []int) {
	for _, id := range ids {
		at = append(at, bytes.Index(log, id[:]))
	}
	return at
}

// isKept looks for a body among what was set aside.
func (r *logRig) isKept(body []byte) bool {
	for round := range 3 {
		dir := fmt.Sprint("/aside/", round)
		if _, err := r.fs.Stat(dir); err != nil {
			continue
		}
		for _, name := range r.list(dir, "") {
			if bytes.Equal(r.load(name), body) {
				return true
			}
		}
	}
	return false
}

// TestLogOctets hurts octets all over a log: a start is refused, or nothing is
// missing but the last commit.
func TestLogOctets(t *testing.T) {
	t.Parallel()
	const messages = 30
	r, name := crashedLogRig(t, messages, 1500)
	disk := r.fs
	octets := r.load(name)
	end := marks(octets, r.ids)[messages-1]
	refused, opened := 0, 0
	for at := 0; at < end+200; at += 97 {
		r.onDisk(disk.CrashClone(vfs.CrashConfig{}))
		hurt := bytes.Clone(octets)
		hurt[at] ^= 1 << (at % 8)
		r.save(name, hurt)
		if e, err := Open(t.Context(), r.o); err == nil {
			r.e = e
			opened++
			if m := r.missing(); len(m) > 1 || len(m) == 1 && m[0] != messages {
				t.Errorf("octet %d: %v are missing", at, m)
			}
			r.close()
		} else if refused++; !errors.Is(err, ErrRecords) {
			t.Errorf("octet %d: %v", at, err)
		} else if refused%20 == 0 {
			r.repair(fmt.Sprint("octet ", at))
			if m := r.missing(); len(m) > 1 {
				t.Errorf("octet %d: %v are missing after repair", at, m)
			}
			r.close()
		}
	}
	t.Logf("%d refused, %d opened", refused, opened)
	if refused == 0 || opened == 0 {
		t.Error("the test proves nothing")
	}
}

// cutting is a file system that tells before a log is synced.
type cutting struct {
	vfs.FS
	before func()
}

func (c cutting) Create(name string, category pebblevfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, category)
	if err == nil && strings.HasSuffix(name, wal.Suffix) {
		f = cuttingFile{f, c.before}
	}
	return f, err
}

type cuttingFile struct {
	vfs.File
	before func()
}

func (f cuttingFile) SyncData() error {
	f.before()
	return f.File.SyncData()
}

// TestTornLog cuts the power while many commits are written at once: whichever blocks
// of them came to the disk, the store opens and has all that was acknowledged.
func TestTornLog(t *testing.T) {
	t.Parallel()
	r := newLogRig(t)
	var cut func()
	r.close()
	r.o.FS = cutting{r.fs, func() {
		if cut != nil {
			cut()
		}
	}}
	r.open()
	for range 5 {
		r.deliver(1000)
	}
	const torn = 60
	for i := range torn {
		b := r.e.db.NewBatch()
		b.Set([]byte{0xf0, byte(i)}, content(i, 3000), nil)
		r.must(r.e.commitLater(b))
	}
	var disks []*vfs.Memory
	cut = func() {
		for seed := range uint64(40) {
			disks = append(disks, r.crash(50, seed))
		}
		cut = nil
	}
	b := r.e.db.NewBatch()
	b.Set([]byte{0xf1}, nil, nil)
	r.must(r.e.commitWait(b))
	r.close()
	some := 0
	for seed, disk := range disks {
		r.onDisk(disk)
		r.open()
		if m := r.missing(); len(m) > 0 {
			t.Errorf("%d: %v are missing", seed, m)
		}
		for i := range torn { // each is there with all before it
			if _, closer, err := r.e.db.Get([]byte{0xf0, byte(i)}); err != nil {
				if i > 0 {
					some++
				}
				break
			} else {
				closer.Close()
			}
		}
		for i, gone := 0, false; i < torn; i++ {
			_, closer, err := r.e.db.Get([]byte{0xf0, byte(i)})
			if err == nil {
				closer.Close()
			}
			if gone = gone || err != nil; gone && err == nil {
				t.Errorf("%d: %d is there, one before it is not", seed, i)
			}
		}
		r.close()
	}
	if len(disks) == 0 || some == 0 {
		t.Error("the test proves nothing")
	}
}

// gated is a file system in which tables wait to be made.
type gated struct {
	vfs.FS
	gate *sync.RWMutex
}

func (g gated) Create(name string, category pebblevfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasSuffix(name, ".sst") {
		g.gate.RLock()
		defer g.gate.RUnlock()
	}
	return g.FS.Create(name, category)
}

// TestOlderLogDamage hurts a log that another one follows: all of it was on the
// disk before the other was begun, up to its last commit and its end.
func TestOlderLogDamage(t *testing.T) {
	t.Parallel()
	r := newLogRig(t)
	r.close()
	var gate sync.RWMutex
	r.o.memTable, r.o.FS = 64<<10, gated{r.fs, &gate}
	r.open()
	gate.Lock()
	for len(r.logs()) < 2 {
		r.deliver(2000)
	}
	for range 5 {
		r.deliver(2000)
	}
	disk := r.crash(100, 1)
	gate.Unlock()
	r.close()
	r.o.memTable = 0
	r.onDisk(disk)
	name := r.logs()[0]
	octets := r.load(name)
	at := marks(octets, r.ids)
	last := 0
	for n, octet := range at {
		if octet >= 0 {
			last = n
		}
	}
	for what, from := range map[string]int{"middle": at[last-3], "last commit": at[last], "nothing": -1} {
		r.onDisk(disk.CrashClone(vfs.CrashConfig{}))
		if from >= 0 {
			hurt := bytes.Clone(octets)
			hurt[from] ^= 4
			r.save(name, hurt)
			if _, err := Open(t.Context(), r.o); !errors.Is(err, ErrRecords) || !strings.Contains(err.Error(), r.fs.PathBase(name)+" is damaged") {
				t.Errorf("%s: opened: %v", what, err)
			}
			r.repair(what)
			r.above(what)
		} else {
			r.open()
		}
		if m := r.missing(); len(m) > 1 || len(m) == 0 == (what == "middle" || what == "last commit") {
			t.Errorf("%s: %v are missing", what, m)
		}
		r.close()
	}
}

// TestLogLosesMove hurts the commit that said where bodies are now, whose old
// segment is gone: they are found again.
func TestLogLosesMove(t *testing.T) {
	t.Parallel()
	r := newLogRig(t)
	for range 12 {
		r.deliver(3000)
	}
	r.must(r.e.Settle())
	r.must(r.e.db.Flush())
	r.box.HighestModSeq++
	gone := []engine.UID{1, 2, 3, 4, 5, 6, 7, 8}
	apply(t, r.e, &engine.Batch{Mailboxes: []engine.MailboxChange{{Account: 1, Record: r.box, Expunge: gone, ExpungedAt: r.box.HighestModSeq}}})
	r.now = r.now.Add(time.Hour)
	r.e.segments.mu.Lock()
	r.e.segments.seal()
	r.e.segments.mu.Unlock()
	r.must(r.e.Settle())
	before := r.list("/store/bodies", segmentSuffix)
	r.must(r.e.Reclaim(t.Context()))
	r.must(r.e.Reclaim(t.Context()))
	if after := r.list("/store/bodies", segmentSuffix); slices.Equal(before, after) {
		t.Fatal("no segment was copied")
	}
	r.deliver(100)
	r.deliver(100)
	disk := r.crash(100, 1)
	r.close()
	r.onDisk(disk)
	logs := r.logs()
	name := logs[len(logs)-1]
	octets := r.load(name)
	octets[bytes.LastIndex(octets, idKey(kindLocation, r.ids[10]))] ^= 1
	r.save(name, octets)
	said := r.repair("move")
	if m := r.missing(); !slices.Equal(m, gone) {
		t.Errorf("%v are missing\n%s", m, strings.Join(said, "\n"))
	}
}

// TestLostLogIsLeapt: a store whose log was mended, but on which no repair came to
// its end, gives no UID again either, says so, and reclaims nothing.
func TestLostLogIsLeapt(t *testing.T) {
	t.Parallel()
	r, name := crashedLogRig(t, 10, 200<<10)
	octets := r.load(name)
	octets[marks(octets, r.ids)[4]] ^= 1
	r.save(name, octets)
	_, err := Rebuild(t.Context(), r.o, "/aside/log")
	r.must(err)
	for range 2 {
		r.open()
		r.above("mended")
		r.must(r.e.Reclaim(t.Context()))
		if _, err := r.fs.Stat("/store/bodies/" + bodyName(r.ids[4])); err != nil {
			t.Error(err)
		}
		if s, err := r.e.Stats(t.Context()); err != nil || s.Damaged != 1 {
			t.Errorf("%d are damaged, %v", s.Damaged, err)
		}
		if p := strings.Join(r.problems(), "\n"); !strings.Contains(p, "changes that were acknowledged are lost there") {
			t.Error(p)
		}
		r.close()
	}
}

// badDisk does not give a sector of a file, until another takes its place.
type badDisk struct {
	vfs.FS
	name     string
	replaced *atomic.Bool
}

func (d badDisk) Open(name string, o ...pebblevfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, o...)
	if err != nil || name != d.name || d.replaced.Load() {
		return f, err
	}
	return badFile{f}, nil
}

func (d badDisk) Rename(from, to string) error {
	if to == d.name {
		d.replaced.Store(true)
	}
	return d.FS.Rename(from, to)
}

type badFile struct{ vfs.File }

func (f badFile) ReadAt(b []byte, at int64) (int, error) {
	const sector = 4 << 10
	if at < 6*sector && at+int64(len(b)) > 5*sector {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(b, at)
}

// TestUnreadableLog: what the disk does not give of a log is lost like what it gives
// wrong.
func TestUnreadableLog(t *testing.T) {
	t.Parallel()
	r, name := crashedLogRig(t, 20, 3000)
	r.o.FS = badDisk{r.fs, name, new(atomic.Bool)}
	if _, err := Open(t.Context(), r.o); !errors.Is(err, ErrRecords) || !strings.Contains(err.Error(), "cannot be read") {
		t.Fatalf("opened: %v", err)
	}
	said := r.repair("unreadable")
	r.above("unreadable")
	if m := r.missing(); len(m) == 0 || len(m) > 3 {
		t.Errorf("%v are missing\n%s", m, strings.Join(said, "\n"))
	}
}

// TestLogDamageWithoutManifest: where the database is made anew of its files, a damaged
// log is read over its damage too.
func TestLogDamageWithoutManifest(t *testing.T) {
	t.Parallel()
	r, name := crashedLogRig(t, 20, 3000)
	octets := r.load(name)
	octets[marks(octets, r.ids)[9]] ^= 1
	r.save(name, octets)
	for _, file := range r.list("/store/records", "") {
		if strings.Contains(file, "/marker.manifest") || strings.Contains(file, "/MANIFEST-") {
			r.must(r.fs.Remove(file))
		}
	}
	said := strings.Join(r.repair("no manifest"), "\n")
	r.above("no manifest")
	if m := r.missing(); !slices.Equal(m, []engine.UID{10}) || !strings.Contains(said, r.fs.PathBase(name)+" is damaged") {
		t.Errorf("%v are missing\n%s", m, said)
	}
}
