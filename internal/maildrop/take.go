package maildrop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"plic/internal/mail"
	"plic/internal/vfs"
)

// Taker takes letters for the server.
type Taker struct {
	FS  vfs.FS
	Dir string
	// Take makes a letter of a user, -1 if nobody knows whose, safe. Taking one
	// again that was taken must do nothing. A permanent mail.Status drops it.
	Take func(ctx context.Context, uid int, l *Letter, message io.Reader) error
	Log  *slog.Logger
	// Pause is the time between two looks into the directory; 5 s if zero.
	Pause time.Duration
	// Patience is how long a program may say nothing; 1 min if zero.
	Patience time.Duration

	told map[string]string // trouble with letters that wait, told once
}

// maxConns bounds the programs that hand in at the same time; others wait.
const maxConns = 50

// Prepare makes the directory, which anybody may leave letters in.
func (t *Taker) Prepare() error {
	if err := vfs.MakeDir(t.FS, filepath.Join(t.Dir, folder)); err != nil {
		return err
	}
	// As in /tmp nobody removes what is another's; but nobody lists it either.
	return errors.Join(os.Chmod(t.Dir, 0o755), os.Chmod(filepath.Join(t.Dir, folder), 0o733|os.ModeSticky))
}

// Run takes what was left, again and again until ctx ends.
func (t *Taker) Run(ctx context.Context) error {
	pause := t.Pause
	if pause == 0 {
		pause = 5 * time.Second
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		t.Collect(ctx)
		timer.Reset(pause)
	}
}

// Collect takes what was left in the directory, one caller at a time.
func (t *Taker) Collect(ctx context.Context) {
	dir := filepath.Join(t.Dir, folder)
	names, err := t.FS.List(dir)
	if err != nil {
		t.Log.Error("the maildrop cannot be read", "dir", dir, "error", err)
		return
	}
	for _, name := range names {
		if ctx.Err() != nil {
			return
		}
		path := filepath.Join(dir, name)
		if strings.HasPrefix(name, ".") {
			t.sweep(path)
			continue
		}
		switch err := t.file(ctx, path, name); {
		case err == nil:
			delete(t.told, name)
		case permanent(err):
			t.Log.Error("a letter in the maildrop is refused and put aside", "file", path, "error", err)
			if err := t.FS.Rename(path, filepath.Join(t.Dir, "bad."+name)); err != nil {
				t.Log.Error("and cannot be", "file", path, "error", err)
			}
		case t.told[name] != err.Error():
			if t.told == nil || len(t.told) > 1000 {
				t.told = map[string]string{}
			}
			t.told[name] = err.Error()
			t.Log.Error("a letter in the maildrop cannot be taken now", "file", path, "error", err)
		}
	}
}

// sweep removes what was begun and never finished.
func (t *Taker) sweep(path string) {
	const old = 24 * time.Hour
	if i, err := os.Lstat(path); err == nil && time.Since(i.ModTime()) > old {
		t.FS.Remove(path)
	}
}

// permanent says that a letter will never be taken.
func permanent(err error) bool {
	return errors.Is(err, errNoLetter) || mail.StatusOf(err).Class() == mail.Permanent
}

// file takes one letter from the directory and removes it.
func (t *Taker) file(ctx context.Context, path, name string) error {
	before, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// Whoever may make names here may make them of other things.
	if !before.Mode().IsRegular() || links(before) != 1 {
		return fmt.Errorf("%w: it is no plain file", errNoLetter)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(before, now) {
		return errors.New("the file was changed while it was opened")
	}
	l, message, err := read(f)
	if err != nil {
		return err
	}
	if l.Token.String() != name {
		return fmt.Errorf("%w: its name is not its own", errNoLetter)
	}
	err = t.Take(ctx, owner(now), l, &whole{message, l.Size})
	if errors.Is(err, io.ErrUnexpectedEOF) { // sendmail gives no half one a name
		return fmt.Errorf("%w: half of it is missing", errNoLetter)
	}
	if err != nil {
		return err
	}
	if err := t.FS.Remove(path); err != nil {
		return err
	}
	return vfs.SyncDir(t.FS, filepath.Join(t.Dir, folder))
}

// Serve takes what programs send until ctx ends, and closes the listener.
func (t *Taker) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var all sync.WaitGroup
	defer all.Wait()
	places := make(chan struct{}, maxConns)
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("maildrop: %w", err)
		}
		all.Go(func() {
			defer func() { <-places }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
			t.conn(context.WithoutCancel(ctx), conn)
		})
	}
}

// conn takes one letter from a connection.
func (t *Taker) conn(ctx context.Context, conn net.Conn) {
	patience := t.Patience
	if patience == 0 {
		patience = time.Minute
	}
	defer func() {
		if p := recover(); p != nil {
			t.Log.Error("panic while a letter was taken", "panic", p)
		}
	}()
	p := &patient{conn, patience}
	l, message, err := read(bufio.NewReaderSize(p, 32<<10))
	if err == nil {
		err = t.Take(ctx, peer(conn), l, &whole{message, l.Size})
	}
	a := answer{Status: mail.Reply(250, "2.0.0", "taken")}
	if err != nil {
		if a.Status = mail.StatusOf(err); errors.Is(err, errNoLetter) {
			a.Status = mail.Reply(554, "5.5.0", "this is no letter")
		}
		t.Log.Warn("a letter was not taken", "error", err)
	}
	text, err := json.Marshal(a)
	if err == nil {
		p.Write(append(text, '\n'))
	}
}

// whole reads a message of known size: less of it is an error.
type whole struct {
	io.Reader
	left int64
}

// Read reads on.
func (w *whole) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.left -= int64(n)
	if err == io.EOF && w.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Holds says that a letter of a token lies in the directory, by the name that
// Take's user gives it: "uid/token".
func (t *Taker) Holds(name string) bool {
	_, token, _ := strings.Cut(name, "/")
	_, err := os.Lstat(filepath.Join(t.Dir, folder, token))
	return err == nil
}
