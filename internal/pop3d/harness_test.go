package pop3d

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/auth"
	"plic/internal/directory"
	"plic/internal/directory/native"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/pki"
	"plic/internal/sasl"
	"plic/internal/store"
	"plic/internal/store/memory"
	"plic/internal/vfs"
)

var cheap = directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: sasl.MinIterations}

const alice, password = "alice@plic.test", "with a space"

// ground is what all tests may share: it does not change.
type ground struct {
	users *native.Directory
	cert  *tls.Certificate
	pool  *x509.CertPool
}

var shared = sync.OnceValue(func() ground {
	fs := vfs.NewMemory()
	users, err := native.Open(native.Options{FS: fs, Dir: "directory", Cost: cheap})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	users.AddDomain(ctx, mail.MustDomain("plic.test"))
	for _, name := range []string{alice, "bob@plic.test"} {
		if _, err := users.AddAccount(ctx, mail.MustAddress(name), password); err != nil {
			panic(err)
		}
	}
	ca, err := pki.Open(fs, "tls", time.Now())
	if err != nil {
		panic(err)
	}
	cert, err := ca.Issue([]string{"pop.plic.test"}, time.Now())
	if err != nil {
		panic(err)
	}
	return ground{users, cert, ca.Pool()}
})

// house is a server over a store in memory.
type house struct {
	t       testing.TB
	engine  *memory.Engine
	store   *store.Store
	journal *journal.Journal
	server  *Server
	addr    string // plain
	tlsAddr string // TLS from the first byte
	doors   []net.Listener
	stop    context.CancelFunc
	served  sync.WaitGroup
}

func newHouse(t testing.TB, change func(*Options)) *house {
	t.Helper()
	g := shared()
	h := &house{t: t, engine: memory.New(time.Now)}
	h.store = store.New(store.Options{Engine: h.engine})
	var err error
	if h.journal, err = journal.Open(journal.Options{FS: vfs.NewMemory(), Dir: "journal"}); err != nil {
		t.Fatal(err)
	}
	o := Options{
		Store: h.store, Journal: h.journal,
		Auth: auth.New(auth.Options{
			Directory: g.users, Cost: cheap, Journal: h.journal,
			Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		}),
		TLS:   &tls.Config{Certificates: []tls.Certificate{*g.cert}},
		Grace: time.Second,
	}
	if testing.Verbose() {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if change != nil {
		change(&o)
	}
	h.server = New(o)
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	h.addr, h.tlsAddr = h.serve(ctx, false), h.serve(ctx, true)
	t.Cleanup(func() {
		h.stop()
		h.served.Wait()
		h.store.Close()
		h.journal.Close()
	})
	return h
}

func (h *house) serve(ctx context.Context, implicitTLS bool) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	h.doors = append(h.doors, l)
	h.served.Go(func() {
		if err := h.server.Serve(ctx, l, implicitTLS); err != nil {
			h.t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func (h *house) inbox() *store.Mailbox {
	h.t.Helper()
	a, err := h.store.Account(context.Background(), alice)
	if err != nil {
		h.t.Fatal(err)
	}
	box, err := a.Mailbox(store.Inbox)
	if err != nil {
		h.t.Fatal(err)
	}
	return box
}

// deliver puts messages into alice's inbox as SMTP would, each with a header
// line before its body.
func (h *house) deliver(texts ...string) {
	h.t.Helper()
	ctx := context.Background()
	var in []store.Incoming
	for _, text := range texts {
		d, err := h.store.NewDraft(ctx)
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := io.WriteString(d, text); err != nil {
			h.t.Fatal(err)
		}
		in = append(in, store.Incoming{Draft: d, Prefix: []byte("Return-Path: <>\r\n")})
	}
	if _, err := h.inbox().Append(ctx, in...); err != nil {
		h.t.Fatal(err)
	}
}

// client is the other end of a session.
type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func (h *house) dial() *client {
	h.t.Helper()
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.client(nc)
}

func (h *house) client(nc net.Conn) *client {
	c := &client{h.t, nc, bufio.NewReader(nc)}
	nc.SetDeadline(time.Now().Add(20 * time.Second)) // a hang is a failure
	h.t.Cleanup(func() { nc.Close() })
	return c
}

func (c *client) secure(nc net.Conn) {
	t := tls.Client(nc, &tls.Config{ServerName: "pop.plic.test", RootCAs: shared().pool})
	if err := t.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.nc, c.r = t, bufio.NewReader(t)
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.nc, text); err != nil {
		c.t.Fatal(err)
	}
}

// line reads a line; "(closed)" at the end.
func (c *client) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		if line != "" {
			c.t.Fatalf("the connection ended in %q", line)
		}
		return "(closed)"
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c *client) expect(prefix string) string {
	c.t.Helper()
	line := c.line()
	if !strings.HasPrefix(line, prefix) {
		c.t.Fatalf("got %q, want %q", line, prefix)
	}
	return line
}

// ask sends a command and wants a reply that begins so.
func (c *client) ask(command, prefix string) string {
	c.t.Helper()
	c.send(command + "\r\n")
	return c.expect(prefix)
}

// lines reads a multi-line reply behind its first line, without the dots.
func (c *client) lines() []string {
	c.t.Helper()
	var all []string
	for {
		line := c.line()
		switch {
		case line == ".":
			return all
		case line == "(closed)":
			c.t.Fatal("the connection ended in a multi-line reply")
		}
		all = append(all, strings.TrimPrefix(line, "."))
	}
}

func (c *client) login() {
	c.t.Helper()
	c.expect("+OK")
	c.ask("USER "+alice, "+OK")
	c.ask("PASS "+password, "+OK")
}
