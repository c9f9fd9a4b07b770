package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// repair runs Repair and gives what it says.
func (r *rig) repair() (said []string) {
	r.Helper()
	for done, err := range r.e.Repair(r.Context(), "/aside") {
		r.must(err)
		said = append(said, done.Record+": "+done.Done)
		if done.Kept != "" && len(r.load(done.Kept)) == 0 {
			r.Errorf("%s: %s is empty", done.Record, done.Kept)
		}
	}
	return said
}

// uids lists a mailbox.
func (r *rig) uids(m engine.MailboxID) (uids []engine.UID) {
	r.Helper()
	for entry, err := range r.e.Entries(r.Context(), 1, m, 0) {
		r.must(err)
		uids = append(uids, entry.UID)
	}
	return uids
}

// TestRepairRecord hurts or removes one record of each kind: Check names it, and
// after Repair there is nothing to find; all messages are there.
func TestRepairRecord(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]func(ids []mail.ID, items []mail.ID) []byte{
		"account":   func([]mail.ID, []mail.ID) []byte { return partKey(1, partRecord) },
		"name":      func([]mail.ID, []mail.ID) []byte { return nameKey("user") },
		"mailbox":   func([]mail.ID, []mail.ID) []byte { return mailboxKey(1, partMailbox, 1) },
		"note":      func([]mail.ID, []mail.ID) []byte { return noteKey(1, 1, "key") },
		"detail":    func([]mail.ID, []mail.ID) []byte { return messageKey(1, partDetail, 1, 3) },
		"log":       func([]mail.ID, []mail.ID) []byte { return logKey(1, 1, 2) },
		"gone":      func([]mail.ID, []mail.ID) []byte { return goneKey(1, 1, 30, 8) },
		"item":      func(_, items []mail.ID) []byte { return idKey(kindItem, items[2]) },
		"location":  func(ids, _ []mail.ID) []byte { return idKey(kindLocation, ids[4]) },
		"reference": func(ids, _ []mail.ID) []byte { return messageRef(ids[1], 1, 1, 2) },
		"redo":      func([]mail.ID, []mail.ID) []byte { return redoKey(place{1, 0}) },
	} {
		for _, how := range []string{"hurt", "removed"} {
			r := newRig(t)
			ids := r.fill(8, 40)
			var items []mail.ID
			for i, err := range r.e.Items(t.Context()) {
				r.must(err)
				items = append(items, i.ID)
			}
			apply(t, r.e, &engine.Batch{
				Mailboxes: []engine.MailboxChange{{
					Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: 9, HighestModSeq: 30, Messages: 7, Unseen: 7, Bytes: 7 * 46},
					Expunge: []engine.UID{8}, ExpungedAt: 30,
				}},
				PutNotes: []engine.Note{{Account: 1, Mailbox: 1, Key: "key", Value: []byte("value")}},
			})
			at := key(ids, items)
			if how == "hurt" && len(r.value(at)) > 0 {
				r.hurtRecord(at)
			} else {
				r.must(r.e.db.Delete(at, pebble.NoSync))
			}
			lost := name == "note" || name == "gone" || name == "redo" || name == "log" && how == "removed"
			if len(r.problems()) == 0 && !(lost && how == "removed") {
				t.Errorf("%s %s: Check finds nothing", name, how)
			}
			said := r.repair()
			for _, p := range r.problems() {
				t.Errorf("%s %s: after the repair: %s\n%s", name, how, p, strings.Join(said, "\n"))
			}
			a, boxes, err := r.e.Account(t.Context(), "user")
			if err != nil || a.ID != 1 || len(boxes) != 1 || boxes[0].Messages != 7 || boxes[0].UIDNext < 8 {
				t.Errorf("%s %s: account %+v, %+v, %v", name, how, a, boxes, err)
			}
			if got := fmt.Sprint(r.uids(1)); got != "[1 2 3 4 5 6 7]" {
				t.Errorf("%s %s: %s are left\n%s", name, how, got, strings.Join(said, "\n"))
			}
			for n, id := range ids[:7] {
				if got, err := r.read(id); err != nil || !bytes.Equal(got, content(n, 40)) {
					t.Errorf("%s %s: body %d: %v", name, how, n, err)
				}
			}
			if again := r.repair(); len(again) > 0 {
				t.Errorf("%s %s: a second repair still finds %v", name, how, again)
			}
		}
	}
}

// value is a record as it is.
func (r *rig) value(key []byte) []byte {
	r.Helper()
	value, closer, err := r.e.db.Get(key)
	r.must(err)
	defer closer.Close()
	return bytes.Clone(value)
}

// TestRepairBody damages a body in a segment, one in a file, and removes one:
// they leave mailbox and queue, what is left of them is kept, the others stay.
func TestRepairBody(t *testing.T) {
	t.Parallel()
	for _, size := range []int{500, 300 << 10} {
		r := newRig(t)
		ids := r.fill(5, size)
		r.must(r.e.Settle())
		r.close()
		suffix := segmentSuffix
		if size > bodyInMemory {
			suffix = bodySuffix
		}
		name := r.list("/store/bodies", suffix)[0]
		octets := r.load(name)
		octets[min(len(octets)/2, 80<<10)] ^= 1
		r.save(name, octets)
		r.open()
		var hurt int
		for n, id := range ids {
			if _, err := r.read(id); errors.Is(err, engine.ErrDamaged) {
				hurt = n
			}
		}
		if len(r.problems()) == 0 {
			t.Fatal("Check finds nothing")
		}
		said := r.repair()
		if left := r.uids(1); len(left) != 4 || slices.Contains(left, engine.UID(hurt+1)) {
			t.Errorf("left: %v, damaged was %d\n%s", left, hurt+1, strings.Join(said, "\n"))
		}
		r.sound()
		raw := r.list("/aside", ".raw")
		if len(raw) == 0 || len(r.load(raw[0])) < size {
			t.Errorf("kept: %v", raw)
		}
		if whole := r.list("/aside", ".eml"); size > bodyInMemory && (len(whole) == 0 || len(r.load(whole[0])) < size-blockSize) {
			t.Errorf("kept: %v", whole)
		}
		if queued := r.list("/aside", ".json"); len(queued) != 1 {
			t.Errorf("items kept: %v", queued)
		}
		var gone []engine.UID
		for x, err := range r.e.Expunged(t.Context(), 1, 1, 0) {
			r.must(err)
			gone = append(gone, x.UID)
		}
		if !slices.Equal(gone, []engine.UID{engine.UID(hurt + 1)}) {
			t.Errorf("remembered as expunged: %v", gone)
		}
	}
}

// TestRepairOrphan: a body that nothing names is kept in a file.
func TestRepairOrphan(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.fill(2, 100)
	for i, err := range r.e.Items(t.Context()) {
		r.must(err)
		r.must(errors.Join(r.e.db.Delete(idKey(kindItem, i.ID), pebble.NoSync), r.e.db.Delete(itemRef(i.Body, i.ID), pebble.NoSync)))
	}
	all := accountKey(1)
	r.must(r.e.db.DeleteRange(all, after(all), pebble.NoSync))
	r.must(r.e.db.Delete(nameKey("user"), pebble.NoSync))
	if len(r.problems()) == 0 {
		t.Error("Check finds nothing")
	}
	r.repair()
	kept := r.list("/aside", ".eml")
	if len(kept) != len(ids) || !bytes.Equal(r.load(kept[0]), content(0, 100)) && !bytes.Equal(r.load(kept[0]), content(1, 100)) {
		t.Errorf("kept: %v", kept)
	}
	r.sound()
}

// TestRewrite damages a block of Pebble's: repair and rewriting leave a store
// that nothing can be said against, and the old files.
func TestRewrite(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const messages = 5000
	fillMailbox(t, r.e, messages)
	r.must(r.e.Settle())
	r.must(r.e.Fold(t.Context()))
	r.must(r.e.db.Flush())
	r.must(r.e.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
	r.close()
	rewritten := 0
	for _, name := range r.list("/store/records", ".sst") {
		octets := r.load(name)
		octets[len(octets)/3] ^= 8
		r.save(name, octets)
	}
	r.open()
	found := len(r.problems())
	r.repair()
	if r.e.Unreadable() {
		rewritten++
	}
	r.close()
	if found == 0 || rewritten == 0 {
		t.Fatalf("%d problems found, %d times unreadable", found, rewritten)
	}
	r.must(Rewrite(t.Context(), r.o, "/aside"))
	r.open()
	r.repair() // what only now can be seen: owners that were in the damaged block
	r.sound()
	if left := listed(r, 1); left < messages*9/10 {
		t.Errorf("%d of %d messages are left", left, messages)
	}
	if len(r.list("/aside/records", ".sst")) == 0 {
		t.Error("the damaged files were not kept")
	}
	r.must(r.e.Reclaim(t.Context()))
	r.sound()
}
