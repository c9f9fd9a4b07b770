package mbox

import (
	"errors"
	"io"
	"io/fs"
	"path"

	"plic/internal/mail"
	"plic/internal/vfs"
)

// replace writes another file in the place of the locked one, with its owner and
// mode, and goes on with it.
func (b *box) replace(l *locked, write func(next vfs.File) error) error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	temp := b.at + "." + mail.NewID(b.t.f.o.Now()).String() + lockSuffix // no mailbox
	next, err := b.p.Create(temp, vfs.Mail)
	if err != nil {
		return err
	}
	err = vfs.Like(next, fs.FileInfo(info))
	if err == nil {
		err = write(next)
	}
	if err == nil {
		err = next.Sync()
	}
	if err := errors.Join(err, next.Close()); err != nil {
		_ = b.p.Remove(temp)
		return err
	}
	if next, err = b.p.OpenReadWrite(temp, vfs.Mail); err == nil {
		err = b.p.Rename(temp, b.at)
	}
	if err != nil {
		if next != nil {
			next.Close()
		}
		_ = b.p.Remove(temp)
		return err
	}
	l.follow(next)
	return vfs.SyncDir(b.p, b.p.PathDir(b.at))
}

// cut takes what is behind a size away. What is known of the file is forgotten.
func (b *box) cut(l *locked, size int64) error {
	b.forget()
	err := vfs.Truncate(l.file, size)
	if errors.Is(err, vfs.ErrNoTruncate) {
		f := l.file
		return b.replace(l, func(next vfs.File) error { return vfs.Copy(next, f, 0, size) })
	}
	return errors.Join(err, l.file.Sync())
}

// fresh reads what may have changed, before the file is changed. A message whose
// writing a crash has cut short is moved out of the file: whoever sent it was told
// nothing, and sends it again. b.mu is held, and the locks for writing.
func (b *box) fresh(l *locked) error {
	if err := b.refresh(l.file); err != nil || b.tail == 0 {
		return err
	}
	at := b.stamp.size - b.tail
	name := path.Join(ownDir, "torn-"+mail.NewID(b.t.f.o.Now()).String())
	err := vfs.MakeDir(b.t.root, ownDir)
	if err == nil {
		err = copyTo(b.t.root, name, io.NewSectionReader(l.file, at, b.tail))
	}
	if err != nil {
		return err
	}
	b.t.f.o.Log.Warn("the end of a message is missing, as after a crash: what there is of it was set aside",
		"mailbox", b.p.pathOf(b.at), "at", at, "octets", b.tail, "file", b.t.root.pathOf(name))
	if err := b.cut(l, at); err != nil {
		return err
	}
	return b.refresh(l.file)
}
