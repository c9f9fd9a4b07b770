package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// texts are of many kinds, so that all kinds of blocks come about.
func texts() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	few := make([]byte, 100_000)
	for i := range few {
		few[i] = "abcd\r\n"[random.IntN(6)]
	}
	return map[string][]byte{
		"one": []byte("x"), "command": []byte("a1 NOOP\r\n"), "zeros": make([]byte, 300_000), "noise": noise, "few": few,
		"words": bytes.Repeat([]byte("* 1 FETCH (FLAGS (\\Seen) UID 17)\r\n"), 3000),
		"mixed": bytes.Join([][]byte{few[:50_000], noise[:40_000], few[50_000:], make([]byte, 70_000), noise[40_000:]}, nil),
	}
}

// What the standard library writes is read, octet by octet or at once.
func TestReader(t *testing.T) {
	t.Parallel()
	for name, text := range texts() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, 6, flate.BestCompression} {
			var packed bytes.Buffer
			w, err := flate.NewWriter(&packed, level)
			if err != nil {
				t.Fatal(err)
			}
			for rest := text; len(rest) > 0; rest = rest[min(len(rest), 7000):] {
				w.Write(rest[:min(len(rest), 7000)])
				w.Flush()
			}
			w.Close()
			for kind, src := range map[string]io.Reader{
				"whole": bytes.NewReader(packed.Bytes()), "octets": iotest.OneByteReader(bytes.NewReader(packed.Bytes())),
			} {
				got, err := io.ReadAll(NewReader(src))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("%s, level %d, %s: %d octets of %d, %v", name, level, kind, len(got), len(text), err)
				}
			}
		}
	}
}

// What the Writer writes is read by the standard library, and all that was
// written can be read before more is.
func TestWriter(t *testing.T) {
	t.Parallel()
	for name, text := range texts() {
		var packed bytes.Buffer
		var all bytes.Buffer
		w := NewWriter(io.MultiWriter(&packed, &all))
		ours, theirs := NewReader(&packed), flate.NewReader(&all)
		for i, rest := 0, text; len(rest) > 0; i++ {
			piece := rest[:min(len(rest), 1+i*i*97%20_000)]
			rest = rest[len(piece):]
			if n, err := w.Write(piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
			if i%5 == 4 {
				w.Rest()
			}
			for _, r := range []io.Reader{ours, theirs} {
				got := make([]byte, len(piece))
				if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, piece) {
					t.Fatalf("%s: piece %d of %d octets: %v", name, i, len(piece), err)
				}
			}
		}
	}
}

// A client that takes 32 KiB out of what it has read, and then waits for the
// network, has all: each piece that is sent holds less, and ends at a whole octet.
func TestWriterPieces(t *testing.T) {
	t.Parallel()
	for name, text := range texts() {
		sent := &pieces{}
		if n, err := NewWriter(sent).Write(text); n != len(text) || err != nil {
			t.Fatal(name, n, err)
		}
		var all bytes.Buffer
		r := flate.NewReader(&all)
		for rest := text; len(rest) > 0; *sent = (*sent)[1:] {
			if len(*sent) == 0 {
				t.Fatalf("%s: %d octets are not sent", name, len(rest))
			}
			all.Write((*sent)[0])
			got, err := io.ReadAll(r)
			if !errors.Is(err, io.ErrUnexpectedEOF) { // the stream has no end
				t.Fatal(name, err)
			}
			if len(got) == 0 || len(got) >= 32<<10 || !bytes.HasPrefix(rest, got) {
				t.Errorf("%s: a piece of %d octets, before %d more", name, len(got), len(rest))
			}
			rest = rest[len(got):]
			r.(flate.Resetter).Reset(&all, text[:len(text)-len(rest)])
		}
	}
}

// pieces are what was written, each by itself.
type pieces [][]byte

func (s *pieces) Write(p []byte) (int, error) {
	*s = append(*s, bytes.Clone(p))
	return len(p), nil
}

// zlib's partial flush ends in the midst of an octet, before an empty block
// that is not byte aligned (RFC 4978 lets clients use it): what was flushed
// must be there at once.
func TestPartialFlush(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	const script = `
import sys, zlib
z = zlib.compressobj(6, zlib.DEFLATED, -15)
for line in sys.stdin.buffer:
    data = z.compress(line) + z.flush(zlib.Z_PARTIAL_FLUSH if hasattr(zlib, "Z_PARTIAL_FLUSH") else 1)
    sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
`
	lines := []string{"a NOOP\r\n", "b SELECT INBOX\r\n", "c NOOP\r\n", "d FETCH 1:* (FLAGS ENVELOPE)\r\n", "e NOOP\r\n"}
	cmd := exec.Command("python3", "-c", script)
	cmd.Stdin = strings.NewReader(strings.Join(lines, ""))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	r := NewReader(&packed)
	for _, line := range lines {
		n := int(out[2])<<8 | int(out[3])
		packed.Write(out[4 : 4+n])
		out = out[4+n:]
		got := make([]byte, len(line))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != line {
			t.Fatalf("got %q, %v; want %q", got, err, line)
		}
	}
}

// A deadline in the midst of a block loses nothing.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	text := texts()["mixed"]
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 6)
	w.Write(text)
	w.Close()
	src := &stutter{r: &packed}
	r := NewReader(src)
	var got []byte
	buf := make([]byte, 1000)
	failures := 0
	for {
		n, err := r.Read(buf)
		got = append(got, buf[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			failures++
			continue
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, text) || failures < 100 {
		t.Errorf("%d octets of %d after %d failures", len(got), len(text), failures)
	}
}

// stutter fails every other time.
type stutter struct {
	r io.Reader
	n int
}

func (s *stutter) Read(p []byte) (int, error) {
	if s.n++; s.n%2 == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return s.r.Read(p[:1+s.n%min(len(p), 50)])
}

func TestCorrupt(t *testing.T) {
	t.Parallel()
	for name, packed := range map[string]string{
		"type 3":             "\x07",
		"stored length":      "\x01\x01\x00\x01\x00x",
		"before all":         "\x03\x02\x00\x00\x00", // a match at the beginning
		"too many lengths":   "\xfd\xff\xff\xff\xff\xff",
		"oversubscribed":     "\x05\x00\xff\xff\xff\xff\xff\xff\xff\xff",
		"plain text":         "a NOOP\r\nb NOOP\r\nc NOOP\r\n",
		"a repeat of naught": "\x04\x00\x02\x00\x00\x00\x00\x00\x00\x00",
	} {
		if got, err := io.ReadAll(NewReader(strings.NewReader(packed))); err == nil {
			t.Errorf("%s: taken as %q", name, got)
		}
	}
	r := NewReader(strings.NewReader("\x07"))
	for range 2 {
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	}
}

// FuzzReader compares with the standard library.
func FuzzReader(f *testing.F) {
	for _, text := range []string{"", "x", "a NOOP\r\na NOOP\r\n", strings.Repeat("abcab", 300)} {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 9} {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, level)
			io.WriteString(w, text)
			w.Flush()
			io.WriteString(w, text)
			w.Close()
			f.Add(b.Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limit = 1 << 20
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), limit))
		got, err := io.ReadAll(io.LimitReader(NewReader(iotest.HalfReader(bytes.NewReader(packed))), limit))
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, want %v", err, wantErr)
		}
		if err == nil && !bytes.Equal(got, want) || !bytes.HasPrefix(got, want) {
			t.Fatalf("got %d octets, want %d", len(got), len(want))
		}
	})
}

// A connection at rest keeps what was said, and nothing else.
func TestMemory(t *testing.T) {
	const conns = 200
	kept := make([]*Conn, 0, conns)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range conns {
		ours, theirs := net.Pipe()
		c := NewConn(ours)
		go func() {
			NewWriter(theirs).Write([]byte("a NOOP\r\n"))
			for b := make([]byte, 64); ; {
				if _, err := theirs.Read(b); err != nil {
					return
				}
			}
		}()
		if _, err := c.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		c.Write(make([]byte, 100_000))
		c.Rest()
		c.SetReadDeadline(time.Now())
		kept = append(kept, c)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / conns; each > 12<<10 {
		t.Errorf("%d octets for each connection", each)
	}
	for _, c := range kept {
		c.Close()
	}
}

func BenchmarkReader(b *testing.B) {
	text := bytes.Repeat(texts()["few"], 10)
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 6)
	w.Write(text)
	w.Close()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		io.Copy(io.Discard, NewReader(bytes.NewReader(packed.Bytes())))
	}
}
