package vfs

import "io"

// copyThrough copies octets by reading and writing them.
func copyThrough(to, from File, at, size int64) error {
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, io.NewSectionReader(from, at, size), make([]byte, min(size, 1<<20)+1))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return err
}
