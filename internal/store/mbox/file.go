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
	f, err := p.Create(next, vfs.Mail)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Clone(text))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := p.Rename(next, name); err != nil {
		return err
	}
	return vfs.SyncDir(p, p.PathDir(name))
}
