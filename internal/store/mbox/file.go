package mbox

import (
	"bytes"
	"errors"
	"io"

	"plic/internal/vfs"
)

func readFile(p place, name string) ([]byte, error) {
	f, err := p.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// replaceFile puts a small file in the place of another, durably.
func replaceFile(p place, name string, text []byte) error {
	next := name + ".new"
	if err := p.Remove(next); err != nil && !vfs.NotExist(err) {
		return err
	}
	if err := copyTo(p, next, bytes.NewReader(text)); err != nil {
		return err
	}
	if err := p.Rename(next, name); err != nil {
		return err
	}
	return vfs.SyncDir(p, p.PathDir(name))
}

// copyTo makes a file, durably.
func copyTo(p place, name string, from io.Reader) error {
	f, err := p.Create(name, vfs.Mail)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = p.Remove(name)
		return err
	}
	return vfs.SyncDir(p, p.PathDir(name))
}
