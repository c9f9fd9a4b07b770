package wal

import "plic/internal/vfs"

// file is one that is written.
//
// A sync of a file that grows waits for the disk twice: for the octets, and for
// where the file ends now. So a file is filled with zeros some way ahead, and most
// syncs are of octets alone, as those of a file that is used again. Where much is
// written at once that does not pay.
type file struct {
	vfs.File
	o      *Options
	name   string
	sum    uint32 // of its name
	at     int64  // where the next record goes
	filled int64  // the file holds something up to here
	zeros  []byte
}

func (f *file) write(text []byte) error {
	f.fill(int64(len(text)))
	if _, err := f.Write(text); err != nil {
		return err
	}
	f.at += int64(len(text))
	f.filled = max(f.filled, f.at)
	return f.SyncData()
}

// fill fills the file ahead of a write of n octets, if that pays. It need not
// come about.
func (f *file) fill(n int64) {
	if f.at+n <= f.filled || n > f.o.Ahead/2 || f.o.Room(f.o.Ahead) != nil {
		return
	}
	if f.zeros == nil {
		f.zeros = make([]byte, f.o.Ahead)
	}
	clear(f.zeros) // a write may change what it is given
	from := max(f.at, f.filled)
	if n, err := f.WriteAt(f.zeros, from); err == nil {
		f.filled = from + int64(n)
	}
}
