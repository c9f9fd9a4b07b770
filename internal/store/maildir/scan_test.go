package maildir

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// asked is an index without messages that counts how often it is asked.
type asked struct{ n int }

func (a *asked) UID(uint64) (engine.UID, bool) { a.n++; return 0, false }

// shop is a Maildir that two programs change.
type shop struct {
	t     *testing.T
	dir   string
	rand  *rand.Rand
	tree  *tree
	box   *box // INBOX
	other *box
	asked asked
	n     int
	uid   engine.UID
	seen  []files.Seen // at the last Scan
	lists atomic.Int64 // of directories
}

func newShop(t *testing.T, watched bool, seed uint64) *shop {
	s := &shop{t: t, dir: t.TempDir(), rand: rand.New(rand.NewPCG(seed, 0)), uid: 1}
	var w *vfs.Watcher
	if watched {
		w = vfs.NewWatcher()
		t.Cleanup(func() { w.Close() })
	}
	s.tree = s.open(w)
	s.tree.root.FS = listing{s.tree.root.FS, &s.lists}
	s.tree.inbox = s.tree.root
	for _, name := range []string{"INBOX", "Other"} {
		s.ok(s.tree.Create(t.Context(), name))
		b, err := s.tree.Box(name)
		s.ok(err)
		if watched {
			stop, err := b.Watch(func() {})
			s.ok(err)
			t.Cleanup(stop)
		}
		s.box, s.other = s.other, b.(*box)
	}
	return s
}

func (s *shop) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) open(w *vfs.Watcher) *tree {
	opened, err := New(Options{Watcher: w, Host: "test"}).Open(s.t.Context(), files.Place{Path: s.dir, Make: true})
	s.ok(err)
	return opened.(*tree)
}

// some gives the key of a message that is there, and its flags and UID.
func (s *shop) some() (files.Seen, bool) {
	if len(s.seen) == 0 {
		return files.Seen{}, false
	}
	return s.seen[s.rand.IntN(len(s.seen))], true
}

func (s *shop) carry(b *box, c *files.Change) files.Carried {
	c.Record = &engine.Mailbox{UIDValidity: 7, UIDNext: s.uid + 1, Keywords: []string{"word"}}
	carried, err := b.Carry(s.t.Context(), c)
	s.ok(err)
	return carried
}

func (s *shop) added() files.Added {
	s.n++
	s.uid++
	return files.Added{ID: mail.ID{15: byte(s.n), 14: byte(s.n >> 8)}, UID: s.uid, Size: 3, Flags: engine.Flags(s.rand.IntN(32)), Open: func() (mail.Body, error) {
		return openBytes{bytes.NewReader([]byte("x\r\n"))}, nil
	}}
}

// file is one of the names in cur and new.
func (s *shop) file() (dir, name string) {
	var all [][2]string
	for _, dir := range []string{"cur", "new"} {
		list, err := os.ReadDir(filepath.Join(s.dir, dir))
		s.ok(err)
		for _, e := range list {
			all = append(all, [2]string{dir, e.Name()})
		}
	}
	if len(all) == 0 {
		return "", ""
	}
	one := all[s.rand.IntN(len(all))]
	return filepath.Join(s.dir, one[0]), one[1]
}

// do makes one change, and says what.
func (s *shop) do() string {
	one, some := s.some()
	kind := s.rand.IntN(10)
	switch {
	case kind < 3 || !some:
		s.n++
		name := fmt.Sprintf("%d.M%dP1.host", 1_700_000_000-s.n, s.n)
		s.ok(os.WriteFile(filepath.Join(s.dir, "tmp", name), []byte("x\n"), 0o600))
		s.ok(os.Rename(filepath.Join(s.dir, "tmp", name), filepath.Join(s.dir, "new", name)))
		return "a delivery"
	case kind == 3:
		dir, name := s.file()
		base, _, _ := strings.Cut(name, ":")
		s.ok(os.Rename(filepath.Join(dir, name), filepath.Join(s.dir, "cur", base+":2,"+[]string{"", "S", "F", "Sa"}[s.rand.IntN(4)])))
		return "flags by another"
	case kind == 4:
		dir, name := s.file()
		s.ok(os.Remove(filepath.Join(dir, name)))
		return "a removal"
	case kind == 5:
		s.carry(s.box, &files.Change{Add: []files.Added{s.added()}})
		return "an APPEND"
	case kind == 6:
		s.carry(s.box, &files.Change{Flag: []files.Flagged{{Key: one.Key, UID: one.UID, Before: one.Flags, After: engine.Flags(s.rand.IntN(32)) | 1<<keywordShift}}})
		return "flags"
	case kind == 7:
		carried := s.carry(s.box, &files.Change{Expunge: []files.Numbered{{Key: one.Key, UID: one.UID}}, Add: []files.Added{s.added()}})
		if s.rand.IntN(2) == 0 {
			carried.Undo()
			return "an expunge that was undone"
		}
		carried.Done()
		return "an expunge"
	case kind == 8:
		a := s.added()
		a.From, a.FromKey, a.Move = s.box, one.Key, true
		s.carry(s.other, &files.Change{Add: []files.Added{a}})
		return "a move"
	}
	return s.number()
}

// number gives UIDs to some of the messages that have none.
func (s *shop) number() string {
	release, err := s.box.Hold(s.t.Context())
	s.ok(err)
	defer release()
	var uids []files.Numbered
	for _, m := range s.seen {
		if m.UID == 0 && len(uids) < 3 {
			s.uid++
			uids = append(uids, files.Numbered{Key: m.Key, UID: s.uid})
		}
	}
	s.ok(s.box.Number(s.t.Context(), files.Header{UIDValidity: 7, UIDNext: s.uid + 1}, uids))
	return "UIDs"
}

// check has a Scan say what one by another program would. One that comes after it asks
// nothing and reads nothing, if times tell that nothing was changed.
func (s *shop) check(what string, quiet bool) {
	s.t.Helper()
	got, err := s.box.Scan(s.t.Context(), &s.asked, true)
	s.ok(err)
	s.asked.n = 0
	s.lists.Store(0)
	again, err := s.box.Scan(s.t.Context(), &s.asked, true)
	s.ok(err)
	if quiet && s.asked.n+int(s.lists.Load()) > 0 {
		s.t.Errorf("%s: the second Scan asked for %d messages and read %d directories", what, s.asked.n, s.lists.Load())
	}
	b, err := s.open(nil).Box("INBOX")
	s.ok(err)
	want, err := b.Scan(s.t.Context(), &s.asked, true)
	s.ok(err)
	for _, x := range []*files.Scan{got, again} {
		if x.Part || x.Header != want.Header || !slices.Equal(x.Keywords, want.Keywords) || !slices.Equal(byUID(x), byUID(want)) {
			s.t.Fatalf("%s:\n%+v\nand not\n%+v", what, *x, *want)
		}
	}
	s.seen = slices.Clone(again.Messages)
}

// byUID are the messages of a Scan: those without UID, in their order, before the others.
func byUID(s *files.Scan) []files.Seen {
	return slices.SortedStableFunc(slices.Values(s.Messages), func(x, y files.Seen) int { return cmp.Compare(x.UID, y.UID) })
}

// TestScanAgain: as long as nothing is changed, by nobody, a Scan that is asked for
// again is the one before; it is never one of old.
func TestScanAgain(t *testing.T) {
	t.Parallel()
	for _, watched := range []bool{true, false} {
		t.Run(fmt.Sprint("watched ", watched), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(6) {
				s := newShop(t, watched, seed)
				s.check("nothing", watched)
				for range 60 {
					s.check(s.do(), watched)
				}
			}
		})
	}
}

// broken is a disk of which directories cannot be read.
type broken struct{ vfs.FS }

func (broken) List(string) ([]string, error) { return nil, syscall.EIO }

// TestScanAfterAnError: what was told of when directories could not be read is found by
// the next Scan.
func TestScanAfterAnError(t *testing.T) {
	t.Parallel()
	s := newShop(t, true, 1)
	name := filepath.Join(s.dir, "cur", "1700000000.M1P1.host:2,")
	s.ok(os.WriteFile(name, []byte("x\n"), 0o600))
	s.check("a delivery", true)
	fs := s.box.p.FS
	s.ok(os.Remove(name))
	s.box.p.FS = broken{fs}
	if scan, err := s.box.Scan(t.Context(), &s.asked, true); !errors.Is(err, syscall.EIO) {
		t.Errorf("what cannot be read gives %+v, %v", scan, err)
	}
	s.box.p.FS = fs
	s.check("a removal", true)
}
