package message_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"plic/internal/message"
)

// counted counts the octets that are read.
type counted struct {
	*bytes.Reader
	n int64
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.n += int64(n)
	return n, err
}

func busy() error { return nil }

// Octets of the midst of a body are as they are in the whole, and to have them little
// of it is read.
func TestDecodedFrom(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	draw := func(alphabet string, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[random.IntN(len(alphabet))]
		}
		return b
	}
	for name, body := range map[string][]byte{
		"nothing":      nil,
		"short":        []byte("QUJD"),
		"lines":        []byte(strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", 30_000)),
		"out of step":  []byte("Q" + strings.Repeat("QUJD", 600_000)),
		"odd":          draw("QUJDx=\r\n *\x00", 1_000_000),
		"escapes":      draw("=0A9F \t\r\nab", 1_000_000),
		"spaces":       []byte(strings.Repeat(" ", 1_000_000)),
		"soft line":    []byte(strings.Repeat("=   \r\n", 200_000)),
		"noughts only": make([]byte, 500_000),
	} {
		for _, encoding := range []string{"base64", "quoted-printable", "8bit"} {
			src := &counted{Reader: bytes.NewReader(body)}
			section := io.NewSectionReader(src, 0, int64(len(body)))
			whole, err := io.ReadAll(message.DecodeBody(bytes.NewReader(body), encoding))
			if err != nil {
				t.Fatal(err)
			}
			d, err := message.GoThrough(section, encoding, busy)
			if err != nil {
				t.Fatal(name, encoding, err)
			}
			if d.Size != int64(len(whole)) || d.NUL != (bytes.IndexByte(whole, 0) >= 0) {
				t.Errorf("%s %s: %d octets, NUL %v; want %d", name, encoding, d.Size, d.NUL, len(whole))
			}
			for i := range 50 {
				off := len(whole) * i / 50
				src.n = 0
				r, err := d.From(section, int64(off))
				if err != nil {
					t.Fatal(name, encoding, err)
				}
				want := whole[off:min(off+1000, len(whole))]
				got := make([]byte, len(want))
				if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) {
					t.Fatalf("%s %s: at %d of %d: %.60q %v, want %.60q", name, encoding, off, len(whole), got, err, want)
				}
				if src.n > 128<<10 {
					t.Errorf("%s %s: %d octets were read for %d at %d", name, encoding, src.n, len(want), off)
				}
			}
		}
	}
}

// Who goes through a body rests in its midst, may end it there, and hears of a body
// that is shorter than it was said.
func TestGoThroughEnds(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("QUJD"), 1<<20)
	steps := 0
	_, err := message.GoThrough(io.NewSectionReader(bytes.NewReader(body), 0, int64(len(body))), "base64", func() error {
		if steps++; steps == 100 {
			return context.Canceled
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, err = message.GoThrough(io.NewSectionReader(bytes.NewReader(body), 0, int64(len(body))+1), "base64", busy)
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that ends too early: %v", err)
	}
}

// FuzzDecodedFrom: whatever a body holds, octets of its midst are as in the whole.
func FuzzDecodedFrom(f *testing.F) {
	f.Add([]byte("a=3Db=\r\nc \r\n=ZZ"), uint32(77))
	f.Add([]byte("SGVs*bG8=\r\nIQ=="), uint32(1<<20))
	f.Fuzz(func(t *testing.T, in []byte, at uint32) {
		if len(in) == 0 {
			return
		}
		body := bytes.Repeat(in, (150<<10)/len(in)+1)
		section := io.NewSectionReader(bytes.NewReader(body), 0, int64(len(body)))
		for _, encoding := range []string{"base64", "quoted-printable"} {
			whole, _ := io.ReadAll(message.DecodeBody(bytes.NewReader(body), encoding))
			d, err := message.GoThrough(section, encoding, busy)
			if err != nil || d.Size != int64(len(whole)) {
				t.Fatal(fmt.Sprint(d, err), len(whole))
			}
			off := int64(at) % (d.Size + 1)
			r, err := d.From(section, off)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, whole[off:]) {
				t.Fatalf("%s from %d: %v", encoding, off, err)
			}
		}
	})
}
