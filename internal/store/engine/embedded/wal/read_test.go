package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/vfs"
)

// sound is a log in which nothing is wrong yet.
type sound struct {
	files   []soundFile
	records []soundRecord // that of a number is at the index below it
}

type soundFile struct {
	name   string
	first  uint64
	octets []byte
}

type soundRecord struct {
	Record
	file     int
	at, end  int
	synced   uint64
	newGroup bool
}

// newSound writes some groups of records to some files, which were others before.
func newSound(t testing.TB, texts func(n uint64) []byte) *sound {
	t.Helper()
	mem := newDisk(t)
	l := New(Options{FS: mem, Dir: dir, Size: 9 << 10, Ahead: 2 << 10}, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	fill := func(upTo uint64) {
		for l.Next() <= upTo {
			for range 1 + rng.IntN(4) {
				l.Append(texts(l.Next()))
			}
			if err := l.Wait(l.Next() - 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(80)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := Read(mem, dir, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	s := &sound{}
	for i, f := range found.files {
		s.files = append(s.files, soundFile{f.name, f.first, load(t, mem, path(f.name))})
		for _, p := range f.records {
			text := s.files[i].octets[int(p.at)+headSize:][:p.size]
			newGroup := len(s.records) == 0 || s.records[len(s.records)-1].synced != p.synced
			s.records = append(s.records, soundRecord{Record{p.from, p.n, text}, i, int(p.at), int(p.at) + headSize + p.size, p.synced, newGroup})
		}
	}
	if n := l.Next() - 1; len(s.files) < 3 || uint64(len(s.records)) != n || found.Damage() != nil {
		t.Fatalf("%d files, %d records of %d", len(s.files), len(s.records), n)
	}
	return s
}

func someText(n uint64) []byte { return bytes.Repeat([]byte{byte(n), 1}, 5+int(n*37%400)) }

// lastGroup is the first number of what may be missing without damage.
func (s *sound) lastGroup() uint64 {
	i := len(s.records) - 1
	for !s.records[i].newGroup {
		i--
	}
	return s.records[i].N
}

// hurt is a log with a place in a file that is another than it was, and what is to be
// found then.
func (s *sound) hurt(t testing.TB, file, from, to int, octets []byte, after uint64) {
	t.Helper()
	fs := newDisk(t)
	for i, f := range s.files {
		if i != file {
			save(t, fs, path(f.name), f.octets)
		} else if octets != nil {
			save(t, fs, path(f.name), octets)
		}
	}
	s.expect(t, fs, file, from, to, after, octets != nil)
}

// expect reads a log of which a place in a file is wrong, or the file is not there.
func (s *sound) expect(t testing.TB, fs vfs.FS, file, from, to int, after uint64, there bool) {
	t.Helper()
	what := fmt.Sprintf("%d to %d of file %d after %d", from, to, file, after)
	found, err := Read(fs, dir, after, true)
	if err != nil {
		t.Fatal(what, err)
	}
	needed := func(of int) bool {
		next := of + 1
		if next == file && !there {
			next++
		}
		return next >= len(s.files) || s.files[next].first > after+1
	}
	promised, at, lost := uint64(0), 0, []soundRecord(nil)
	for i, f := range s.files {
		if i != file || there {
			promised = max(promised, f.first-1)
		}
	}
	for _, r := range s.records {
		if r.file != file || r.end <= from || r.at >= to || r.N <= after {
			if r.file == file && len(lost) == 0 && (r.end <= from || r.at >= to) {
				at = r.end
			}
			if needed(r.file) && (r.file != file || r.at+headSize <= from || r.at >= to) {
				promised = max(promised, r.synced)
			}
			continue
		}
		lost = append(lost, r)
		if r.at+headSize <= from {
			promised = max(promised, r.synced)
		}
	}
	if found.Promised() != promised {
		t.Fatalf("%s: %d are promised, want %d", what, found.Promised(), promised)
	}
	d := found.Damage()
	switch {
	case (d != nil) != (len(lost) > 0 && lost[0].N <= promised):
		t.Fatalf("%s: %v, lost %d records, promised %d", what, d, len(lost), promised)
	case d != nil && there && (d.File != s.files[file].name || d.At != int64(at)):
		t.Fatalf("%s: %v, want %s at %d", what, d, s.files[file].name, at)
	case to == from+1 && d == nil && len(lost) > 0 && lost[0].N < s.lastGroup():
		t.Fatalf("%s: nobody hears that %d is lost", what, lost[0].N)
	}
	s.given(t, what, found, after, lost)
}

// given says that all is given that is not lost, up to what is not known to have been
// on the disk; and that a mended log holds the same.
func (s *sound) given(t testing.TB, what string, found *Found, after uint64, lost []soundRecord) {
	t.Helper()
	got := all(t, found)
	at := 0
	for _, r := range s.records[after:] {
		if slices.ContainsFunc(lost, func(l soundRecord) bool { return l.N == r.N }) {
			continue
		}
		if at == len(got) && r.N > found.Promised() && len(lost) > 0 && lost[0].N < r.N {
			break // behind what is lost, and nobody was told of it
		}
		if at == len(got) || got[at].From != r.N || got[at].N != r.N || !bytes.Equal(got[at].Text, r.Text) {
			t.Fatalf("%s: %d is not given", what, r.N)
		}
		at++
	}
	if at < len(got) {
		t.Fatalf("%s: %d was given, which is not there", what, got[at].N)
	}
	mend(t, got, after, found.Promised())
}

// TestDamage hurts octets all over the files of a log: either nothing is missing that
// was waited for, or it is said what is damaged, and all else is given.
func TestDamage(t *testing.T) {
	t.Parallel()
	s := newSound(t, someText)
	rng := rand.New(rand.NewPCG(3, 4))
	for i, f := range s.files {
		for at := 0; at < len(f.octets); at += 1 + rng.IntN(40) {
			hurt := bytes.Clone(f.octets)
			hurt[at] ^= 1 << rng.IntN(8)
			s.hurt(t, i, at, at+1, hurt, 0)
			if at%5 == 0 {
				s.hurt(t, i, at, at+1, hurt, uint64(rng.IntN(len(s.records)+1)))
			}
		}
		for range 80 {
			from := rng.IntN(len(f.octets))
			to := from + 1 + rng.IntN(min(len(f.octets)-from, 1+rng.IntN(4<<10)))
			hurt := bytes.Clone(f.octets)
			for at := from; at < to; at++ {
				hurt[at] ^= byte(1 + rng.IntN(255))
			}
			s.hurt(t, i, from, to, hurt, uint64(rng.IntN(len(s.records)/2)))
			s.hurt(t, i, from, len(f.octets), hurt[:from], 0)
		}
	}
}

// TestDamagedHeads hurts each octet of each head, where records are all of one length,
// so that a wrong length may well end where a record does.
func TestDamagedHeads(t *testing.T) {
	t.Parallel()
	s := newSound(t, func(n uint64) []byte { return bytes.Repeat([]byte{byte(n)}, 256-headSize) })
	for _, r := range s.records {
		if !r.newGroup && r.N%3 > 0 {
			continue
		}
		for at := r.at; at < r.at+headSize; at++ {
			hurt := bytes.Clone(s.files[r.file].octets)
			hurt[at] ^= 1 << ((at + int(r.N)) % 8)
			s.hurt(t, r.file, at, at+1, hurt, 0)
		}
	}
}

// TestLostFile takes a file away. That of the newest nobody can know.
func TestLostFile(t *testing.T) {
	t.Parallel()
	s := newSound(t, someText)
	for i, f := range s.files {
		end := len(f.octets)
		s.hurt(t, i, 0, end, nil, 0)
		s.hurt(t, i, 0, end, nil, f.first)
		if i > 0 {
			fs := newDisk(t)
			last := s.files[len(s.files)-1]
			save(t, fs, path(last.name), nil) // just begun
			if i < len(s.files)-1 {
				save(t, fs, path(f.name), f.octets)
			}
			found, err := Read(fs, dir, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			names := found.Files()
			if d := found.Damage(); d == nil || d.File != names[0] || d.At != 0 || found.Promised() != last.first-1 {
				t.Errorf("without those before %s: %v, %d are promised", names[0], d, found.Promised())
			}
		}
	}
}

// badDisk does not give some octets of a file.
type badDisk struct {
	vfs.FS
	name     string
	from, to int64
	reads    *int // how many it gives before
	whole    bool // it cannot even be opened
}

type badFile struct {
	vfs.File
	badDisk
}

func (d badDisk) Open(name string, o ...pebblevfs.OpenOption) (vfs.File, error) {
	f, err := d.FS.Open(name, o...)
	if err != nil || name != d.name {
		return f, err
	}
	if d.whole {
		return nil, fmt.Errorf("open: %w", errors.Join(syscall.EIO, f.Close()))
	}
	return badFile{f, d}, nil
}

func (f badFile) ReadAt(b []byte, at int64) (int, error) {
	if *f.reads--; *f.reads < 0 && at < f.to && at+int64(len(b)) > f.from {
		clear(b[:len(b)/2]) // it may have given something
		return len(b) / 2, fmt.Errorf("read: %w", syscall.EIO)
	}
	return f.File.ReadAt(b, at)
}

// TestUnopened: a file of which the disk gives nothing is one that is unreadable.
func TestUnopened(t *testing.T) {
	t.Parallel()
	s := newSound(t, someText)
	mem := newDisk(t)
	for _, f := range s.files {
		save(t, mem, path(f.name), f.octets)
	}
	for i, f := range s.files {
		fs := badDisk{FS: mem, name: path(f.name), whole: true}
		_, err := Read(fs, dir, 0, false)
		if d, ok := errors.AsType[*Damage](err); !ok || d.File != f.name || d.Cause == nil {
			t.Errorf("%s: %v", f.name, err)
		}
		s.expect(t, fs, i, 0, len(f.octets), 0, true)
	}
}

// TestUnreadable: that the disk does not give octets is said at once; else they are
// taken for zeros, and what is around them is given.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	const sector = 4 << 10
	s := newSound(t, someText)
	mem := newDisk(t)
	for _, f := range s.files {
		save(t, mem, path(f.name), f.octets)
	}
	for i, f := range s.files {
		for from := 0; from < len(f.octets); from += sector {
			to := min(from+sector, len(f.octets))
			fs := badDisk{mem, path(f.name), int64(from), int64(to), new(int), false}
			_, err := Read(fs, dir, 0, false)
			if d, ok := errors.AsType[*Damage](err); !ok || d.File != f.name || d.Cause == nil {
				t.Errorf("%d of %s: %v", from, f.name, err)
			}
			s.expect(t, fs, i, from, to, 0, true)
			if i+1 < len(s.files) {
				if found, err := Read(fs, dir, s.files[i+1].first-1, false); err != nil || found.Last() != uint64(len(s.records)) {
					t.Errorf("%d of %s, of which nothing is needed: %v", from, f.name, err)
				}
			}
			*fs.reads = 1 // it gets bad between
			found, err := Read(fs, dir, 0, false)
			if err != nil {
				t.Fatal(err)
			}
			n := uint64(0)
			err = found.Each(func(r Record) error {
				if n++; !bytes.Equal(r.Text, s.records[n-1].Text) {
					t.Errorf("%d of %s: %d is another", from, f.name, n)
				}
				return nil
			})
			if d, ok := errors.AsType[*Damage](err); err != nil && (!ok || d.File != f.name) || err == nil && n < uint64(len(s.records)) {
				t.Errorf("%d of %s: %d records are given, %v", from, f.name, n, err)
			}
		}
	}
}

// TestRecordInText: what a stranger has written that looks like a record of the log is
// none, even where the record is damaged whose text it is.
func TestRecordInText(t *testing.T) {
	t.Parallel()
	var forged []byte
	for n := range uint64(20) {
		forged = appendRecord(forged, Record{n + 1, n + 1, []byte("forged")})
	}
	for _, name := range []string{"", "0000000000000001" + Suffix, newName(1)} {
		seal(forged, sumOf(name), 5)
		text := func(n uint64) []byte { return append(bytes.Repeat([]byte{1}, int(n)), forged...) }
		s := newSound(t, text)
		for _, r := range s.records[:10] {
			hurt := bytes.Clone(s.files[r.file].octets)
			clear(hurt[r.at:][:headSize])
			s.hurt(t, r.file, r.at, r.at+headSize, hurt, 0)
		}
	}
}

// TestNames: only names of logs are taken for logs.
func TestNames(t *testing.T) {
	t.Parallel()
	fs := newDisk(t)
	for _, name := range []string{"x", "0000000000000000-00000000.wal", "000000000000000g-00000000.wal", newName(7) + ".new", "000007.log", newName(9), newName(8)} {
		save(t, fs, path(name), nil)
	}
	found, err := Read(fs, dir, 7, false)
	if err != nil || len(found.Files()) != 2 || found.Promised() != 8 || found.Last() != 7 || found.Damage() == nil {
		t.Errorf("%q, promised %d, last %d, %v, %v", found.Files(), found.Promised(), found.Last(), found.Damage(), err)
	}
	if first, ok, err := Oldest(fs, dir); first != 8 || !ok || err != nil {
		t.Errorf("oldest: %d, %v, %v", first, ok, err)
	}
	if _, ok, err := Oldest(newDisk(t), dir); ok || err != nil {
		t.Errorf("oldest of none: %v, %v", ok, err)
	}
	if _, err := Read(fs, "/none", 0, false); err == nil {
		t.Error("read a directory that is not there")
	}
}
