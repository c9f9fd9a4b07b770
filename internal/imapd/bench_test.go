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
	"testing"
	"time"

	"plic/internal/store"
	"plic/internal/store/search"
)

// sink takes what a server sends and counts it.
type sink struct {
	script
	n int64
}

func (s *sink) Read(p []byte) (int, error) {
	if n, err := s.in.Read(p); err == nil {
		return n, nil
	}
	return 0, os.ErrDeadlineExceeded // nothing more comes for now
}

func (s *sink) Write(p []byte) (int, error) { s.n += int64(len(p)); return len(p), nil }

// benchConn is a session logged in, with a mailbox of n messages selected.
func benchConn(b *testing.B, n int) (*conn, *sink) {
	b.Helper()
	_, s := newStore(b)
	h := &house{t: b, store: s, server: New(Options{Store: s, Log: slog.New(slog.DiscardHandler)})}
	const batch = 1000
	texts := make([]string, batch)
	for i := range texts {
		texts[i] = fmt.Sprintf("From: User %d <u%d@example.org>\r\nTo: me@example.org\r\nSubject: message number %d\r\nMessage-ID: <%d@x>\r\n\r\nbody\r\n", i, i, i, i)
	}
	for range n / batch {
		h.deliver("INBOX", store.Flags{System: store.Seen}, texts...)
	}
	out := new(sink)
	c := &conn{server: h.server, nc: out}
	c.in.server, c.in.conn, c.in.buf = h.server, out, c.in.small[:]
	c.out.server, c.out.conn = h.server, out
	var err error
	if c.account, err = s.Account(context.Background(), "alice"); err != nil {
		b.Fatal(err)
	}
	return c, out
}

func (c *conn) benchCommand(b *testing.B, text string) {
	b.Helper()
	out := c.nc.(*sink)
	out.in = bytes.NewReader([]byte(text))
	cmd, err := c.next(context.Background(), time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	c.handle(context.Background(), cmd)
	if c.bad > 0 || c.leaving {
		b.Fatalf("%s was refused", text)
	}
}

func benchmarkCommand(b *testing.B, text string) {
	c, out := benchConn(b, 100000)
	c.benchCommand(b, "a EXAMINE INBOX\r\n")
	c.benchCommand(b, text)
	out.n = 0
	b.ReportAllocs()
	for b.Loop() {
		c.benchCommand(b, text)
	}
	b.ReportMetric(float64(out.n)/float64(b.N)/1e6, "MB/op")
}

// The commands that clients give most, on 100,000 messages.
func BenchmarkFetchFlags(b *testing.B)    { benchmarkCommand(b, "a FETCH 1:* (UID FLAGS)\r\n") }
func BenchmarkFetchFlagsUID(b *testing.B) { benchmarkCommand(b, "a UID FETCH 1:* (FLAGS)\r\n") }
func BenchmarkFetchEnvelope(b *testing.B) { benchmarkCommand(b, "a FETCH 1:* (UID ENVELOPE)\r\n") }
func BenchmarkSearchUnseen(b *testing.B)  { benchmarkCommand(b, "a UID SEARCH UNSEEN\r\n") }
func BenchmarkSearchFrom(b *testing.B)    { benchmarkCommand(b, "a UID SEARCH FROM \"user 999\"\r\n") }
func BenchmarkSortSubject(b *testing.B) {
	benchmarkCommand(b, "a UID SORT (SUBJECT REVERSE DATE) UTF-8 ALL\r\n")
}
func BenchmarkThread(b *testing.B) { benchmarkCommand(b, "a UID THREAD REFERENCES UTF-8 ALL\r\n") }

// The same by an index of 100,000 messages: nothing is opened.
func BenchmarkIndexedFrom(b *testing.B) { benchmarkIndexed(b, "a UID SEARCH FROM u999@\r\n") }
func BenchmarkIndexedText(b *testing.B) { benchmarkIndexed(b, "a UID SEARCH TEXT essag\r\n") }

func benchmarkIndexed(b *testing.B, text string) {
	c, _ := benchConn(b, 100000)
	index := search.New(search.Options{Wait: -1})
	mb, err := c.account.Mailbox("INBOX")
	if err != nil {
		b.Fatal(err)
	}
	if err := index.Rebuild(context.Background(), mb); err != nil {
		b.Fatal(err)
	}
	c.server.o.Index = index
	c.benchCommand(b, "a EXAMINE INBOX\r\n")
	for b.Loop() {
		c.benchCommand(b, text)
	}
}

func BenchmarkSelect(b *testing.B) { benchmarkCommand(b, "a EXAMINE INBOX\r\n") }
func BenchmarkFetchHeaders(b *testing.B) {
	benchmarkCommand(b, "a FETCH 1:10000 (BODY.PEEK[HEADER.FIELDS (Subject From)])\r\n")
}

// BenchmarkIdleMemory tells what 1000 connections in IDLE cost each, over TCP.
func BenchmarkIdleMemory(b *testing.B) {
	h := newHouse(&quiet{TB: b}, func(o *Options) { o.PerUserIP = 2000 })
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.server.Serve(ctx, ln, false) }()
	const n = 1000
	for b.Loop() {
		before := inUse()
		conns := make([]net.Conn, n)
		for i := range conns {
			nc, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			conns[i] = nc
			io.WriteString(nc, "a LOGIN alice secret\r\nb SELECT INBOX\r\nc IDLE\r\n")
			awaitText(b, nc, "+ idling\r\n")
		}
		b.ReportMetric(float64(inUse()-before)/n/1024, "KiB/conn")
		for _, nc := range conns {
			nc.Close()
		}
	}
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

type quiet struct{ testing.TB }

func awaitText(b *testing.B, nc net.Conn, text string) {
	b.Helper()
	var got []byte
	buf := make([]byte, 4096)
	for !strings.HasSuffix(string(got), text) {
		n, err := nc.Read(buf)
		if err != nil {
			b.Fatalf("%v after %q", err, got)
		}
		got = append(got, buf[:n]...)
	}
}

// inUse is the memory of heap and stacks in use.
func inUse() int64 {
	for range 3 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
