package storetest_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/store"
	"plic/internal/store/files"
	"plic/internal/store/maildir"
	"plic/internal/store/mbox"
	"plic/internal/vfs"
)

// TestConversionLeavesOthers cuts a conversion short, has another program deliver
// to the new place, and begins again: nothing goes but our own copies.
func TestConversionLeavesOthers(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	e := files.New(files.Options{
		Engine:  openEmbedded(t, fs),
		Formats: map[string]files.Format{"maildir": onFS{maildir.New(maildir.Options{Host: "test"}), fs}},
		Locate:  func(context.Context, string) (files.Location, error) { return files.Location{Text: files.Native}, nil },
	})
	s := store.New(store.Options{Engine: e})
	t.Cleanup(func() { s.Close(); e.Close() })
	a, err := s.Account(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		d, err := s.NewDraft(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(d, "Subject: ours\r\n\r\nbody\r\n")
		if _, err := inbox.Append(t.Context(), store.Incoming{Draft: d}); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() (*files.Conversion, error) {
		c, err := e.Convert(t.Context(), "ann", files.Location{Text: "maildir:/m/%u"})
		if err != nil {
			t.Fatal(err)
		}
		return c, c.Copy(t.Context())
	}
	if _, err := begin(); err != nil { // and then it ends
		t.Fatal(err)
	}
	const theirs = "/m/ann/new/1.2.other"
	f, err := fs.Create(theirs, "test")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "Subject: theirs\n\nbody\n")
	f.Close()
	if _, err := begin(); !errors.Is(err, files.ErrOccupied) {
		t.Fatalf("with mail of others: %v", err)
	}
	if _, err := fs.Stat(theirs); err != nil {
		t.Fatalf("the mail of others: %v", err)
	}
	if err := fs.Remove(theirs); err != nil {
		t.Fatal(err)
	}
	c, err := begin()
	if err == nil {
		err = c.Switch(t.Context())
	}
	if err != nil || c.Messages != 3 {
		t.Fatalf("%d messages, %v", c.Messages, err)
	}
	removal(t, e, fs, theirs)
}

// removal converts back, and removes what that has left, but never mail of others.
func removal(t *testing.T, e *files.Engine, fs vfs.FS, theirs string) {
	t.Helper()
	native, there := files.Location{Text: files.Native}, files.Location{Text: "maildir:/m/%u"}
	remove := func(now files.Location, messages int, want error) {
		t.Helper()
		if _, n, err := e.RemoveLeft(t.Context(), "ann", now); n != messages || !errors.Is(err, want) {
			t.Errorf("%d messages were removed, %v; want %d, %v", n, err, messages, want)
		}
	}
	count := func() (n int) {
		for _, dir := range []string{"/m/ann/new", "/m/ann/cur"} {
			names, err := fs.List(dir)
			if err != nil {
				t.Fatal(err)
			}
			n += len(names)
		}
		return n
	}
	remove(there, 0, files.ErrNothingLeft)
	if _, _, err := e.Account(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	c, err := e.Convert(t.Context(), "ann", native)
	if err == nil {
		err = errors.Join(c.Copy(t.Context()), c.Switch(t.Context()))
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(theirs, "test")
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, "Subject: ours\n\nbody\n") // the same as others, and yet not copied
	f.Close()
	remove(native, 0, files.ErrNewThere)
	remove(there, 0, files.ErrOccupied)
	if n := count(); n != 4 {
		t.Errorf("%d files of 4", n)
	}
	if err := fs.Remove(theirs); err != nil {
		t.Fatal(err)
	}
	remove(native, 3, nil)
	if n := count(); n != 0 {
		t.Errorf("%d files are left", n)
	}
	remove(native, 0, files.ErrNothingLeft)
}

// TestRemoveLeftMbox: of an mbox file goes what was copied, also of messages that are
// the same; if one of them came since, nothing goes.
func TestRemoveLeftMbox(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spool := filepath.Join(dir, "ann", "inbox")
	const one = "From ann@peer.test Thu Nov 26 18:25:12 2026\nSubject: same\n\nbody\n\n"
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(spool), 0o700), os.WriteFile(spool, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(one + one + strings.Replace(one, "same", "other", 1))
	e := files.New(files.Options{
		Engine:  openEmbedded(t, vfs.NewMemory()),
		Formats: map[string]files.Format{"mbox": mbox.New(mbox.Options{})},
		Locate: func(context.Context, string) (files.Location, error) {
			return files.Location{Text: "mbox:" + dir + "/%u"}, nil
		},
	})
	s := store.New(store.Options{Engine: e})
	t.Cleanup(func() { s.Close(); e.Close() })
	a, err := s.Account(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := a.Mailbox("INBOX")
	if err == nil {
		err = inbox.Sync(t.Context())
	}
	if err == nil {
		_, err = inbox.Expunge(t.Context(), []store.UID{1}, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	native := files.Location{Text: files.Native}
	c, err := e.Convert(t.Context(), "ann", native)
	if err == nil {
		err = s.Convert(t.Context(), "ann", c.Copy, c.Switch)
	}
	if err != nil || c.Messages != 2 {
		t.Fatalf("%d messages, %v", c.Messages, err)
	}
	left, err := os.ReadFile(spool)
	if err != nil {
		t.Fatal(err)
	}
	write(string(left) + one)
	if _, n, err := e.RemoveLeft(t.Context(), "ann", native); n != 0 || !errors.Is(err, files.ErrNewThere) {
		t.Errorf("%d were removed beside a new one, %v", n, err)
	}
	write(string(left))
	if _, n, err := e.RemoveLeft(t.Context(), "ann", native); n != 2 || err != nil {
		t.Errorf("%d were removed, %v", n, err)
	}
	if info, err := os.Stat(spool); err != nil || info.Size() != 0 {
		t.Errorf("the file is %+v, %v", info, err)
	}
}
