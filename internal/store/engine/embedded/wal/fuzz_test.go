package wal

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// reseal makes records of octets: their lengths, numbers and texts are what they are,
// if they can be, and their checksums right.
func reseal(b []byte, name string) []byte {
	b = bytes.Clone(b)
	for rest := b; len(rest) >= headSize; {
		size := min(int(binary.LittleEndian.Uint16(rest[8:])), len(rest)-headSize)
		binary.LittleEndian.PutUint32(rest[8:], uint32(size))
		for _, at := range []int{12, 20, 28} { // of eight octets, those that make numbers which exist
			binary.LittleEndian.PutUint64(rest[at:], binary.LittleEndian.Uint64(rest[at:])&(1<<62-1))
		}
		seal(rest[:headSize+size], sumOf(name), binary.LittleEndian.Uint64(rest[28:]))
		rest = rest[headSize+size:]
	}
	return b
}

// FuzzRead reads anything as the files of a log; what is given of it makes a whole one.
func FuzzRead(f *testing.F) {
	names := [2]string{"0000000000000001-00000000" + Suffix, "0000000000000005-0000000a" + Suffix}
	f.Fuzz(func(t *testing.T, one, two []byte, after uint64, sealed bool, hurt uint16) {
		after &= 1<<62 - 1
		fs := newDisk(t)
		for i, b := range [][]byte{one, two} {
			if sealed {
				b = reseal(b, names[i])
			}
			if at := int(hurt) >> i; at < len(b) && hurt > 0 {
				b = bytes.Clone(b)
				b[at] ^= 1
			}
			save(t, fs, path(names[i]), b)
		}
		found, err := Read(fs, dir, after, false)
		if err != nil {
			t.Fatal(err)
		}
		records := all(t, found)
		have, gap := after, false
		for _, r := range records {
			if r.N < r.From || r.N <= have {
				t.Fatalf("%d to %d behind %d", r.From, r.N, have)
			}
			gap = gap || r.From > have+1
			have = r.N
		}
		if have != found.Last() || (found.Damage() != nil) != (gap || have < found.Promised()) {
			t.Fatalf("%d of %d, promised %d, %v", have, found.Last(), found.Promised(), found.Damage())
		}
		mend(t, records, after, found.Promised())
	})
}

// BenchmarkParse reads what is no log, what was made to look like one, and one of the smallest records.
func BenchmarkParse(b *testing.B) {
	const size = 16 << 20
	name := newName(1)
	random := make([]byte, size)
	for at := range random {
		random[at] = byte(rand.Uint32())
	}
	var heads, cut []byte
	for n := uint64(1); len(heads) < size; n++ {
		heads = appendRecord(heads, Record{n, n, nil})
		cut = appendRecord(cut, Record{n, n, nil})
		h := cut[len(cut)-headSize:]
		binary.LittleEndian.PutUint32(h[8:], 1<<31)
		binary.LittleEndian.PutUint32(h, headSum(h, sumOf(name)))
	}
	whole := bytes.Clone(heads)
	seal(whole, sumOf(name), 0)
	cases := map[string][]byte{
		"zeros": make([]byte, size), "ones": bytes.Repeat([]byte{1}, size), "random": random,
		"wrong checksums": heads, "wrong lengths": cut, "records": whole,
	}
	for what, octets := range cases {
		b.Run(what, func(b *testing.B) {
			b.SetBytes(int64(len(octets)))
			for b.Loop() {
				(&found{name: name, first: 1}).parse(octets)
			}
		})
	}
}
