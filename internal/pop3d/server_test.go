package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/auth"
	"plic/internal/directory"
	"plic/internal/journal"
	"plic/internal/sasl"
	"plic/internal/serve"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// remote is a connection that comes from elsewhere.
type remote struct {
	net.Conn
	addr string
}

func (r remote) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", r.addr)
	return a
}

// pipe runs a session over a pipe, as from the address.
func (h *house) pipe(ctx context.Context, addr string) (*client, *sync.WaitGroup) {
	a, b := net.Pipe()
	var ended sync.WaitGroup
	nc := remote{a, addr}
	ended.Go(func() { h.server.serve(ctx, ctx, nc, serve.Remote(nc), false) })
	if h.addr != "" { // not in a bubble: a hang is a failure
		b.SetDeadline(time.Now().Add(20 * time.Second))
	}
	return &client{h.t, b, bufio.NewReader(b)}, &ended
}

// A4: without TLS and not from here, nothing that shows the password is looked
// at, offered or recorded.
func TestClearText(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c, ended := h.pipe(t.Context(), "192.0.2.7:1234")
	c.expect("+OK")
	c.ask("CAPA", "+OK")
	if caps := strings.Join(c.lines(), ";"); strings.Contains(caps, ";USER") || strings.Contains(caps, "PLAIN") || strings.Contains(caps, "LOGIN") || !strings.Contains(caps, "STLS") {
		t.Errorf("offered: %s", caps)
	}
	c.ask("USER "+alice, "-ERR encryption is needed")
	c.ask("PASS "+password, "-ERR encryption is needed")
	c.ask("XYZZY", "-ERR unknown command")
	c.expect("(closed)")
	ended.Wait()
}

func TestClearTextAuth(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c, ended := h.pipe(t.Context(), "192.0.2.7:1234")
	c.expect("+OK")
	secret := base64.StdEncoding.EncodeToString([]byte("\x00" + alice + "\x00" + password))
	c.ask("AUTH PLAIN "+secret, "-ERR encryption is needed")
	c.ask("AUTH LOGIN", "-ERR encryption is needed")
	c.ask("QUIT", "+OK")
	c.nc.Close()
	ended.Wait()
	for e, err := range h.journal.Find(t.Context(), journal.Query{}) {
		if text := fmt.Sprintf("%+v", e); err != nil || strings.Contains(text, secret) || strings.Contains(text, password) {
			t.Errorf("on record: %s %v", text, err)
		}
	}
}

// SCRAM-SHA-256-PLUS over TLS, with the client of package sasl.
func TestSCRAMPlus(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	nc, err := tls.Dial("tcp", h.tlsAddr, &tls.Config{ServerName: "pop.plic.test", RootCAs: shared().pool})
	if err != nil {
		t.Fatal(err)
	}
	c := h.client(nc)
	c.expect("+OK")
	c.ask("AUTH", "+OK")
	offered := c.lines()
	state := nc.ConnectionState()
	x, err := sasl.Choose(offered, sasl.Credentials{User: alice, Password: password}, true, sasl.Bindings(&state, state.PeerCertificates[0]))
	if err != nil || x.Mechanism() != sasl.SCRAMPlus {
		t.Fatalf("%v of %v: %v", x, offered, err)
	}
	response, _ := x.Next(nil)
	c.send("AUTH " + x.Mechanism() + " " + base64.StdEncoding.EncodeToString(response) + "\r\n")
	for {
		line := c.line()
		if strings.HasPrefix(line, "+OK") {
			break
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "+ "))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if response, err = x.Next(challenge); err != nil {
			t.Fatal(err)
		}
		c.send(base64.StdEncoding.EncodeToString(response) + "\r\n")
	}
	if err := x.Finish(); err != nil {
		t.Error(err)
	}
	c.ask("STAT", "+OK 0 0")
}

// S8: a client of another protocol is refused in the handshake.
func TestALPN(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	for proto, ok := range map[string]bool{"pop3": true, "http/1.1": false} {
		nc, err := tls.Dial("tcp", h.tlsAddr, &tls.Config{ServerName: "pop.plic.test", RootCAs: shared().pool, NextProtos: []string{proto}})
		if (err == nil) != ok {
			t.Errorf("%s: %v", proto, err)
		}
		if err == nil {
			nc.Close()
		}
	}
}

// I11: what was not ended with QUIT deletes nothing; what was is durable before
// it is answered.
func TestDeletesAtQuit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.deliver("Subject: 1\r\n\r\n", "Subject: 2\r\n\r\n", "Subject: 3\r\n\r\n")
	c, ended := h.pipe(t.Context(), "127.0.0.1:5")
	c.login()
	c.ask("DELE 1", "+OK")
	c.nc.Close()
	ended.Wait()
	if n := h.inbox().Info().Messages; n != 3 {
		t.Fatalf("%d messages after a drop", n)
	}
	c, ended = h.pipe(t.Context(), "127.0.0.1:5")
	c.login()
	c.ask("DELE 1", "+OK")
	c.ask("DELE 3", "+OK")
	c.ask("RETR 2", "+OK")
	c.lines()
	h.engine.Hold()
	c.send("QUIT\r\n")
	got := make(chan string)
	go func() { got <- c.line() }()
	for h.engine.Pending() == 0 {
		select {
		case line := <-got:
			t.Fatalf("%q before the change was on its way", line)
		default:
		}
	}
	select {
	case line := <-got:
		t.Fatalf("%q before the change was durable", line)
	default:
	}
	h.engine.Release()
	if line := <-got; line != "+OK goodbye" {
		t.Fatal(line)
	}
	c.nc.Close()
	ended.Wait()
	snap, err := h.inbox().Snapshot(t.Context())
	if err != nil || snap.Len() != 1 || snap.At(0).UID != 2 || snap.At(0).Flags&store.Seen == 0 {
		t.Errorf("left: %v %v", snap, err)
	}
}

// A client that fetches one after the other gets each message as it is, though
// the next one is opened before it asks, in whatever order it goes on.
func TestOneByOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	const messages = 9
	for i := range messages {
		text := fmt.Sprintf("Subject: %d\r\n\r\n", i+1)
		if i%3 == 2 { // larger than what is opened before it is wanted
			text += strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1<<10)
		}
		h.deliver(text)
	}
	c, ended := h.pipe(t.Context(), "127.0.0.1:5")
	c.login()
	want := func(command string, n int) {
		t.Helper()
		c.ask(command, "+OK")
		if !slices.Contains(c.lines(), fmt.Sprintf("Subject: %d", n)) {
			t.Errorf("%s gave another message", command)
		}
	}
	for n := range messages {
		want(fmt.Sprintf("RETR %d", n+1), n+1)
	}
	want("RETR 1", 1)
	want("RETR 2", 2)
	want("TOP 4 0", 4)
	want("RETR 7", 7)
	want("RETR 8", 8)
	c.ask("DELE 5", "+OK")
	want("RETR 4", 4)
	c.ask("RETR 5", "-ERR")
	want("RETR 6", 6)
	want("RETR 7", 7)
	c.ask("DELE 8", "+OK") // it is open
	c.ask("RETR 8", "-ERR")
	c.ask("RSET", "+OK")
	want("RETR 8", 8)
	c.nc.Close()
	ended.Wait()
}

// A failing store answers QUIT with what is true.
func TestQuitFails(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.deliver("Subject: 1\r\n\r\n")
	c, ended := h.pipe(t.Context(), "127.0.0.1:5")
	c.login()
	c.ask("DELE 1", "+OK")
	h.engine.Refuse(engine.ErrFull)
	c.ask("QUIT", "-ERR [SYS/TEMP] ")
	c.nc.Close()
	ended.Wait()
	h.engine.Refuse(nil)
	if n := h.inbox().Info().Messages; n != 1 {
		t.Errorf("%d messages", n)
	}
}

// Lines, whole and in pieces, come out with their dots and line ends.
func TestDotted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in    string
		lines int
		want  string
	}{
		{"", -1, ".\r\n"},
		{"a: b\r\n\r\nx\r\n", -1, "a: b\r\n\r\nx\r\n.\r\n"},
		{".\r\n..\r\n.x", -1, "..\r\n...\r\n..x\r\n.\r\n"},
		{"no end", -1, "no end\r\n.\r\n"},
		{"no end\r", -1, "no end\r\n.\r\n"},
		{"bare\n.\nlf\n", -1, "bare\r\n..\r\nlf\r\n.\r\n"},
		{"bare\rcr\r\r\n", -1, "bare\rcr\r\r\n.\r\n"},
		{"h: 1\r\n\r\n1\r\n2\r\n3\r\n", 0, "h: 1\r\n\r\n.\r\n"},
		{"h: 1\r\n\r\n1\r\n.2\r\n3\r\n", 2, "h: 1\r\n\r\n1\r\n..2\r\n.\r\n"},
		{"h: 1\n\n1\n2\n", 1, "h: 1\r\n\r\n1\r\n.\r\n"},
		{"h: 1\r\n\r\n\r\n\r\n3\r\n", 2, "h: 1\r\n\r\n\r\n\r\n.\r\n"},
		{"h: 1\r\nh: 2\r\n", 0, "h: 1\r\nh: 2\r\n.\r\n"},
	} {
		for size := 1; size <= len(tc.in)+1; size++ {
			var out bytes.Buffer
			w := bufio.NewWriter(&out)
			d := dotted{w: w, lines: tc.lines}
			for rest := []byte(tc.in); len(rest) > 0; {
				n := min(size, len(rest))
				d.write(rest[:n])
				rest = rest[n:]
			}
			d.end()
			w.Flush()
			if out.String() != tc.want {
				t.Errorf("%q by %d, %d lines: %q, want %q", tc.in, size, tc.lines, out.String(), tc.want)
			}
		}
	}
}

// A message of many chunks arrives whole.
func TestLargeMessage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	var text strings.Builder
	text.WriteString("Subject: large\r\n\r\n")
	for i := range 100_000 {
		fmt.Fprintf(&text, "%s%d\r\n", strings.Repeat(".", i%3), i)
	}
	h.deliver(text.String())
	c := h.dial()
	c.login()
	c.ask("RETR 1", fmt.Sprintf("+OK %d octets", text.Len()+len("Return-Path: <>\r\n")))
	if got := strings.Join(c.lines(), "\r\n") + "\r\n"; got != "Return-Path: <>\r\n"+text.String() {
		t.Errorf("%d octets came of %d", len(got), text.Len())
	}
	c.ask("NOOP", "+OK")
}

// S9: an endless line, and a line that is only slow.
func TestLongLine(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c, ended := h.pipe(t.Context(), "127.0.0.1:5")
	c.expect("+OK")
	go func(nc net.Conn) {
		x := bytes.Repeat([]byte("x"), 4096)
		for {
			if _, err := nc.Write(x); err != nil {
				return
			}
		}
	}(c.nc)
	c.expect("-ERR the line is too long")
	ended.Wait()

	c = h.dial() // a line within bounds, over more than one buffer
	c.expect("+OK")
	c.ask("USER "+strings.Repeat("x", 3*readSize), "+OK")
	c.ask("PASS x", "-ERR [AUTH]")
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	shared() // outside the bubble, whose clock is of another year
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, engine: memory.New(time.Now)}
		h.store = store.New(store.Options{Engine: h.engine})
		defer h.store.Close()
		h.server = New(Options{Store: h.store, Auth: auth.New(auth.Options{Directory: shared().users, Cost: cheap})})
		start := time.Now()
		c, ended := h.pipe(t.Context(), "127.0.0.1:5")
		c.expect("+OK")
		c.ask("USER x", "+OK")
		c.expect("-ERR nothing was said for too long")
		ended.Wait()
		if d := time.Since(start); d != 3*time.Minute {
			t.Errorf("login took %v", d)
		}
		c, ended = h.pipe(t.Context(), "127.0.0.1:5")
		c.login()
		for range 3 { // activity is what counts
			time.Sleep(9 * time.Minute)
			c.ask("NOOP", "+OK")
		}
		start = time.Now()
		go func() { // drops of a line are no activity
			for range 20 {
				time.Sleep(time.Minute)
				if _, err := io.WriteString(c.nc, "x"); err != nil {
					return
				}
			}
		}()
		c.expect("-ERR nothing was said for too long")
		ended.Wait()
		if d := time.Since(start); d != 10*time.Minute {
			t.Errorf("idled for %v", d)
		}
		time.Sleep(time.Hour) // for the drops to end
	})
}

// L1: a client that asks and does not read is cut off.
func TestSlowReader(t *testing.T) {
	t.Parallel()
	shared() // outside the bubble, whose clock is of another year
	synctest.Test(t, func(t *testing.T) {
		h := &house{t: t, engine: memory.New(time.Now)}
		h.store = store.New(store.Options{Engine: h.engine})
		defer h.store.Close()
		h.server = New(Options{Store: h.store, Auth: auth.New(auth.Options{Directory: shared().users, Cost: cheap})})
		h.deliver(strings.Repeat("x\r\n", 100_000))
		c, ended := h.pipe(t.Context(), "127.0.0.1:5")
		c.login()
		start := time.Now()
		c.send("RETR 1\r\n")
		ended.Wait()
		if d := time.Since(start); d != 5*time.Minute {
			t.Errorf("cut off after %v", d)
		}
		if !h.server.o.Locks.lock(t.Context(), alice, nil) {
			t.Error("the maildrop is still locked")
		}
	})
}

// I11: a session whose client has gone without a word gives way to one that comes; one
// that only waits does not, and one that was closed is over at once.
func TestGoneWithoutAWord(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.deliver("Subject: 1\r\n\r\n", "Subject: 2\r\n\r\n")
	var silent atomic.Int64
	h.server.o.Locks.unheard = func(net.Conn) time.Duration { return time.Duration(silent.Load()) }
	first, ended := h.pipe(t.Context(), "127.0.0.1:5")
	first.login()
	first.ask("DELE 1", "+OK")
	second := h.dial()
	second.expect("+OK")
	for _, s := range []time.Duration{0, time.Minute - 1, time.Minute} {
		silent.Store(int64(s))
		second.ask("USER "+alice, "+OK")
		if s < time.Minute {
			second.ask("PASS "+password, "-ERR [IN-USE]")
		}
	}
	second.ask("PASS "+password, "+OK maildrop has 2 messages")
	ended.Wait()
	first.expect("(closed)")
	silent.Store(0)
	second.ask("DELE 2", "+OK")
	second.nc.Close()
	for { // until that is seen
		c := h.dial()
		c.expect("+OK")
		c.ask("USER "+alice, "+OK")
		c.send("PASS " + password + "\r\n")
		if line := c.line(); !strings.HasPrefix(line, "-ERR [IN-USE]") {
			if !strings.HasPrefix(line, "+OK maildrop has 2 messages") {
				t.Errorf("it says %q", line)
			}
			break
		}
		c.nc.Close()
	}
}

// The sessions of a server whose settings have changed, and those of the next, are of the
// same maildrops.
func TestLocksOutliveServers(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	first := h.dial()
	first.login()
	next := New(Options{Store: h.store, Auth: h.server.o.Auth, Locks: h.server.o.Locks})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- next.Serve(ctx, l, false) }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := h.client(nc)
	c.expect("+OK")
	c.ask("USER "+alice, "+OK")
	c.ask("PASS "+password, "-ERR [IN-USE]")
	first.ask("QUIT", "+OK")
	first.expect("(closed)")
	c.ask("USER "+alice, "+OK")
	c.ask("PASS "+password, "+OK")
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.PerHost = 3 })
	var open []*client
	for range 3 {
		c := h.dial()
		c.expect("+OK")
		open = append(open, c)
	}
	h.dial().expect("-ERR [SYS/TEMP] too many connections")
	open[0].ask("QUIT", "+OK")
	open[0].expect("(closed)")
	for { // the place is free when the session has ended
		c := h.dial()
		if strings.HasPrefix(c.line(), "+OK") {
			break
		}
	}
	c := open[1]
	c.ask("USER "+alice, "+OK")
	c.ask("PASS "+password, "+OK")
	for range maxBadAfter - 1 {
		c.ask("XYZZY", "-ERR unknown command")
	}
	c.ask("NOOP", "+OK")
	for range maxBadAfter {
		c.ask("XYZZY", "-ERR unknown command")
	}
	c.expect("(closed)")
}

// C7: a session that waits is told; one at work ends its command.
func TestStop(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Grace = 10 * time.Second })
	h.deliver("Subject: 1\r\n\r\n")
	idle, busy := h.dial(), h.dial()
	idle.expect("+OK")
	busy.login()
	busy.ask("DELE 1", "+OK")
	h.engine.Hold()
	busy.send("QUIT\r\n")
	for h.engine.Pending() == 0 {
		time.Sleep(time.Millisecond)
	}
	h.stop()
	idle.expect("-ERR [SYS/TEMP] the server ends the session")
	idle.expect("(closed)")
	h.engine.Release()
	busy.expect("+OK goodbye")
	busy.expect("(closed)")
	h.served.Wait()
	for _, l := range h.doors {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("still listening: %v", err)
		}
	}
}

// One that does not end within the grace time is cut off.
func TestStopCutsOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Grace = time.Millisecond })
	h.deliver(strings.Repeat("x\r\n", 10_000_000))
	c := h.dial()
	c.login()
	c.send("RETR 1\r\n") // and never read
	c.expect("+OK")
	h.stop()
	h.served.Wait()
}

func TestRestartKeepsUIDL(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.deliver("Subject: 1\r\n\r\n", "Subject: 2\r\n\r\n")
	uidl := func(h *house) string {
		c, ended := h.pipe(t.Context(), "127.0.0.1:5")
		c.login()
		c.ask("UIDL", "+OK")
		lines := strings.Join(c.lines(), " ")
		c.ask("QUIT", "+OK")
		c.nc.Close()
		ended.Wait()
		return lines
	}
	before := uidl(h)
	h.store.Close()
	h.engine.Reopen()
	o := h.server.o
	o.Store = store.New(store.Options{Engine: h.engine})
	defer o.Store.Close()
	again := &house{t: t, server: New(o), addr: h.addr}
	if after := uidl(again); after != before || !strings.HasSuffix(before, ".2") {
		t.Errorf("%s became %s", before, after)
	}
}

// panicking has an account that is better not looked up.
type panicking struct{ directory.Directory }

func (p panicking) Account(ctx context.Context, login string) (directory.Account, error) {
	if strings.HasPrefix(login, "panic") {
		panic("as asked for")
	}
	return p.Directory.Account(ctx, login)
}

// A panic ends its own connection, is on record and harms no other.
// RFC 2449 section 6.5: a login too soon after the last is refused, one account's
// only, and having tried costs nothing.
func TestLoginDelay(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := newHouse(t, func(o *Options) {
		o.LoginDelay = time.Minute
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	pass := func(user, want string) {
		t.Helper()
		c := h.dial()
		c.expect("+OK")
		c.ask("CAPA", "+OK")
		if !slices.Contains(c.lines(), "LOGIN-DELAY 60") {
			t.Error("the delay is not announced")
		}
		c.ask("USER "+user, "+OK")
		c.ask("PASS "+password, want)
		c.ask("QUIT", "+OK")
	}
	pass(alice, "+OK")
	pass(alice, "-ERR [LOGIN-DELAY] the last login was too short a time ago, wait 60 seconds")
	pass("bob@plic.test", "+OK")
	mu.Lock()
	now = now.Add(61 * time.Second)
	mu.Unlock()
	pass(alice, "+OK")
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	if len(h.server.last) != 1 {
		t.Errorf("%d logins are kept", len(h.server.last))
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) {
		o.Auth = auth.New(auth.Options{Directory: panicking{shared().users}, Cost: cheap})
	})
	other := h.dial()
	other.expect("+OK")
	c := h.dial()
	c.login()
	other.ask("USER panic@plic.test", "+OK")
	other.ask("PASS x", "(closed)")
	c.ask("STAT", "+OK 0 0")
	c.ask("QUIT", "+OK")
	for _, n := range h.journal.Counts() {
		if n.Kind == journal.Panic && n.N == 1 {
			return
		}
	}
	t.Errorf("no panic among %v", h.journal.Counts())
}

func TestJournal(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.deliver("Subject: 1\r\n\r\n", "Subject: 2\r\n\r\n")
	c, ended := h.pipe(t.Context(), "127.0.0.1:5")
	c.login()
	c.ask("RETR 1", "+OK")
	c.lines()
	c.ask("DELE 2", "+OK")
	c.ask("QUIT", "+OK")
	c.nc.Close()
	ended.Wait()
	var kinds []string
	for e, err := range h.journal.Find(t.Context(), journal.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, e.Kind)
		if e.Kind == journal.Read && (e.Account != alice || e.Reason != "1 retrieved, 1 deleted" || e.Size != 31 || e.Mailbox != "INBOX" || e.Remote != "127.0.0.1:5") {
			t.Errorf("%+v", e)
		}
	}
	if got := strings.Join(kinds, " "); got != "connect auth read disconnect" {
		t.Errorf("events: %s", got)
	}
}

func TestServeNeedsCertificate(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{})
	if err := s.Serve(t.Context(), l, true); err == nil {
		t.Error("TLS without a certificate")
	}
	if err := s.Serve(t.Context(), l, false); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v", err)
	}
}

// FuzzSession speaks to a live session, logged in or not.
func FuzzSession(f *testing.F) {
	for _, name := range []string{"session", "login", "auth", "injected", "tls"} {
		text, err := os.ReadFile("testdata/" + name + ".pop3")
		if err != nil {
			f.Fatal(err)
		}
		var script strings.Builder
		for line := range strings.Lines(string(text)) {
			if command, ok := strings.CutPrefix(line, "C: "); ok {
				script.WriteString(command)
			}
		}
		f.Add(true, []byte(script.String()))
		f.Add(false, []byte(script.String()))
	}
	f.Add(true, []byte("TOP 1 0\nRETR 1\nLIST\nUIDL 1\nSTLS\nrubbish"))
	h := newHouse(f, func(o *Options) { // all inputs come from one address, and some are guesses
		o.Auth = auth.New(auth.Options{
			Directory: shared().users, Cost: cheap, Guard: auth.GuardOptions{Refuse: 1 << 30},
			Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		})
	})
	f.Fuzz(func(t *testing.T, in bool, script []byte) {
		h.t = t
		if n := h.inbox().Info().Messages; n < 2 {
			h.deliver("Subject: 1\r\n\r\n.\r\n", "x")
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		c, ended := h.pipe(ctx, "127.0.0.1:5")
		if in {
			c.login()
		}
		go func() {
			c.nc.Write(script)
			c.nc.Write([]byte("\r\n*\r\nQUIT\r\n")) // out of an exchange of AUTH, too
		}()
		out, err := io.ReadAll(c.r)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the session does not end")
		}
		c.nc.Close()
		ended.Wait()
		if bytes.Contains(out, []byte("\n.\r\n.\r\n")) {
			t.Fatalf("an end too many: %q", out)
		}
		if !h.server.o.Locks.lock(t.Context(), alice, nil) {
			t.Fatal("the maildrop is still locked")
		}
		h.server.o.Locks.unlock(alice)
		for _, n := range h.journal.Counts() {
			if n.Kind == journal.Panic {
				t.Fatal("a panic")
			}
		}
	})
}

func BenchmarkRETR(b *testing.B) {
	for _, size := range []int{2 << 10, 20 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			h := newHouse(b, nil)
			const messages = 200
			line := strings.Repeat("x", 74) + "\r\n"
			text := "Subject: x\r\n\r\n" + strings.Repeat(line, size/len(line))
			for range messages {
				h.deliver(text)
			}
			c := h.dial()
			c.login()
			var script strings.Builder
			for i := range messages {
				fmt.Fprintf(&script, "RETR %d\r\n", i+1)
			}
			end := []byte("\r\n.\r\n")
			buf := make([]byte, 256<<10)
			b.SetBytes(int64(len(text)))
			b.ResetTimer()
			b.ReportAllocs()
			for n := 0; n < b.N; n += messages {
				c.nc.SetDeadline(time.Now().Add(time.Minute))
				go io.WriteString(c.nc, script.String())
				for done, tail := 0, 0; done < messages; {
					k, err := c.nc.Read(buf[tail:])
					if err != nil {
						b.Fatal(err)
					}
					all := buf[:tail+k]
					done += bytes.Count(all, end)
					tail = min(len(all), len(end)-1)
					if bytes.HasSuffix(all, end) {
						tail = 0
					}
					copy(buf, all[len(all)-tail:])
				}
			}
		})
	}
}
