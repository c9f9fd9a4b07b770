package wal

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"syscall"

	"plic/internal/vfs"
)

// Damage says that records are lost that were on the disk.
type Damage struct {
	File  string
	At    int64
	Cause error // of the disk
}

func (d *Damage) Error() string {
	if d.Cause != nil {
		return fmt.Sprintf("log %s cannot be read: %v", d.File, d.Cause)
	}
	return fmt.Sprintf("log %s is damaged at %d, where changes were acknowledged", d.File, d.At)
}

// Record is one of a log. It stands for the numbers from From to N.
type Record struct {
	From, N uint64
	Text    []byte
}

// Found is what is in the files of a directory, behind a number.
type Found struct {
	fs       vfs.FS
	dir      string
	after    uint64
	files    []*found
	promised uint64 // records up to here were on the disk
}

// found is what is sound in a file.
type found struct {
	name    string
	first   uint64
	records []place
}

// place is where a record stands.
type place struct {
	head
	at int64
}

// Oldest is the number of the first record of the oldest file in a directory.
func Oldest(fs vfs.FS, dir string) (first uint64, ok bool, err error) {
	names, err := fs.List(dir)
	for _, name := range names {
		if n, is := firstOf(name); is && (!ok || n < first) {
			first, ok = n, true
		}
	}
	return first, ok, err
}

// Read finds the records behind a number. The disk may give no octets for some of
// them: that is a Damage, or with anyway they are taken for zeros.
func Read(fs vfs.FS, dir string, after uint64, anyway bool) (*Found, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	l := &Found{fs: fs, dir: dir, after: after}
	for _, name := range names {
		if first, ok := firstOf(name); ok {
			l.files = append(l.files, &found{name: name, first: first})
		}
	}
	slices.SortFunc(l.files, func(a, b *found) int { return cmp.Compare(a.first, b.first) })
	for i, f := range l.files {
		l.promised = max(l.promised, f.first-1) // it was begun behind what was on the disk
		if i+1 < len(l.files) && l.files[i+1].first <= after+1 {
			continue // nothing of it is needed
		}
		octets, err := l.load(f.name, anyway)
		if err != nil {
			return nil, err
		}
		l.promised = max(l.promised, f.parse(octets))
	}
	for i, f := range l.files[:max(0, len(l.files)-1)] {
		f.records = slices.DeleteFunc(f.records, func(p place) bool { return p.n >= l.files[i+1].first })
	}
	return l, nil
}

// load reads a file.
func (l *Found) load(name string, anyway bool) ([]byte, error) {
	octets, err := l.read(name, anyway)
	if !errors.Is(err, syscall.EIO) {
		return octets, err
	}
	if anyway {
		return nil, nil // nothing of it is to be had
	}
	return nil, &Damage{File: name, Cause: err}
}

// read reads a file, with anyway over what the disk does not give.
func (l *Found) read(name string, anyway bool) ([]byte, error) {
	file, err := l.fs.Open(l.fs.PathJoin(l.dir, name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	octets := make([]byte, info.Size())
	_, err = file.ReadAt(octets, 0)
	if anyway && errors.Is(err, syscall.EIO) {
		const sector = 4 << 10
		for at := 0; at < len(octets); at += sector {
			part := octets[at:min(at+sector, len(octets))]
			if _, err = file.ReadAt(part, int64(at)); errors.Is(err, syscall.EIO) {
				clear(part)
				err = nil
			}
			if err != nil {
				break
			}
		}
	}
	if err == io.EOF { // it has become shorter
		err = nil
	}
	return octets, err
}

// parse finds the records of a file, and up to which number they say that the log
// was on the disk. Where there is no head, it goes on at the next octet.
func (f *found) parse(b []byte) (promised uint64) {
	file, next := sumOf(f.name), f.first
	for at := 0; at+headSize <= len(b); {
		if !mayBeHead(b[at:at+headSize], next) {
			at++
			continue
		}
		h, ok := parseHead(b[at:], file)
		promised = max(promised, h.synced)
		if !ok || h.size > len(b)-at-headSize {
			at++
			continue
		}
		end := at + headSize + h.size
		if crc32.Checksum(b[at+headSize:end], castagnoli) == h.sum {
			f.records = append(f.records, place{h, int64(at)})
		}
		at, next = end, h.n+1
	}
	return promised
}

// Last is the last record that is there, or the number that was asked for.
func (l *Found) Last() (n uint64) {
	n = l.after
	l.each(func(_ *found, p place) bool {
		n = p.n
		return true
	})
	return n
}

// each goes through the places of what counts: up to the first gap, or if that is in
// what was on the disk, on behind it.
func (l *Found) each(do func(*found, place) bool) {
	have := l.after
	for _, f := range l.files {
		for _, p := range f.records {
			if p.n <= have {
				continue
			}
			if p.from > max(have, l.promised)+1 {
				return // nothing from here on was acknowledged
			}
			if have = p.n; !do(f, p) {
				return
			}
		}
	}
}

// Promised is the number up to which records were on the disk, as far as it is known.
func (l *Found) Promised() uint64 { return l.promised }

// Damage says where the first record is lost that was on the disk.
func (l *Found) Damage() *Damage {
	have := l.after
	l.each(func(_ *found, p place) bool {
		if p.from > have+1 {
			return false
		}
		have = p.n
		return true
	})
	if have >= l.promised {
		return nil
	}
	d := &Damage{}
	for _, f := range l.files {
		if d.File != "" && f.first > have+1 {
			break
		}
		*d = Damage{File: f.name}
		for _, p := range f.records {
			if p.n <= have {
				d.At = p.at + headSize + int64(p.size)
			}
		}
	}
	return d
}

// Each gives the records, in order; a gap in their numbers is damage.
func (l *Found) Each(do func(Record) error) (err error) {
	var octets []byte
	var of *found
	l.each(func(f *found, p place) bool {
		if f != of {
			if octets, err = l.load(f.name, true); err != nil {
				return false
			}
			of = f
		}
		end := int(p.at) + headSize + p.size
		if end > len(octets) || crc32.Checksum(octets[end-p.size:end], castagnoli) != p.sum {
			err = &Damage{File: f.name, At: p.at} // since it was read first
			return false
		}
		err = do(Record{From: p.from, N: p.n, Text: octets[end-p.size : end : end]})
		return err == nil
	})
	return err
}

// Files are the names of all files.
func (l *Found) Files() (names []string) {
	for _, f := range l.files {
		names = append(names, f.name)
	}
	return names
}

// Octets are all of a file, with zeros for what the disk does not give.
func (l *Found) Octets(name string) ([]byte, error) { return l.load(name, true) }

// Mended is a file of records, which say of themselves that they are on the disk, and
// its name.
func Mended(records []Record) (name string, octets []byte) {
	for _, r := range records {
		octets = appendRecord(octets, r)
	}
	name = newName(records[0].From)
	seal(octets, sumOf(name), records[len(records)-1].N)
	return name, octets
}
