package mbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// The locks that programs take.
const (
	lockDot   = "dotlock"
	lockFcntl = "fcntl"
	lockFlock = "flock"
)

const (
	lockTry   = 50 * time.Millisecond
	lockStale = 5 * time.Minute // a dotlock of nobody whom we know
)

// locked is a file that is locked.
type locked struct {
	use     sync.RWMutex // held for writing to end it
	file    vfs.File     // nil if there is none
	old     []vfs.File   // that it has replaced; their locks are still held
	release func()
}

// follow goes on with the file that was put in the place of the locked one.
func (l *locked) follow(next vfs.File) {
	l.old = append(l.old, l.file)
	l.file = next
}

func (l *locked) close() {
	for _, f := range append(l.old, l.file) {
		f.Close()
	}
}

// lock takes the locks of a file in their order. It opens the file after the
// first of them, so that it is not one that another program is replacing.
func (b *box) lock(ctx context.Context, shared bool) (*locked, error) {
	ctx, cancel := context.WithTimeout(ctx, b.t.wait)
	defer cancel()
	free, err := b.t.f.alone(ctx, b.p.pathOf(b.at))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.p.pathOf(b.at), err)
	}
	l := &locked{}
	var undo []func()
	l.release = func() {
		for i := len(undo) - 1; i >= 0; i-- {
			undo[i]()
		}
		free()
	}
	open := func() error {
		if l.file != nil {
			return nil
		}
		var err error
		if shared {
			l.file, err = b.p.Open(b.at)
		} else {
			l.file, err = b.p.OpenReadWrite(b.at, vfs.Mail)
		}
		if err == nil {
			undo = append(undo, l.close)
		}
		return err
	}
	for _, how := range b.t.locks {
		switch {
		case how == lockDot && shared && len(b.t.locks) > 1:
			continue // readers agree on the others
		case how == lockDot:
			err = b.dotlock(ctx)
			if err == nil {
				undo = append(undo, func() { _ = b.p.Remove(b.at + lockSuffix) })
			}
		default:
			if err = open(); err == nil {
				err = try(ctx, func() (bool, error) { return vfs.TryLock(l.file, how == lockFlock, shared) })
			}
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		err = open()
	}
	if err != nil {
		l.release()
		if errors.Is(err, context.DeadlineExceeded) {
			err = engine.ErrLocked
		}
		return nil, fmt.Errorf("%s: %w", b.p.pathOf(b.at), err)
	}
	return l, nil
}

// try tries until something can be had.
func try(ctx context.Context, take func() (bool, error)) error {
	tick := time.NewTicker(lockTry)
	defer tick.Stop()
	for {
		ok, err := take()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// alone keeps others of this process from a file.
func (f *Format) alone(ctx context.Context, path string) (free func(), err error) {
	for {
		f.mu.Lock()
		other := f.held[path]
		if other == nil {
			mine := make(chan struct{})
			f.held[path] = mine
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				delete(f.held, path)
				f.mu.Unlock()
				close(mine)
			}, nil
		}
		f.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// dotlock makes the file beside the mailbox that says that it is locked. One
// whose program is there no more, or that is very old, is taken away.
func (b *box) dotlock(ctx context.Context) error {
	temp := b.at + "." + mail.NewID(b.t.f.o.Now()).String() + lockSuffix
	f, err := b.p.Create(temp, vfs.Mail)
	if err != nil {
		return err
	}
	defer func() { _ = b.p.Remove(temp) }()
	_, err = f.Write([]byte(strconv.Itoa(os.Getpid()) + "\n"))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	take := func() (bool, error) {
		err := b.p.Link(temp, b.at+lockSuffix)
		if errors.Is(err, fs.ErrExist) {
			return false, nil
		}
		return err == nil, err
	}
	return try(ctx, func() (bool, error) {
		if ok, err := take(); ok || err != nil || !b.abandoned() {
			return ok, err
		}
		if err := b.p.Remove(b.at + lockSuffix); err != nil && !vfs.NotExist(err) {
			return false, err
		}
		return take()
	})
}

// abandoned says that a dotlock is left of a program that has ended. Nobody of
// this process has it.
func (b *box) abandoned() bool {
	info, err := b.p.Stat(b.at + lockSuffix)
	if err != nil {
		return false
	}
	text, err := readFile(b.p, b.at+lockSuffix)
	if err != nil {
		return false
	}
	word, host, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	if own, err := os.Hostname(); host != "" && (err != nil || host != own) {
		word = "" // we do not see the processes of other hosts
	}
	if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
		return pid == os.Getpid() || b.p.disk && !vfs.Alive(pid)
	}
	return !b.p.disk || b.t.f.o.Now().Sub(info.ModTime()) > lockStale
}
