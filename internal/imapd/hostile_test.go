package imapd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/journal"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// allocated is how much memory f takes from the heap, all in all. The test must
// not be parallel.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// drain reads until a line begins with the tag, in no memory of its own, and
// gives the octets before it and the line.
func drain(t *testing.T, nc net.Conn, tag string) (n int, answer string) {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 64<<10)
	kept := copy(buf, "\r\n")
	want := []byte("\r\n" + tag + " ")
	for {
		k, err := nc.Read(buf[kept:])
		if err != nil {
			t.Fatalf("%v after %d octets", err, n)
		}
		all := buf[:kept+k]
		if at := bytes.Index(all, want); at >= 0 && bytes.HasSuffix(all, []byte("\r\n")) {
			return n + at + 2, string(all[at+2+len(tag)+1 : len(all)-2])
		}
		from := max(0, len(all)-1000)
		n += from
		kept = copy(buf, all[from:])
	}
}

// raw logs in on a connection that the test reads itself.
func (h *house) raw(t *testing.T) net.Conn {
	t.Helper()
	nc := h.pipe(t)
	plainLine(t, nc)
	io.WriteString(nc, "a LOGIN alice secret\r\nb EXAMINE INBOX\r\n")
	drain(t, nc, "b")
	return nc
}

// I5: however often a message is asked for in one FETCH, it is streamed: what
// is sent a hundred times is not held once.
func TestFetchAmplification(t *testing.T) {
	h := newHouse(t, nil)
	const size = 2 << 20
	h.deliver("INBOX", store.Flags{}, "Subject: big\r\n\r\n"+strings.Repeat("x", size))
	nc := h.raw(t)
	command := "c FETCH 1 (BODY.PEEK[] BODY.PEEK[]" // the second is not sent
	for i := range 90 {
		command += fmt.Sprintf(" BODY.PEEK[]<%d.%d>", i, size)
	}
	var n int
	took := allocated(func() {
		go io.WriteString(nc, command+")\r\n")
		n, _ = drain(t, nc, "c")
	})
	if n < 90*size || n > 92*size {
		t.Errorf("%d octets were sent", n)
	}
	if took > 4<<20 {
		t.Errorf("%d KiB were allocated to send %d MiB", took>>10, n>>20)
	}
	io.WriteString(nc, command+strings.Repeat(" BODY.PEEK[1]", 20)+")\r\n")
	if line := plainLine(t, nc); !strings.HasPrefix(line, "c BAD") {
		t.Errorf("a hundred and more: %s", line)
	}
}

// Messages made to exhaust come in by APPEND, and all of them can be listed.
func TestMonsters(t *testing.T) {
	parts := strings.Builder{}
	parts.WriteString("Content-Type: multipart/mixed; boundary=b\r\n\r\n")
	for range 10_000 {
		parts.WriteString("--b\r\n\r\nx\r\n")
	}
	deep := strings.Builder{}
	for i := range 5000 {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	for name, text := range map[string]string{
		"10,000 parts":      parts.String() + "--b--\r\n",
		"nested":            deep.String(),
		"10^6 header lines": strings.Repeat("a:\r\n", 1_000_000) + "\r\nbody",
		"10^6 folded lines": "Subject: x\r\n" + strings.Repeat(" y\r\n", 1_000_000) + "\r\nbody",
		"10^5 addresses":    "To: " + strings.Repeat("a@b.example,\r\n ", 100_000) + "c@d.example\r\n\r\nbody",
		"brackets":          "To: " + strings.Repeat("(", 1_000_000) + "\r\n\r\nbody",
	} {
		h := newHouse(t, nil)
		nc := h.raw(t)
		took := allocated(func() {
			go fmt.Fprintf(nc, "c APPEND INBOX {%d+}\r\n%s\r\n", len(text), text)
			if _, answer := drain(t, nc, "c"); !strings.HasPrefix(answer, "OK") {
				t.Fatalf("%s: %s", name, answer)
			}
		})
		if took > 64<<20+int64(20*len(text)) {
			t.Errorf("%s: %d MiB allocated to append %d MiB", name, took>>20, len(text)>>20)
		}
		io.WriteString(nc, "d NOOP\r\n")
		drain(t, nc, "d")
		took = allocated(func() {
			go io.WriteString(nc, "e FETCH 1 (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER.FIELDS (Subject)] BODY.PEEK[1] BODY.PEEK[9999])\r\n")
			if n, answer := drain(t, nc, "e"); !strings.HasPrefix(answer, "OK") || n > 16<<20 {
				t.Errorf("%s: %d octets, %s", name, n, answer)
			}
		})
		if took > 64<<20+int64(20*len(text)) {
			t.Errorf("%s: %d MiB allocated to fetch %d MiB", name, took>>20, len(text)>>20)
		}
	}
}

// I1: ten thousand literals in one command, small as they are.
func TestManyLiterals(t *testing.T) {
	h := newHouse(t, nil)
	nc := h.raw(t)
	var all strings.Builder
	all.WriteString("c SEARCH")
	for range 10_000 {
		all.WriteString(" SUBJECT {1+}\r\nx")
	}
	took := allocated(func() {
		go io.WriteString(nc, all.String()+"\r\nd NOOP\r\n")
		if line := plainLine(t, nc); !strings.HasPrefix(line, "c BAD [TOOBIG]") {
			t.Error(line)
		}
		if line := plainLine(t, nc); !strings.HasPrefix(line, "d OK") {
			t.Errorf("out of step: %s", line)
		}
	})
	if took > 8<<20 {
		t.Errorf("%d KiB were allocated", took>>10)
	}
}

// Annotations that are asked for a thousand times are told once, and large ones
// together are not held in memory.
func TestMetadataAmplification(t *testing.T) {
	h := newHouse(t, nil)
	nc := h.raw(t)
	value := strings.Repeat("x", 60_000)
	for i := range 50 {
		go fmt.Fprintf(nc, "c SETMETADATA INBOX (/private/x/%d {%d+}\r\n%s)\r\n", i, len(value), value)
		if _, answer := drain(t, nc, "c"); !strings.HasPrefix(answer, "OK") {
			t.Fatal(answer)
		}
	}
	for _, entries := range []string{
		strings.Repeat(" /private/x", 900)[1:],
		"/private/x" + strings.Repeat(" /private/x/1", 900),
	} {
		var n int
		took := allocated(func() {
			go fmt.Fprintf(nc, "c GETMETADATA (DEPTH infinity) INBOX (%s)\r\n", entries)
			n, _ = drain(t, nc, "c")
		})
		if n < 50*len(value) || n > 51*len(value) {
			t.Errorf("%d octets were sent", n)
		}
		if took > 32<<20 {
			t.Errorf("%d KiB were allocated", took>>10)
		}
	}
}

// I4: what many messages more do to many results that are kept up to date costs no
// more than it must, and not more than nobody has asked for.
func TestManyContexts(t *testing.T) {
	h := newHouse(t, nil)
	const n = 6000
	one := " {15+}\r\nSubject: x\r\n\r\nx"
	nc := h.raw(t)
	go io.WriteString(nc, "c APPEND INBOX"+strings.Repeat(one, n)+"\r\n")
	if _, answer := drain(t, nc, "c"); !strings.HasPrefix(answer, "OK") {
		t.Fatal(answer)
	}
	other := h.raw(t)
	io.WriteString(other, "c SELECT INBOX\r\n")
	drain(t, other, "c")
	for i := range 4 {
		fmt.Fprintf(nc, "s%d SORT RETURN (UPDATE COUNT) (REVERSE ARRIVAL) UTF-8 FLAGGED\r\n", i)
		drain(t, nc, fmt.Sprintf("s%d", i))
	}
	io.WriteString(nc, "b SEARCH RETURN (UPDATE COUNT) BODY nowhere\r\n")
	drain(t, nc, "b")
	io.WriteString(other, "c STORE 1:* +FLAGS.SILENT (\\Flagged)\r\n")
	drain(t, other, "c")
	var answers int
	took := allocated(func() {
		io.WriteString(nc, "c NOOP\r\n")
		answers, _ = drain(t, nc, "c")
	})
	if took > 32<<20 {
		t.Errorf("%d KiB were allocated to tell of %d octets", took>>10, answers)
	}
	io.WriteString(nc, "d CANCELUPDATE \"b\"\r\n")
	if line := plainLine(t, nc); !strings.HasPrefix(line, "d BAD") {
		t.Errorf("%d messages were looked into unasked: %s", n, line)
	}
	io.WriteString(nc, "e CANCELUPDATE \"s0\" \"s3\"\r\n")
	if line := plainLine(t, nc); !strings.HasPrefix(line, "e OK") {
		t.Errorf("the others are not kept up to date: %s", line)
	}
}

// A thousand names to be told of cost no more with each change than one.
func TestNotifyOfManyNames(t *testing.T) {
	h := newHouse(t, nil)
	nc, other := h.raw(t), h.raw(t)
	var all strings.Builder
	for i := range 500 {
		fmt.Fprintf(&all, "c CREATE box/%d\r\n", i)
	}
	go io.WriteString(nc, all.String()+"d NOOP\r\n")
	drain(t, nc, "d")
	names := ""
	for i := range 990 {
		names += fmt.Sprintf(" none/%045d", i)
	}
	go fmt.Fprintf(nc, "c NOTIFY SET (subtree (%s box/1) (MessageNew MessageExpunge MailboxName))\r\n", names[1:])
	drain(t, nc, "c")
	took := allocated(func() {
		go io.WriteString(other, "c APPEND box/1 {5+}\r\nhello\r\n")
		if line := plainLine(t, nc); !strings.HasPrefix(line, "* STATUS box/1 ") {
			t.Error(line)
		}
	})
	drain(t, other, "c")
	if took > 2<<20 {
		t.Errorf("%d KiB were allocated to tell of one change", took>>10)
	}
}

// L4: trouble with the disk is told, and the session goes on. An error of the system
// looks like one of the network.
func TestTroubleWithTheDisk(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.open("alice")
	for _, err := range []error{
		syscall.EIO, syscall.ENOSPC, syscall.EMFILE, syscall.EROFS, syscall.EACCES, fmt.Errorf("%w: %w", engine.ErrFull, syscall.ENOSPC),
	} {
		h.engine.Refuse(&os.PathError{Op: "write", Path: "x", Err: err})
		for _, command := range []string{"APPEND INBOX {5+}\r\nhello", "CREATE New", "SETMETADATA INBOX (/private/comment \"x\")"} {
			if _, answer := c.do(command); !strings.HasPrefix(answer, "NO [UNAVAILABLE] ") {
				t.Errorf("%v: %s", err, answer)
			}
		}
		h.engine.Refuse(nil)
		c.ok("APPEND INBOX {5+}\r\nhello")
	}
}

// I12: what strangers send makes no line of its own in the log or the journal,
// and no terminal obeys it.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	fs := vfs.NewMemory()
	j, err := journal.Open(journal.Options{FS: fs, Dir: "journal"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	h := newHouse(t, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Journal = j
	})
	evil := "x\r\ntime=2026 level=ERROR msg=forged \x1b[2J\u202e\u0085"
	literal := fmt.Sprintf("{%d+}\r\n%s", len(evil), evil)
	c := h.dial("127.0.0.1:4000")
	c.expect("* OK ...")
	c.send("a\x1b[2J NOOP\r\n")
	c.expect("* BAD ...")
	c.send("a LOGIN " + literal + " " + literal + "\r\n")
	c.expect("a NO ...")
	c.send("a ID (" + "{1+}\r\n\r" + " " + literal + ")\r\n")
	c.expect("* ID ...", "a OK ...")
	c.ok("LOGIN alice secret")
	c.send("a CREATE " + literal + "\r\n")
	c.expect("a NO ...")
	c.send("a SELECT \x1b[2J\r\n")
	c.expect("a BAD ...")
	c.ok("LOGOUT")
	c.closed()
	h.close()
	for line := range strings.Lines(log.String()) {
		if !strings.HasPrefix(line, "time=") || strings.ContainsAny(line, "\x1b\r\u202e\u0085") {
			t.Errorf("log line %q", line)
		}
	}
	for e, err := range j.Find(context.Background(), journal.Query{}) {
		if err != nil || e.Service != "imap" {
			t.Errorf("journal: %+v, %v", e, err)
		}
	}
	names, err := fs.List("journal")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin("journal", name))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		f.Close()
		if err != nil || strings.ContainsAny(string(text), "\x1b\r\u202e\u0085") {
			t.Errorf("the journal holds %q, %v", text, err)
		}
	}
}

// Who announces a message and sends only a part of it is told what was wrong.
func TestHalfMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newHouse(t, nil).open("alice")
		c.wait = time.Hour
		c.send("a APPEND INBOX {10+}\r\nhalf")
		c.expect("* BYE nothing was said for too long")
		c.closed()
	})
}
