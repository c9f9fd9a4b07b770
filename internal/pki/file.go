package pki

import (
	"errors"
	"io"

	"plic/internal/vfs"
)

// maxFile bounds what is read: ours have some hundred octets.
const maxFile = 1 << 20

// read gives a whole file, nil if there is none.
func read(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if vfs.NotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// write puts a whole file in place, durably. A secret one is closed to others
// before there is anything in it.
func write(fs vfs.FS, dir, name string, text []byte, secret bool) error {
	path := fs.PathJoin(dir, name)
	f, err := fs.Create(path+".new", vfs.Mail)
	if err != nil {
		return err
	}
	if secret {
		err = vfs.Private(f)
	}
	if err == nil {
		_, err = f.Write(append([]byte(nil), text...)) // Write may change what it is given
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(path+".new", path); err != nil {
		return err
	}
	return vfs.SyncDir(fs, dir)
}
