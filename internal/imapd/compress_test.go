package imapd

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"plic/internal/deflate"
	"plic/internal/store"
)

// compressed logs in on a new connection, gives COMPRESS, and goes on with it.
func (h *house) compressed(t *testing.T, nc net.Conn) *client {
	t.Helper()
	if line := plainLine(t, nc); !strings.HasPrefix(line, "* OK") {
		t.Fatal(line)
	}
	for _, step := range [][2]string{{"a LOGIN alice secret\r\n", "a OK"}, {"b COMPRESS DEFLATE\r\n", "b OK"}} {
		io.WriteString(nc, step[0])
		if line := plainLine(t, nc); !strings.HasPrefix(line, step[1]) {
			t.Fatalf("%q: %q", step[0], line)
		}
	}
	return newClient(t, deflate.NewConn(nc))
}

func (h *house) pipe(t *testing.T) net.Conn {
	t.Helper()
	nc, err := h.ln.dial("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// RFC 4978: all goes on as before, IDLE and literals too.
func TestCompress(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.compressed(t, h.pipe(t))
	if lines := c.ok("CAPABILITY"); strings.Contains(lines[0], "COMPRESS") {
		t.Errorf("announced while it is on: %s", lines[0])
	}
	if _, answer := c.do("COMPRESS DEFLATE"); !strings.HasPrefix(answer, "NO [COMPRESSIONACTIVE]") {
		t.Errorf("twice: %s", answer)
	}
	body := "Subject: big\r\n\r\n" + strings.Repeat("lorem ipsum dolor\r\n", 20_000)
	c.send(fmt.Sprintf("x APPEND INBOX {%d+}\r\n%s\r\n", len(body), body))
	c.expect("x OK [APPENDUID ...")
	c.ok("SELECT INBOX")
	if got := strings.Join(c.ok("FETCH 1 BODY.PEEK[]"), "\r\n"); !strings.Contains(got, body) {
		t.Errorf("the message came back as %d octets", len(got))
	}
	c.send("i IDLE\r\n")
	c.expect("+ idling")
	h.deliver("INBOX", store.Flags{}, eml(t, "simple.eml"))
	c.expect("* 2 EXISTS", "* 2 RECENT")
	c.send("DONE\r\n")
	c.expect("i OK ...")
	c.ok("UNAUTHENTICATE") // compression stays, RFC 8437 section 4
	c.ok("LOGIN bob secret")
	c.ok("LOGOUT")
	c.closed()
}

// In TLS, as most do.
func TestCompressInTLS(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	nc := h.pipe(t)
	plainLine(t, nc)
	io.WriteString(nc, "a STARTTLS\r\n")
	plainLine(t, nc)
	c := tlsClient(t, nc)
	c.ok("LOGIN alice secret")
	for _, command := range []string{"COMPRESS", "COMPRESS LZW", "COMPRESS DEFLATE 9"} {
		if _, answer := c.do(command); !strings.HasPrefix(answer, "BAD") {
			t.Errorf("%s: %s", command, answer)
		}
	}
	if _, answer := c.do("COMPRESS DEFLATE"); !strings.HasPrefix(answer, "OK") {
		t.Fatal(answer)
	}
}

// Before login there is none.
func TestCompressBeforeLogin(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.dial("127.0.0.1:1")
	c.expect("* OK [CAPABILITY ...")
	if _, answer := c.do("COMPRESS DEFLATE"); !strings.HasPrefix(answer, "BAD") {
		t.Errorf("got %s", answer)
	}
}

// I6: what is put behind COMPRESS in the clear is never run, nor taken for
// compressed text.
func TestCompressInjection(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.open("alice")
	c.send("a COMPRESS DEFLATE\r\nb CREATE Injected\r\n")
	c.expect("* BYE ...")
	c.closed()
	c = h.compressed(t, h.pipe(t))
	if lines := c.ok("LIST \"\" Injected"); len(lines) != 0 {
		t.Errorf("it was run: %s", lines)
	}
	nc := h.pipe(t)
	c = h.compressed(t, nc)
	io.WriteString(nc, "b CREATE Injected\r\n\xff\xff\xff\xff\xff\xff")
	c.expect("* BYE the compressed stream is damaged")
	c.closed()
}

// I6: a thousand octets for one are stopped by the limits of what they become,
// with no more memory than those.
func TestCompressBomb(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	w, err := flate.NewWriter(&bomb, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "x SEARCH SUBJECT ")
	for line := bytes.Repeat([]byte("a"), 1<<20); bomb.Len() < 64<<10; {
		w.Write(line)
	}
	w.Flush()
	h := newHouse(t, nil)
	nc := h.pipe(t)
	c := h.compressed(t, nc)
	go func() {
		nc.SetWriteDeadline(time.Now().Add(time.Minute))
		nc.Write(bomb.Bytes())
	}()
	c.expect("* BYE [TOOBIG] ...")
	c.closed()
}
