package maildir

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// listing counts how often directories are read.
type listing struct {
	vfs.FS
	lists *atomic.Int64
}

func (l listing) List(dir string) ([]string, error) {
	if dir == "new" || dir == "cur" {
		l.lists.Add(1)
	}
	return l.FS.List(dir)
}

// known is an index that follows what is scanned.
type known map[uint64]engine.Flags

func (known) UID(uint64) (engine.UID, bool) { return 0, false }

// follow takes a scan over; part says whether it was one.
func (k known) follow(t *testing.T, b files.Box, again bool) (part bool) {
	t.Helper()
	s, err := b.Scan(t.Context(), k, again)
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		return true
	}
	if !s.Part {
		clear(k)
	}
	for _, m := range s.Messages {
		k[m.Key] = m.Flags
	}
	for _, key := range s.Gone {
		delete(k, key)
	}
	return s.Part
}

// TestOnlyWhatIsToldOfIsLookedAt: while a folder is watched, what other programs do
// is found without reading its directories, unless a message went; and it is what
// reading them finds.
func TestOnlyWhatIsToldOfIsLookedAt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	put := func(name string) { t.Helper(); ok(os.WriteFile(at(name), []byte("Subject: x\n\ny\n"), 0o600)) }
	rename := func(from, to string) { t.Helper(); ok(os.Rename(at(from), at(to))) }
	for _, sub := range []string{"cur", "new", "tmp"} {
		ok(os.Mkdir(at(sub), 0o700))
	}
	for i := range 50 {
		put(fmt.Sprintf("cur/1700000%03d.M1P1.host:2,S", i))
	}
	watcher := vfs.NewWatcher()
	t.Cleanup(func() { watcher.Close() })
	count := new(atomic.Int64)
	open := func(w *vfs.Watcher) files.Box {
		opened, err := New(Options{Watcher: w}).Open(t.Context(), files.Place{Path: dir})
		ok(err)
		tr := opened.(*tree)
		tr.inbox.FS = listing{tr.inbox.FS, count}
		b, err := tr.Box("INBOX")
		ok(err)
		return b
	}
	b := open(watcher)
	stop, err := b.Watch(func() {})
	ok(err)
	t.Cleanup(stop)
	index := known{}
	index.follow(t, b, true)
	index.follow(t, b, false)
	for _, x := range []struct {
		name  string
		do    func()
		reads bool
	}{
		{"nothing", func() {}, false},
		{"a delivery", func() {
			put("tmp/1800000001.M1P1.host")
			rename("tmp/1800000001.M1P1.host", "new/1800000001.M1P1.host")
		}, false},
		{"written in place", func() { put("new/1800000002.M1P1.host") }, false},
		{"a flag", func() { rename("cur/1700000007.M1P1.host:2,S", "cur/1700000007.M1P1.host:2,FS") }, false},
		{"two renames", func() {
			rename("cur/1700000007.M1P1.host:2,FS", "cur/1700000007.M1P1.host:2,RS")
			rename("cur/1700000007.M1P1.host:2,RS", "cur/1700000007.M1P1.host:2,")
		}, false},
		{"seen by mutt", func() { rename("new/1800000001.M1P1.host", "cur/1800000001.M1P1.host:2,S") }, false},
		{"what came and went", func() { put("new/1800000003.M1P1.host"); ok(os.Remove(at("new/1800000003.M1P1.host"))) }, false},
		{"another name", func() { put("new/.hidden") }, false},
		{"a removal", func() { ok(os.Remove(at("cur/1700000008.M1P1.host:2,S"))) }, true},
		{"moved away", func() { rename("cur/1700000009.M1P1.host:2,S", "tmp/1700000009") }, true},
		{"the directory is another", func() {
			rename("cur", "old")
			ok(os.Mkdir(at("cur"), 0o700))
			put("cur/1800000005.M1P1.host:2,S")
		}, true},
		{"after that", func() { put("cur/1800000006.M1P1.host:2,S") }, true},
	} {
		x.do()
		count.Store(0)
		part := index.follow(t, b, false)
		if reads := count.Load() > 0; reads != x.reads || part == x.reads {
			t.Errorf("%s: directories were read %d times, a part: %v", x.name, count.Load(), part)
		}
		whole := known{}
		whole.follow(t, open(nil), true)
		if !maps.Equal(index, whole) {
			t.Errorf("%s: %d messages are known, not %d", x.name, len(index), len(whole))
		}
	}
}

// TestMovedWithItsParent: a folder that another takes the place of, as one that is
// restored does, is not taken for the one that the watch is of.
func TestMovedWithItsParent(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir := filepath.Join(top, ".Folder")
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	begin := func() {
		for _, sub := range []string{"cur", "new", "tmp"} {
			ok(os.MkdirAll(filepath.Join(dir, sub), 0o700))
		}
	}
	put := func(name string) { ok(os.WriteFile(filepath.Join(dir, name), []byte("Subject: x\n\ny\n"), 0o600)) }
	begin()
	watcher := vfs.NewWatcher()
	t.Cleanup(func() { watcher.Close() })
	opened, err := New(Options{Watcher: watcher}).Open(t.Context(), files.Place{Path: top, Make: true})
	ok(err)
	ok(opened.Create(t.Context(), inboxName))
	b, err := opened.Box("Folder")
	ok(err)
	stop, err := b.Watch(func() {})
	ok(err)
	t.Cleanup(stop)
	index := known{}
	put("cur/1700000001.M1P1.host:2,S")
	index.follow(t, b, true)
	ok(os.Rename(dir, dir+".old"))
	begin()
	for n := range 3 {
		put(fmt.Sprintf("cur/180000000%d.M1P1.host:2,S", n))
		index.follow(t, b, false)
		if len(index) != n+1 {
			t.Errorf("%d messages are known, not %d", len(index), n+1)
		}
	}
}

// TestOwnChangesAreNotRead: what a session does costs no reading of directories.
func TestOwnChangesAreNotRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	watcher := vfs.NewWatcher()
	t.Cleanup(func() { watcher.Close() })
	opened, err := New(Options{Watcher: watcher}).Open(t.Context(), files.Place{Path: dir, Make: true})
	if err == nil {
		err = opened.Create(t.Context(), inboxName)
	}
	if err != nil {
		t.Fatal(err)
	}
	tr, count := opened.(*tree), new(atomic.Int64)
	tr.inbox.FS = listing{tr.inbox.FS, count}
	b, err := tr.Box("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	stop, err := b.Watch(func() {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	index := known{}
	index.follow(t, b, true)
	index.follow(t, b, false)
	count.Store(0)
	for uid := engine.UID(1); uid < 20; uid++ {
		rec := &engine.Mailbox{UIDValidity: 1, UIDNext: uid + 1}
		add := &files.Change{Record: rec, Add: []files.Added{{UID: uid, Size: 3, Open: func() (mail.Body, error) { return openBytes{bytes.NewReader([]byte("x\r\n"))}, nil }}}}
		if _, err := b.Carry(t.Context(), add); err != nil {
			t.Fatal(err)
		}
		index.follow(t, b, false)
		if _, err := b.Carry(t.Context(), &files.Change{Record: rec, Flag: []files.Flagged{{Key: add.Add[0].Key, UID: uid, After: 1}}}); err != nil {
			t.Fatal(err)
		}
		index.follow(t, b, false)
	}
	if n := count.Load(); n > 0 {
		t.Errorf("directories were read %d times", n)
	}
}
