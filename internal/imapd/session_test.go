package imapd

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/journal"
	"plic/internal/sasl"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// tlsClient goes on with a connection in TLS.
func tlsClient(t *testing.T, nc net.Conn) *client {
	t.Helper()
	c := tls.Client(nc, &tls.Config{InsecureSkipVerify: true})
	c.SetDeadline(time.Now().Add(time.Minute))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Time{})
	return newClient(t, c)
}

// plainLine reads one line octet by octet, so that none behind it are taken.
func plainLine(t *testing.T, nc net.Conn) string {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(time.Minute))
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := nc.Read(b); err != nil {
			t.Fatalf("%v after %q", err, line)
		}
		if b[0] == '\n' {
			nc.SetReadDeadline(time.Time{})
			return strings.TrimSuffix(string(line), "\r")
		}
		line = append(line, b[0])
	}
}

func TestSTARTTLS(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	nc, err := h.ln.dial("192.0.2.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if line := plainLine(t, nc); !strings.Contains(line, "STARTTLS LOGINDISABLED") {
		t.Fatalf("greeting %q", line)
	}
	io.WriteString(nc, "a STARTTLS\r\n")
	if line := plainLine(t, nc); !strings.HasPrefix(line, "a OK") {
		t.Fatalf("STARTTLS: %q", line)
	}
	c := tlsClient(t, nc)
	lines := c.ok("CAPABILITY")
	if strings.Contains(lines[0], "STARTTLS") || strings.Contains(lines[0], "LOGINDISABLED") || !strings.Contains(lines[0], "AUTH=SCRAM-SHA-256-PLUS") {
		t.Errorf("in TLS: %s", lines[0])
	}
	if _, answer := c.do("STARTTLS"); !strings.HasPrefix(answer, "BAD") {
		t.Errorf("STARTTLS in TLS: %s", answer)
	}
	c.ok("LOGIN alice secret")
	if _, answer := c.do("STARTTLS"); !strings.HasPrefix(answer, "BAD") {
		t.Errorf("STARTTLS after login: %s", answer)
	}
	c.ok("SELECT INBOX")
}

// S3, CVE-2011-0411: what comes in the clear behind STARTTLS is never obeyed.
func TestSTARTTLSInjection(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	for _, injected := range []string{"b CAPABILITY\r\n", "b LOGIN alice secret\r\n", "x"} {
		c := h.dial("127.0.0.1:1")
		c.expect("* OK ...")
		c.send("a STARTTLS\r\n" + injected)
		c.expect("* BYE ...")
		c.closed()
	}
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	ln := newMemListener()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.server.Serve(ctx, ln, true) }()
	nc, err := ln.dial("192.0.2.1:1")
	if err != nil {
		t.Fatal(err)
	}
	c := tlsClient(t, nc)
	c.expect("* OK [CAPABILITY ... AUTH=PLAIN...")
	c.ok("LOGIN alice secret")

	nc, err = ln.dial("192.0.2.1:2")
	if err != nil {
		t.Fatal(err)
	}
	web := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if web.Handshake() == nil {
		t.Error("a client that asks for HTTP by ALPN was let in, CVE-2021-3618")
	}
	nc.Close()
	stop()
	c.expect("* BYE ...")
	c.closed()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSCRAM(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	for _, password := range []string{"secret", "wrong"} {
		c := h.dial("127.0.0.1:1")
		c.expect("* OK ...")
		x, err := sasl.NewSCRAMClient(sasl.Credentials{User: "alice", Password: password}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		first, err := x.Next(nil)
		if err != nil {
			t.Fatal(err)
		}
		c.send("a AUTHENTICATE SCRAM-SHA-256 " + base64.StdEncoding.EncodeToString(first) + "\r\n")
		for {
			line, _ := c.line()
			challenge, more := strings.CutPrefix(line, "+ ")
			if !more {
				if ok := strings.HasPrefix(line, "a OK"); ok != (password == "secret") {
					t.Errorf("password %s: %s", password, line)
				}
				break
			}
			raw, err := base64.StdEncoding.DecodeString(challenge)
			if err != nil {
				t.Fatal(err)
			}
			response, err := x.Next(raw)
			if err != nil {
				t.Fatal(err)
			}
			c.send(base64.StdEncoding.EncodeToString(response) + "\r\n")
		}
	}
}

// Two-stage stop: who waits is told BYE at once, who is at work may end.
func TestStop(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	waiting, idling, working, before := h.open("alice"), h.open("alice"), h.open("alice"), h.dial("127.0.0.1:1")
	before.expect("* OK ...")
	idling.send("i IDLE\r\n")
	idling.expect("+ idling")
	working.send("w APPEND INBOX {12}\r\n")
	working.expect("+ ...")
	working.send("Subj")
	h.stop()
	for _, c := range []*client{waiting, idling, before} {
		c.expect("* BYE [UNAVAILABLE] ...")
		c.closed()
	}
	working.send("ect: x\r\n\r\n")
	working.expect("w OK [APPENDUID ...", "* BYE [UNAVAILABLE] ...")
	working.closed()
	if _, err := h.ln.dial("127.0.0.1:1"); err == nil {
		t.Error("still listening")
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		start := time.Now()
		before := h.dial("127.0.0.1:1")
		before.expect("* OK ...")
		before.wait = time.Hour
		before.expect("* BYE ...")
		before.closed()
		if got := time.Since(start); got != 3*time.Minute {
			t.Errorf("cut off before login after %v", got)
		}
		c := h.open("alice")
		c.wait = time.Hour
		start = time.Now()
		c.expect("* BYE ...")
		c.closed()
		if got := time.Since(start); got != 30*time.Minute {
			t.Errorf("cut off after %v", got)
		}
		c = h.open("alice")
		c.wait = time.Hour
		start = time.Now()
		c.send("a IDLE\r\n")
		c.expect("+ idling")
		for range 7 {
			c.expect("* OK still here")
		}
		c.expect("* BYE ...")
		c.closed()
		if got := time.Since(start); got != 30*time.Minute {
			t.Errorf("IDLE cut off after %v", got)
		}
		// half a command counts as nothing
		c = h.open("alice")
		c.wait = time.Hour
		c.send("a NOO")
		c.expect("* BYE ...")
		c.closed()
	})
}

// I5: a client that does not take what it asked for is cut off, and what it
// asked for is not piled up meanwhile.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		h.deliver("INBOX", store.Flags{}, "Subject: big\r\n\r\n"+strings.Repeat("x", 4<<20))
		nc, err := h.ln.dial("127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		plainLine(t, nc)
		io.WriteString(nc, "a LOGIN alice secret\r\n")
		plainLine(t, nc)
		go io.WriteString(nc, "b EXAMINE INBOX\r\nc FETCH 1 (BODY.PEEK[] BODY.PEEK[TEXT] BODY.PEEK[1])\r\n")
		start := time.Now()
		got := 0
		for b := make([]byte, 1); ; got++ {
			time.Sleep(time.Second)
			if _, err := nc.Read(b); err != nil {
				break
			}
		}
		// one octet a second: the first page does not get through in 5 minutes
		if took := time.Since(start); took > 6*time.Minute || got > 400 {
			t.Errorf("cut off after %v and %d octets", took, got)
		}
	})
}

// I2: brackets without end before login.
func TestEndlessLine(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.dial("127.0.0.1:1")
	c.expect("* OK ...")
	go func() {
		piece := strings.Repeat("(", 64<<10)
		for range 160 {
			if _, err := io.WriteString(c.nc, piece); err != nil {
				return
			}
		}
	}()
	c.expect("* BYE [TOOBIG] ...")
	c.closed()
}

// A panic ends its own connection and no other.
func TestPanic(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Store = nil })
	other := h.dial("127.0.0.1:1")
	other.expect("* OK ...")
	c := h.dial("127.0.0.1:1")
	c.expect("* OK ...")
	c.send("a LOGIN alice secret\r\n")
	c.expect("", "* BYE [SERVERBUG] internal error")
	c.closed()
	other.ok("NOOP")
}

// I4: a search ends when its client goes away, even while it waits its turn.
func TestSearchCancelled(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.deliver("INBOX", store.Flags{}, eml(t, "simple.eml"))
	for range perAccount {
		leave, err := h.server.searches.Enter(context.Background(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	c := h.open("alice")
	c.ok("SELECT INBOX")
	c.send("a SEARCH BODY tomorrow\r\n")
	c.nc.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if h.server.sessions.Len() == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the session is still there")
		}
	}
}

func TestDeletedUnderSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	a, b, idle := h.open("alice"), h.open("alice"), h.open("alice")
	a.ok("CREATE box")
	b.ok("SELECT box")
	idle.ok("SELECT box")
	idle.send("a IDLE\r\n")
	idle.expect("+ idling")
	a.ok("DELETE box")
	idle.expect("* BYE ...")
	idle.closed()
	b.send("a NOOP\r\n")
	b.expect("* BYE ...")
	b.closed()
	a.ok("CREATE box")
	b = h.open("alice")
	b.ok("SELECT box")
	a.ok("RENAME box other") // what is selected keeps its UIDVALIDITY
	a.ok("APPEND other {3+}\r\nabc")
	if got := fmt.Sprint(b.ok("NOOP")); got != "[* 1 EXISTS * 1 RECENT]" {
		t.Errorf("in a renamed mailbox: %s", got)
	}
	a.ok("CREATE box") // and has lost it when it gets a name that had a higher one
	a.ok("DELETE box")
	a.ok("RENAME other box")
	b.send("a FETCH 1:* FLAGS\r\n")
	b.expect("* BYE ...")
	b.closed()
}

// A full or broken store gives a NO, and the session goes on.
func TestFull(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.open("alice")
	for _, err := range []error{engine.ErrFull, engine.ErrFailed} {
		h.engine.Refuse(fmt.Errorf("test: %w", err))
		for _, command := range []string{"APPEND INBOX {3+}\r\nabc", "CREATE more"} {
			if _, answer := c.do(command); !strings.HasPrefix(answer, "NO [UNAVAILABLE]") {
				t.Errorf("%s with %v: %s", command, err, answer)
			}
		}
		h.engine.Refuse(nil)
		c.ok("NOOP")
		if errors.Is(err, engine.ErrFull) {
			c.ok("APPEND INBOX {3+}\r\nabc")
		}
	}
}

// Connections that have not logged in are counted by address.
func TestPerIP(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.PerIP = 2 })
	a, b := h.dial("192.0.2.1:1"), h.dial("192.0.2.1:2")
	a.expect("* OK ...")
	b.expect("* OK ...")
	c := h.dial("192.0.2.1:3")
	c.expect("* BYE [UNAVAILABLE] ...")
	c.closed()
	other := h.dial("192.0.2.2:1")
	other.expect("* OK ...")
	a.ok("LOGOUT")
	a.closed()
	d := h.dial("192.0.2.1:4")
	d.expect("* OK ...")
}

// The journal tells who came, and log lines hold no octets of a stranger, I12.
func TestJournal(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	h := newHouse(t, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		j, err := journal.Open(journal.Options{FS: vfs.NewMemory(), Dir: "journal"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { j.Close() })
		o.Journal = j
	})
	c := h.open("alice")
	c.send("a ID (\"name\" {4+}\r\nx\r\ny)\r\n")
	c.expect("* ID ...", "a OK ...")
	c.send("a LOGOUT\r\n")
	c.expect("* BYE ...", "a OK ...")
	c.closed()
	h.close()
	var kinds []string
	for e, err := range h.server.o.Journal.Find(context.Background(), journal.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Service != "imap" || e.Remote != "127.0.0.1:4000" {
			t.Errorf("event %+v", e)
		}
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); got != "connect read disconnect" {
		t.Errorf("the journal has %q", got)
	}
	for line := range strings.Lines(log.String()) {
		if !strings.HasPrefix(line, "time=") {
			t.Errorf("log line %q", line)
		}
	}
	if !strings.Contains(log.String(), `x\r\ny`) {
		t.Errorf("the log has %q", log.String())
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
