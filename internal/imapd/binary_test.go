package imapd

import (
	"context"
	"encoding/base64"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
	"plic/internal/pace"
	"plic/internal/store"
	"plic/internal/store/memory"
)

// reads is an engine that counts what is read of bodies.
type reads struct {
	*memory.Engine
	n *atomic.Int64
}

type countedBody struct {
	mail.Body
	n *atomic.Int64
}

func (b countedBody) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.Body.ReadAt(p, off)
	b.n.Add(int64(n))
	return n, err
}

func (e reads) OpenBody(ctx context.Context, id mail.ID) (mail.Body, error) {
	b, err := e.Engine.OpenBody(ctx, id)
	if err != nil {
		return nil, err
	}
	return countedBody{b, e.n}, nil
}

func (e reads) OpenBodies(ctx context.Context, ids []mail.ID) iter.Seq2[mail.Body, error] {
	return func(yield func(mail.Body, error) bool) {
		for b, err := range e.Engine.OpenBodies(ctx, ids) {
			if b != nil {
				b = countedBody{b, e.n}
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// octetAt is the octet of a file at a place: no line end, and no NUL.
func octetAt(i int) byte { return byte(128 + i%127) }

// attachment is a message with a file of so many octets in lines of base64.
func attachment(size int) string {
	file := make([]byte, size)
	for i := range file {
		file[i] = octetAt(i)
	}
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n" +
		"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for text := base64.StdEncoding.EncodeToString(file); text != ""; {
		n := min(76, len(text))
		b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
	b.WriteString("--b--\r\n")
	return b.String()
}

// A large part that is wanted bit by bit is gone through once, be it in one FETCH or
// in many, and each bit is right. What is known of it is given up when nothing more is
// asked for.
func TestBinaryBitByBit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		s := store.New(store.Options{Engine: reads{memory.New(time.Now), &n}})
		defer s.Close()
		h := houseOver(t, s, nil)
		defer h.close()
		const size, bits = 8 << 20, 80
		h.deliver("INBOX", store.Flags{}, attachment(size), attachment(100))
		c := h.open("alice")
		c.ok("SELECT INBOX")
		c.ok("FETCH 1 BINARY.PEEK[1]") // so that it has been analysed
		n.Store(0)
		var all strings.Builder
		all.WriteString("FETCH 1 (BINARY.SIZE[2]")
		for i := range bits {
			fmt.Fprintf(&all, " BINARY.PEEK[2]<%d.3>", i*(size/bits))
		}
		lines, _ := c.do(all.String() + ")")
		answer := strings.Join(lines, "\n")
		for i := range bits {
			at := i * (size / bits)
			want := fmt.Sprintf("BINARY[2]<%d> {3}\n%s", at, []byte{octetAt(at), octetAt(at + 1), octetAt(at + 2)})
			if !strings.Contains(answer, want) {
				t.Errorf("%q is missing", want)
			}
		}
		encoded := int64(size * 78 / 57)
		if got := n.Load(); got < encoded || got > 2*encoded {
			t.Errorf("%d octets were read for %d bits of %d in one FETCH", got, bits, encoded)
		}
		n.Store(0)
		for i := range bits {
			c.ok(fmt.Sprintf("FETCH 1 BINARY.PEEK[2]<%d.3>", i*(size/bits)))
		}
		if got := n.Load(); got > encoded {
			t.Errorf("%d octets were read for %d bits of %d in as many", got, bits, encoded)
		}
		time.Sleep(2 * time.Second)
		n.Store(0)
		if got := c.ok("FETCH 1:2 BINARY.SIZE[2]"); len(got) != 2 || got[0] != fmt.Sprintf("* 1 FETCH (BINARY.SIZE[2] %d)", size) ||
			got[1] != "* 2 FETCH (BINARY.SIZE[2] 100)" {
			t.Errorf("sizes: %q", got)
		}
		if got := n.Load(); got < encoded {
			t.Errorf("%d octets were read for the size, which nobody can know any more", got)
		}
	})
}

// Who asks for the size of what is large makes way for others.
func TestBinaryPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Pace = pace.New(2) })
		defer h.close()
		h.deliver("INBOX", store.Flags{}, attachment(2<<20), attachment(100))
		c := h.open("alice")
		c.ok("SELECT INBOX")
		c.ok("FETCH 1:2 BINARY.PEEK[1]")
		end := h.busy()
		for number, large := range map[int]bool{1: true, 2: false} {
			time.Sleep(10 * time.Millisecond)
			began := time.Now()
			c.ok(fmt.Sprintf("FETCH %d BINARY.SIZE[2]", number))
			if took := time.Since(began); (took > 0) != large {
				t.Errorf("large: %v, a pause of %v", large, took)
			}
		}
		end()
	})
}
