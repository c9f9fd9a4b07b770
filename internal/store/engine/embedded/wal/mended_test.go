package wal

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// covered are records with others for what is lost of them.
func covered(records []Record, after, promised uint64) (whole []Record) {
	have := after
	for _, r := range append(records, Record{From: promised + 1, N: promised}) {
		if r.From > have+1 {
			whole = append(whole, Record{have + 1, r.From - 1, []byte("gap")})
		}
		if r.N > have && r.N >= r.From {
			whole = append(whole, r)
		}
		have = max(have, r.N)
	}
	return whole
}

// mend reads again what is made of records whose gaps are covered.
func mend(t testing.TB, records []Record, after, promised uint64) {
	t.Helper()
	fs, whole := newDisk(t), covered(records, after, promised)
	if len(whole) == 0 {
		return
	}
	name, octets := Mended(whole)
	save(t, fs, path(name), octets)
	found, err := Read(fs, dir, after, false)
	if err != nil {
		t.Fatal(err)
	}
	again := all(t, found)
	if d, last := found.Damage(), whole[len(whole)-1].N; d != nil || len(again) != len(whole) || found.Last() != last {
		t.Fatalf("mended: %v, %d records of %d, up to %d of %d", d, len(again), len(whole), found.Last(), last)
	}
	for i, r := range again {
		if w := whole[i]; r.From != w.From || r.N != w.N || !bytes.Equal(r.Text, w.Text) {
			t.Fatalf("mended: %d to %d, want %d to %d", r.From, r.N, w.From, w.N)
		}
	}
}

// TestHalfMended: where power fails before the files are gone that were mended, they
// are met as damaged again, or nothing is given but what the mended log holds.
func TestHalfMended(t *testing.T) {
	t.Parallel()
	s := newSound(t, someText)
	again, through := 0, 0
	for i, f := range s.files {
		for n := range 100 {
			fs := newDisk(t)
			for j, other := range s.files {
				octets := bytes.Clone(other.octets)
				if j == i {
					clear(octets[len(octets)*n/100:][:100])
				}
				save(t, fs, path(other.name), octets)
			}
			found, err := Read(fs, dir, 2, false)
			if err != nil || found.Damage() == nil {
				continue
			}
			name, octets := Mended(covered(all(t, found), 2, found.Promised()))
			save(t, fs, path(name), octets)
			for k := range s.files { // of which some are gone
				found, err := Read(fs, dir, 2, false)
				if err != nil {
					t.Fatal(err)
				}
				if d := found.Damage(); d != nil && d.File == f.name {
					again++
				} else if got := all(t, found); d != nil || len(got) == 0 || got[0].From != 3 || found.Last() < found.Promised() {
					t.Errorf("%s mended, %d are gone: %d records up to %d, %v", f.name, k, len(got), found.Last(), d)
				} else {
					through++
				}
				if err := fs.Remove(path(s.files[k].name)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if again == 0 || through == 0 {
		t.Errorf("%d are damaged, %d are not", again, through)
	}
}

// TestLaterFile: what is in a file from the first number of the next one on is not what
// was acknowledged: that is in the next one.
func TestLaterFile(t *testing.T) {
	t.Parallel()
	fs := newDisk(t)
	write := func(first, last uint64, text string) {
		var b []byte
		for n := first; n <= last; n++ {
			b = appendRecord(b, Record{n, n, []byte(text)})
		}
		name := newName(first)
		seal(b, sumOf(name), first-1)
		save(t, fs, path(name), b)
	}
	write(1, 6, "old")
	write(4, 5, "new")
	found, err := Read(fs, dir, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all(t, found) {
		got = append(got, fmt.Sprint(r.N, string(r.Text)))
	}
	if want := []string{"2old", "3old", "4new", "5new"}; !slices.Equal(got, want) || found.Damage() != nil {
		t.Errorf("%q, want %q, %v", got, want, found.Damage())
	}
}

// TestManyLost: a mended log says of any number of records that they are lost.
func TestManyLost(t *testing.T) {
	t.Parallel()
	far := uint64(1) << 62
	mend(t, []Record{{1, 1, []byte("a")}, {far, far, []byte("b")}}, 0, far+5)
}

// TestLeap: who reads behind any number below that of a leap meets no gap.
func TestLeap(t *testing.T) {
	t.Parallel()
	const far = 1 << 50
	mem := newDisk(t)
	l := New(Options{FS: mem, Dir: dir}, 7)
	if err := l.Release(7); err != nil {
		t.Fatal(err)
	}
	l.Leap(far)
	l.Append([]byte("first"))
	if err := l.Wait(l.Append([]byte("second"))); err != nil {
		t.Fatal(err)
	}
	l.Leap(3) // is behind it
	if err := l.Wait(l.Append([]byte("third"))); err != nil || l.Next() != far+3 {
		t.Fatal(l.Next(), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, after := range []uint64{7, 8, far - 1, far, far + 1} {
		found, err := Read(mem, dir, after, false)
		if err != nil {
			t.Fatal(err)
		}
		want := 3 - int(max(after, far-1)-(far-1))
		if d := found.Damage(); d != nil || found.Last() != far+2 || len(all(t, found)) != want {
			t.Errorf("behind %d: %v, last %d, %d records, want %d", after, d, found.Last(), len(all(t, found)), want)
		}
	}
}
