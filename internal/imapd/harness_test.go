package imapd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/auth"
	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// cheap makes hashing cost next to nothing.
func cheap() directory.Cost {
	return directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: 4096}
}

// users is a directory of a few accounts, all with the password "secret".
type users struct{ secret directory.Secret }

func (u users) Domain(context.Context, mail.Domain) (directory.Domain, error) {
	return directory.Domain{}, directory.ErrNotFound
}

func (u users) Resolve(context.Context, mail.Address) (directory.Target, error) {
	return directory.Target{}, directory.ErrNotFound
}

func (u users) Account(_ context.Context, login string) (directory.Account, error) {
	if !slices.Contains([]string{"alice", "bob", "carl", "team"}, login) {
		return directory.Account{}, directory.ErrNotFound
	}
	a := directory.Account{Name: login, Secret: u.secret}
	if login == "team" {
		a.Groups = []string{"Staff", "sales"}
	}
	return a, nil
}

func (u users) Owns(context.Context, string, mail.Address) (bool, error) { return false, nil }

var secretOnce = sync.OnceValue(func() directory.Secret {
	s, err := directory.NewSecret("secret", cheap())
	if err != nil {
		panic(err)
	}
	return s
})

// house is a server over a store, in memory but for houseOver.
type house struct {
	t      testing.TB
	engine *memory.Engine
	store  *store.Store
	server *Server
	ln     *memListener
	stop   context.CancelFunc
	done   chan error
}

func newStore(t testing.TB) (*memory.Engine, *store.Store) {
	t.Helper()
	e := memory.New(time.Now)
	s := store.New(store.Options{Engine: e})
	t.Cleanup(func() { s.Close() })
	return e, s
}

func newHouse(t testing.TB, change func(*Options)) *house {
	t.Helper()
	e, s := newStore(t)
	h := houseOver(t, s, change)
	h.engine = e
	return h
}

func houseOver(t testing.TB, s *store.Store, change func(*Options)) *house {
	t.Helper()
	o := Options{
		Store: s,
		Auth: auth.New(auth.Options{
			Directory: users{secretOnce()}, Cost: cheap(),
			Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		}),
		Log:   slog.New(slog.DiscardHandler),
		TLS:   &tls.Config{Certificates: []tls.Certificate{certificate()}},
		Grace: time.Second,
		// A machine that is busy may take long over anything.
		ProgressEvery: time.Hour,
	}
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if change != nil {
		change(&o)
	}
	h := &house{t: t, store: s, server: New(o), ln: newMemListener(), done: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	go func() { h.done <- h.server.Serve(ctx, h.ln, false) }()
	t.Cleanup(h.close)
	return h
}

func (h *house) close() {
	h.stop()
	if err := <-h.done; err != nil {
		h.t.Errorf("Serve: %v", err)
	}
	h.done <- nil
}

// deliver puts a message into alice's mailbox as SMTP would.
func (h *house) deliver(mailbox string, flags store.Flags, texts ...string) {
	h.t.Helper()
	ctx := context.Background()
	account, err := h.store.Account(ctx, "alice")
	if err != nil {
		h.t.Fatal(err)
	}
	mb, err := account.Mailbox(mailbox)
	if err != nil {
		h.t.Fatal(err)
	}
	in := make([]store.Incoming, 0, len(texts))
	for _, text := range texts {
		d, err := h.store.NewDraft(ctx)
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := io.WriteString(d, text); err != nil {
			h.t.Fatal(err)
		}
		in = append(in, store.Incoming{
			Draft: d, Flags: flags, Internal: time.Date(2024, 2, 29, 12, 0, len(in), 0, time.UTC),
		})
	}
	if _, err := mb.Append(ctx, in...); err != nil {
		h.t.Fatal(err)
	}
}

// eml reads a message of testdata, with CRLF line ends.
func eml(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\n", "\r\n")
}

// memListener hands out ends of pipes that look like connections from an
// address.
type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memListener) Addr() net.Addr { return memAddr("127.0.0.1:143") }

func (l *memListener) dial(from string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- memConn{theirs, memAddr(from)}:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

type memAddr string

func (memAddr) Network() string  { return "tcp" }
func (a memAddr) String() string { return string(a) }

type memConn struct {
	net.Conn
	from memAddr
}

func (c memConn) RemoteAddr() net.Addr { return c.from }

// client is the other end. A goroutine reads all the time, so that neither end
// waits for the other in vain.
type client struct {
	t     testing.TB
	nc    net.Conn
	lines chan string
	wait  time.Duration // for a line

	uidValidity string // that it was told last
}

func (h *house) dial(from string) *client {
	h.t.Helper()
	nc, err := h.ln.dial(from)
	if err != nil {
		h.t.Fatal(err)
	}
	return newClient(h.t, nc)
}

func newClient(t testing.TB, nc net.Conn) *client {
	c := &client{t: t, nc: nc, lines: make(chan string, 1<<16), wait: 20 * time.Second}
	t.Cleanup(func() { nc.Close() })
	go func() {
		defer close(c.lines)
		r := bufio.NewReaderSize(nc, 1<<16)
		for {
			line, err := r.ReadString('\n')
			if line != "" {
				c.lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// open connects from loopback, reads the greeting and logs in.
func (h *house) open(user string) *client {
	h.t.Helper()
	c := h.dial("127.0.0.1:4000")
	c.expect("* OK [CAPABILITY ...")
	c.ok("LOGIN " + user + " secret")
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	c.nc.SetWriteDeadline(time.Now().Add(time.Minute))
	if _, err := io.WriteString(c.nc, text); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		c.t.Fatalf("send %.100q: %v", text, err)
	}
}

// line gives the next line without its end; false at the end of the connection.
func (c *client) line() (string, bool) {
	c.t.Helper()
	select {
	case line, ok := <-c.lines:
		text, whole := strings.CutSuffix(line, "\r\n")
		if ok && !whole {
			c.t.Errorf("a line does not end with CRLF: %q", line)
		}
		return text, ok
	case <-time.After(c.wait):
		c.t.Fatal("the server does not answer")
		return "", false
	}
}

// expect reads lines that must match the patterns, in which "..." is any text.
// The MAILBOXID of each SELECT is passed over where none is expected.
func (c *client) expect(patterns ...string) {
	c.t.Helper()
	for _, p := range patterns {
		line, ok := c.line()
		for ok && strings.HasPrefix(line, "* OK [MAILBOXID ") && !strings.Contains(p, "MAILBOXID") {
			line, ok = c.line()
		}
		if !ok {
			c.t.Fatalf("the connection ended; expected %q", p)
		}
		if !match(p, line) {
			c.t.Fatalf("got      %q\nexpected %q", line, p)
		}
		if rest, ok := strings.CutPrefix(line, "* OK [UIDVALIDITY "); ok {
			c.uidValidity, _, _ = strings.Cut(rest, "]")
		}
	}
}

func (c *client) closed() {
	c.t.Helper()
	if line, ok := c.line(); ok {
		c.t.Fatalf("got %q, expected the end of the connection", line)
	}
}

// ok sends a command and gives the untagged lines before its OK.
func (c *client) ok(command string) []string {
	c.t.Helper()
	lines, answer := c.do(command)
	if !strings.HasPrefix(answer, "OK") {
		c.t.Fatalf("%s: %s", command, answer)
	}
	return lines
}

// do sends a command and gives the lines before its answer, and that without
// its tag.
func (c *client) do(command string) (lines []string, answer string) {
	c.t.Helper()
	c.send("x " + command + "\r\n")
	for {
		line, ok := c.line()
		if !ok {
			c.t.Fatalf("%s: the connection ended", command)
		}
		if rest, ok := strings.CutPrefix(line, "x "); ok {
			return lines, rest
		}
		lines = append(lines, line)
	}
}

// match compares a line with a pattern in which "..." is any text.
func match(pattern, line string) bool {
	pieces := strings.Split(pattern, "...")
	if !strings.HasPrefix(line, pieces[0]) {
		return false
	}
	line = line[len(pieces[0]):]
	for i, p := range pieces[1:] {
		if i == len(pieces)-2 {
			return strings.HasSuffix(line, p)
		}
		at := strings.Index(line, p)
		if at < 0 {
			return false
		}
		line = line[at+len(p):]
	}
	return line == ""
}

var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

var _ engine.Engine = (*memory.Engine)(nil)
