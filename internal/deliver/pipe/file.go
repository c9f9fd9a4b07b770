package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/vfs"
)

// errLocked is why a file cannot be written to now.
var errLocked = errors.New("the file is locked by another program")

// append adds the message to a file in mbox form, durably, or leaves the file
// as it was but for a torn end after a crash.
func (t *Transport) append(ctx context.Context, name string, m *message) mail.Outcome {
	if i, err := os.Lstat(name); err == nil && !i.Mode().IsRegular() {
		return outcome(mail.Reply(550, "5.2.0", "the mailbox is no file"), fmt.Errorf("%s is %s", name, i.Mode().Type()))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(err)
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	f, info, err := t.open(ctx, name)
	if err != nil {
		return unwritable(err)
	}
	defer f.Close()
	w := &writer{f: f, at: info.Size()}
	head := m.fromLine() + m.trace()
	if w.at > 0 {
		end := make([]byte, 2)
		if _, err := f.ReadAt(end, max(0, w.at-2)); err != nil && err != io.EOF {
			return unwritable(err)
		}
		if string(end) != "\n\n" { // somebody else was torn off
			head = "\n\n" + head
		}
	}
	_, err = io.Copy(w, io.MultiReader(strings.NewReader(head), m.read(true), strings.NewReader("\n\n")))
	if err == nil {
		err = f.Sync()
	}
	if err == nil && info.Size() == 0 {
		err = vfs.SyncDir(t.o.FS, t.o.FS.PathDir(name))
	}
	if err != nil {
		w.undo(info.Size())
		return unwritable(err)
	}
	return mail.Outcome{Status: mail.Reply(250, "2.0.0", "appended to the file"), Remote: name}
}

// open opens a file and locks it. Who had locked it before may have put another in
// its place: then that one is meant.
func (t *Transport) open(ctx context.Context, name string) (vfs.File, fs.FileInfo, error) {
	const tries = 20
	for range tries {
		f, err := t.o.FS.OpenReadWrite(name, vfs.Mail)
		if err != nil {
			return nil, nil, err
		}
		err = lock(ctx, f)
		var mine, there fs.FileInfo
		if err == nil {
			mine, err = f.Stat()
		}
		if err == nil {
			there, err = t.o.FS.Stat(name)
		}
		if err == nil && vfs.Inode(mine) == vfs.Inode(there) {
			return f, mine, nil
		}
		if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	return nil, nil, errLocked
}

func unwritable(err error) mail.Outcome {
	return outcome(mail.Reply(451, "4.2.0", "the mailbox cannot be written to now"), err)
}

// lock waits a while for the lock of a file.
func lock(ctx context.Context, f vfs.File) error {
	const wait, pause = 10 * time.Second, 50 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	for waited := time.Duration(0); waited < wait; waited += pause {
		if ok, err := vfs.TryLock(f, false, false); ok || err != nil {
			return err
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	return errLocked
}

// writer writes at the end of a file. What failed may have been written up to end: a
// file does not always tell how much there was room for.
type writer struct {
	f       vfs.File
	at, end int64
}

// undo takes away what is behind a size, if nobody else has written more: the next
// try would leave as much again.
func (w *writer) undo(size int64) {
	if info, err := w.f.Stat(); err == nil && info.Size() > size && info.Size() <= w.end {
		_ = vfs.Truncate(w.f, size) // a crash may leave it, too
	}
}

// Write appends.
func (w *writer) Write(p []byte) (int, error) {
	w.end = w.at + int64(len(p))
	n, err := w.f.WriteAt(p, w.at)
	w.at += int64(n)
	return n, err
}
