package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/store/engine"
)

// A store whose database cannot be opened is never taken for an empty one. What
// Rebuild makes of its files is the same as before, whichever file is lost: the
// one that names the manifest, the manifest, or both.
func TestRebuild(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"marker lost", "manifest lost", "manifest damaged", "both lost", "version lost", "logs only"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ids := r.fill(30, 40)
			if name != "logs only" {
				r.must(r.e.Settle())
				r.must(r.e.Fold(t.Context()))
				r.must(r.e.db.Flush())
				r.must(r.e.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
			}
			apply(t, r.e, &engine.Batch{Mailboxes: []engine.MailboxChange{{ // partly in tables, partly in the log
				Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: 31, HighestModSeq: 40, Messages: 28, Unseen: 28, Bytes: 28 * 46},
				Expunge: []engine.UID{3, 8}, ExpungedAt: 40,
			}}})
			if name != "logs only" {
				r.must(r.e.db.Flush())
			}
			apply(t, r.e, &engine.Batch{PutNotes: []engine.Note{{Account: 1, Mailbox: 1, Key: "key", Value: []byte("in the log")}}})
			before := r.everything()
			r.close()
			for _, file := range r.list("/store/records", "") {
				base := file[strings.LastIndexByte(file, '/')+1:]
				marker, manifest := strings.HasPrefix(base, "marker.manifest"), strings.HasPrefix(base, "MANIFEST-")
				switch {
				case marker && (name == "marker lost" || name == "both lost"), strings.HasPrefix(base, "marker.format") && name == "version lost",
					manifest && (name == "manifest lost" || name == "both lost" || name == "logs only"):
					r.must(r.fs.Remove(file))
				case manifest && name == "manifest damaged":
					octets := r.load(file)
					octets[len(octets)/2] ^= 8
					r.save(file, octets)
				}
			}
			if _, err := Open(t.Context(), r.o); !errors.Is(err, ErrRecords) {
				t.Fatalf("opened: %v", err)
			}
			done, err := Rebuild(t.Context(), r.o, "/aside")
			r.must(err)
			t.Log(done)
			r.open()
			r.sound()
			if after := r.everything(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			for i, id := range ids {
				got, err := r.read(id)
				if i == 2 || i == 7 {
					continue
				}
				if err != nil || !bytes.Equal(got, content(i, 40)) {
					t.Errorf("message %d: %q, %v", i+1, got, err)
				}
			}
		})
	}
}

// TestRebuildOfHalfAFlush: when the manifest is lost as tables are written, those that are
// finished do not say that others are, and the log has what these lack.
func TestRebuildOfHalfAFlush(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sizes := slices.Repeat([]int{100, 9000}, 20)
	r.putNotes(sizes[:10])
	r.must(r.e.db.Flush())
	r.putNotes(sizes)
	n := r.e.log.Next() - 1
	disk := r.crash(0, 1)
	r.close()
	r.onDisk(disk)
	for _, name := range r.list("/store/records", "") {
		if strings.Contains(name, "MANIFEST-") {
			r.must(r.fs.Remove(name))
		}
	}
	f, err := r.fs.Create("/store/records/000999.sst", vfs.WriteCategoryUnspecified)
	r.must(err)
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(f), sstable.WriterOptions{TableFormat: sstable.TableFormatPebblev6})
	r.must(w.Raw().Add(pebble.MakeInternalKey(positionKey, 1<<40, pebble.InternalKeyKindSet), encodeNumber(positionKey, n), false))
	r.must(w.Close())
	if _, err := Open(t.Context(), r.o); !errors.Is(err, ErrRecords) {
		t.Fatalf("opened: %v", err)
	}
	_, err = Rebuild(t.Context(), r.o, "/aside")
	r.must(err)
	for range 2 {
		r.open()
		r.hasNotes(sizes)
		r.close()
	}
}

// TestRecordsGone: a store that has bodies, but no records at all, is not taken for
// an empty one either, whose bodies nobody needs.
func TestRecordsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill(3, 40)
	r.close()
	r.must(r.fs.RemoveAll("/store/records"))
	for range 2 {
		if _, err := Open(t.Context(), r.o); !errors.Is(err, ErrRecords) {
			t.Fatalf("opened: %v", err)
		}
		if _, err := Rebuild(t.Context(), r.o, "/aside"); !errors.Is(err, errNoFiles) {
			t.Fatalf("made anew of nothing: %v", err)
		}
	}
}

// TestNewerRecords: records of a newer program are refused, but not called damaged.
func TestNewerRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill(3, 40)
	r.close()
	for _, file := range r.list("/store/records", "") {
		if at := strings.Index(file, "marker.format-version."); at >= 0 {
			r.must(r.fs.Rename(file, file[:at]+"marker.format-version.999998.999"))
		}
	}
	if _, err := Open(t.Context(), r.o); err == nil || errors.Is(err, ErrRecords) || !strings.Contains(err.Error(), "newer program") {
		t.Fatalf("opened: %v", err)
	}
}

// TestNewerStore: a store of a newer format is refused, and stays as it was.
func TestNewerStore(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill(3, 40)
	key := []byte{kindFormat}
	r.must(r.e.set(key, encodeNumber(key, format+1)))
	r.must(r.e.db.Flush())
	r.fill(3, 40)
	r.close()
	logs := r.logs()
	for range 2 {
		if !slices.Equal(r.logs(), logs) || len(logs) == 0 {
			t.Errorf("logs %v, had %v", r.logs(), logs)
		}
		if _, err := Open(t.Context(), r.o); err == nil || errors.Is(err, ErrRecords) || !strings.Contains(err.Error(), "newer program") {
			t.Fatalf("opened: %v", err)
		}
	}
}

// TestManifestOctets damages each octet of the manifest: it is noticed, or does no
// harm.
func TestManifestOctets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.fill(10, 40)
		r.must(r.e.Settle())
		r.must(r.e.Fold(t.Context()))
		r.must(r.e.db.Flush())
	}
	before := r.everything()
	r.close()
	var manifest string
	for _, file := range r.list("/store/records", "") {
		if strings.Contains(file, "/MANIFEST-") {
			manifest = file
		}
	}
	whole := r.fs
	octets := r.load(manifest)
	noticed, rebuilt := 0, 0
	for i := range octets {
		r.fs = whole.CrashClone(vfs.CrashCloneCfg{})
		r.o.FS = r.fs
		octets[i] ^= 1 << (i % 8)
		r.save(manifest, octets)
		octets[i] ^= 1 << (i % 8)
		e, err := Open(t.Context(), r.o)
		if errors.Is(err, ErrRecords) {
			if noticed++; noticed%20 != 0 {
				continue
			}
			rebuilt++
			_, err = Rebuild(t.Context(), r.o, "/aside")
			r.must(err)
			e, err = Open(t.Context(), r.o)
		}
		if err != nil {
			t.Errorf("octet %d of %d: %v", i, len(octets), err)
			continue
		}
		r.e = e
		if after := r.everything(); after != before {
			t.Errorf("octet %d of %d: before:\n%s\nafter:\n%s", i, len(octets), before, after)
		}
		r.close()
	}
	if rebuilt == 0 {
		t.Error("nothing was noticed")
	}
	t.Logf("of %d octets %d were noticed", len(octets), noticed)
}

// everything is all that a client could ask for.
func (r *rig) everything() string {
	var b strings.Builder
	a, boxes, err := r.e.Account(r.Context(), "user")
	r.must(err)
	fmt.Fprintf(&b, "%+v %+v\n", a, boxes)
	for e, err := range r.e.Entries(r.Context(), 1, 1, 0) {
		r.must(err)
		fmt.Fprintf(&b, "%+v\n", e)
	}
	for e, err := range r.e.Expunged(r.Context(), 1, 1, 0) {
		r.must(err)
		fmt.Fprintf(&b, "gone %+v\n", e)
	}
	for n, err := range r.e.Notes(r.Context(), 1, 1, "") {
		r.must(err)
		fmt.Fprintf(&b, "%+v\n", n)
	}
	for i, err := range r.e.Items(r.Context()) {
		r.must(err)
		fmt.Fprintf(&b, "item %s\n", i.ID)
	}
	return b.String()
}

// Of each record the newest version counts, unless it was deleted since, by itself
// or with others.
func TestCoverage(t *testing.T) {
	covers := coverage([]deletion{{[]byte("b"), []byte("d"), 5}, {[]byte("a"), []byte("z"), 3}, {[]byte("c"), []byte("c\x00"), 9}})
	for _, c := range []struct {
		key  string
		want uint64
	}{{"", 0}, {"a", 3}, {"b", 5}, {"c", 9}, {"c\x00", 5}, {"d", 3}, {"z", 0}} {
		if got := covers([]byte(c.key)); uint64(got) != c.want {
			t.Errorf("%q: %d, not %d", c.key, got, c.want)
		}
	}
	var last []byte
	for _, key := range []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "a", "a\x00", "a\x00b", "ab"} {
		e := escape([]byte(key))
		if got := unescape(e); string(got) != key || bytes.Compare(last, e) >= 0 {
			t.Errorf("%q becomes %q and %q, behind %q", key, e, got, last)
		}
		last = e
	}
}
