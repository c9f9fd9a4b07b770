package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/auth"
	"plic/internal/mail"
	"plic/internal/sasl"
)

// office is an Intake that keeps what it gets: its domain is us.example, where
// alice and bob live; full has no room, and nobody else is there.
type office struct {
	mu     sync.Mutex
	got    []taken
	aborts int
	drafts int
	commit func(env *mail.Envelope) ([]mail.Outcome, error) // instead of success
}

type taken struct {
	env   mail.Envelope
	trace string
	body  string
}

func (o *office) Sender(_ context.Context, env *mail.Envelope) error {
	if env.From.Local == "panic" {
		panic("a bug in the intake")
	}
	account := env.Origin.Account
	if account != "" && !env.From.IsNull() && env.From.String() != account {
		return &mail.Failure{Op: "send", Status: mail.Reply(553, "5.7.1", "not yours"), Err: errors.New("a secret reason")}
	}
	return nil
}

func (o *office) Recipient(_ context.Context, env *mail.Envelope, to mail.Recipient) error {
	us := to.Address.Domain == mail.Domain{} || to.Address.Domain == mail.MustDomain("us.example")
	switch {
	case !us && env.Origin.Account == "":
		return mail.Reply(550, "5.7.1", "no relaying")
	case !us:
		return nil
	case to.Address.Local == "full":
		return mail.Reply(452, "4.2.2", "mailbox full")
	case to.Address.Local == "broken":
		return errors.New("the directory is on fire")
	case to.Address.Local == "alice" || to.Address.Local == "bob" || to.Address.Domain == mail.Domain{}:
		return nil
	}
	return mail.Reply(550, "5.1.1", "no such user")
}

func (o *office) Begin(_ context.Context, env *mail.Envelope) (Draft, error) {
	if env.From.Local == "nospace" {
		return nil, mail.Reply(452, "4.3.1", "no room")
	}
	o.mu.Lock()
	o.drafts++
	o.mu.Unlock()
	return &draft{o: o, fail: env.From.Local == "enospc"}, nil
}

type draft struct {
	bytes.Buffer
	o    *office
	fail bool
	over bool
}

func (d *draft) Write(p []byte) (int, error) {
	if d.over {
		panic("written to after its end")
	}
	if d.fail {
		return 0, mail.Reply(452, "4.3.1", "no room")
	}
	return d.Buffer.Write(p)
}

func (d *draft) Size() int64     { return int64(d.Len()) }
func (d *draft) Body() mail.Body { return nil }

func (d *draft) Abort() {
	if d.over {
		panic("ended twice")
	}
	d.over = true
	d.o.mu.Lock()
	d.o.aborts++
	d.o.mu.Unlock()
}

func (d *draft) Commit(_ context.Context, env *mail.Envelope, trace []byte) ([]mail.Outcome, error) {
	if d.over {
		panic("committed after its end")
	}
	var outcomes []mail.Outcome
	if d.o.commit != nil {
		var err error
		if outcomes, err = d.o.commit(env); err != nil {
			return nil, err
		}
	}
	d.over = true
	d.o.mu.Lock()
	defer d.o.mu.Unlock()
	if outcomes == nil {
		for range env.To {
			outcomes = append(outcomes, mail.Outcome{Status: mail.Reply(250, "2.1.5", "ok")})
		}
	}
	d.o.got = append(d.o.got, taken{*env, string(trace), d.String()})
	return outcomes, nil
}

// messages are those taken so far; each draft must have ended once.
func (o *office) messages() []taken {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]taken(nil), o.got...)
}

func (o *office) leaks() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.drafts - o.aborts - len(o.got)
}

// keys is an Authenticator that knows alice, with the password "secret".
type keys struct{ tried *[]string }

func (k keys) Mechanisms(p auth.Peer) []string {
	if p.TLS == nil && !p.Loopback {
		return nil
	}
	return []string{"PLAIN", "LOGIN"}
}

type exchange struct {
	sasl.Server
	user string
}

func (k keys) Begin(_ context.Context, p auth.Peer, mechanism string) (Exchange, error) {
	x := &exchange{}
	check := func(user, password string) error {
		if k.tried != nil {
			*k.tried = append(*k.tried, user)
		}
		switch {
		case user == "slow@us.example":
			return auth.ErrThrottled
		case user != "alice@us.example" || password != "secret":
			return auth.ErrBad
		}
		x.user = user
		return nil
	}
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		x.Server = sasl.NewPlain(check)
	case "LOGIN":
		x.Server = sasl.NewLogin(check)
	default:
		return nil, auth.ErrNoMechanism
	}
	if p.TLS == nil && !p.Loopback {
		return nil, auth.ErrNeedTLS
	}
	return x, nil
}

func (x *exchange) Next(_ context.Context, response []byte) ([]byte, bool, error) {
	challenge, done, err := x.Server.Next(response)
	if errors.Is(err, sasl.ErrMalformed) || errors.Is(err, sasl.ErrTooLong) {
		err = auth.ErrMalformed
	}
	return challenge, done, err
}

func (x *exchange) Account() string { return x.user }

var certificate = sync.OnceValue(func() tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"mx.us.example"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// bell is a listener over pipes.
type bell struct {
	calls chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newBell() *bell { return &bell{calls: make(chan net.Conn), done: make(chan struct{})} }

func (b *bell) Accept() (net.Conn, error) {
	select {
	case c := <-b.calls:
		return c, nil
	case <-b.done:
		return nil, net.ErrClosed
	}
}
func (b *bell) Close() error   { b.once.Do(func() { close(b.done) }); return nil }
func (b *bell) Addr() net.Addr { return &net.TCPAddr{} }

// addressed is a pipe's end with addresses.
type addressed struct {
	net.Conn
	remote netip.AddrPort
}

func (a addressed) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(a.remote) }
func (a addressed) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:25"))
}

// house is a server under test.
type house struct {
	t      testing.TB
	o      *office
	bell   *bell
	tcp    string // where it listens instead of the bell
	server *Server
	cancel context.CancelFunc
	done   chan error
	waits  *waits
}

// waits counts the delays instead of taking them.
type waits struct {
	mu sync.Mutex
	n  int
}

func (w *waits) wait(context.Context, time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	return nil
}

func (w *waits) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

var now = time.Date(2026, 11, 23, 20, 43, 23, 0, time.UTC)

func open(t testing.TB, kind Kind, change func(*Options)) *house {
	h := &house{t: t, o: &office{}, bell: newBell(), done: make(chan error, 1), waits: &waits{}}
	o := Options{Host: "mx.us.example", Intake: h.o, Auth: keys{}, Wait: h.waits.wait, Now: func() time.Time { return now }}
	if change != nil {
		change(&o)
	}
	if given, ok := o.Intake.(*office); ok {
		h.o = given
	}
	h.server = New(o)
	h.serve(h.bell, kind)
	return h
}

func (h *house) serve(l net.Listener, kind Kind) {
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() { h.done <- h.server.Serve(ctx, l, kind) }()
}

// openTCP is open with a real socket on loopback, which has room: octets may be
// under way in both directions.
func openTCP(t testing.TB, kind Kind, change func(*Options)) *house {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, kind, change)
	h.cancel()
	<-h.done
	h.tcp = l.Addr().String()
	h.serve(l, kind)
	return h
}

// close stops the server and looks whether everything was given back.
func (h *house) close() {
	h.t.Helper()
	h.cancel()
	if err := <-h.done; err != nil {
		h.t.Errorf("Serve: %v", err)
	}
	if n := h.server.Connections(); n != 0 {
		h.t.Errorf("%d connections are still counted", n)
	}
	if n := h.o.leaks(); n != 0 {
		h.t.Errorf("%d drafts were neither committed nor aborted", n)
	}
}

// dial connects from an address.
func (h *house) dial(from string) *client { return newClient(h.t, h.ring(from)) }

// ring is dial without a reader.
func (h *house) ring(from string) net.Conn {
	if h.tcp != "" {
		c, err := net.Dial("tcp", h.tcp)
		if err != nil {
			h.t.Fatal(err)
		}
		return c
	}
	ours, theirs := net.Pipe()
	h.bell.calls <- addressed{theirs, netip.MustParseAddrPort(from)}
	return ours
}

// client is the other end, which reads all the time, as a pipe has no room.
type client struct {
	t     testing.TB
	c     net.Conn
	lines chan string // closed at the end
}

func newClient(t testing.TB, c net.Conn) *client {
	k := &client{t: t, c: c}
	k.listen(c)
	return k
}

func (k *client) listen(c net.Conn) {
	lines := make(chan string, 1000)
	k.c, k.lines = c, lines
	go func() {
		defer close(lines)
		r := bufio.NewReader(c)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			lines <- line
			if strings.HasPrefix(line, "220 2.0.0") {
				return // the handshake comes
			}
		}
	}()
}

// secure makes the handshake; what it says is the client's error.
func (k *client) secure(config *tls.Config) error {
	for range k.lines { // the reader has left
		k.t.Error("more than a reply to STARTTLS")
	}
	if config == nil {
		config = &tls.Config{InsecureSkipVerify: true}
	}
	over := tls.Client(k.c, config)
	if err := over.Handshake(); err != nil {
		return err
	}
	k.listen(over)
	return nil
}

// send writes raw octets; it is no error that the server has gone.
func (k *client) send(text string) {
	io.WriteString(k.c, text)
}

// next is the next line, "" at the end.
func (k *client) next() string {
	select {
	case line := <-k.lines:
		return strings.TrimSuffix(line, "\r\n")
	case <-time.After(time.Minute):
		k.t.Error("no answer")
		return ""
	}
}

// reply reads a whole reply, its last line.
func (k *client) reply() string {
	for {
		line := k.next()
		if len(line) < 4 || line[3] != '-' {
			return line
		}
	}
}

// want reads a reply and compares its beginning.
func (k *client) want(prefix string) {
	k.t.Helper()
	if got := k.reply(); !strings.HasPrefix(got, prefix) || got == "" && prefix != "" {
		k.t.Errorf("got %q, want %q", got, prefix)
	}
}

// say sends a line and reads the reply.
func (k *client) say(line, prefix string) {
	k.t.Helper()
	k.send(line + "\r\n")
	if got := k.reply(); !strings.HasPrefix(got, prefix) {
		k.t.Errorf("%.80q: got %q, want %q", line, got, prefix)
	}
}

// gone expects the end.
func (k *client) gone() {
	k.t.Helper()
	select {
	case line, ok := <-k.lines:
		if ok {
			k.t.Errorf("got %q, want the end", line)
		}
	case <-time.After(time.Minute):
		k.t.Error("the connection is open")
	}
}

func withTLS(o *Options) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}}
	o.TLS = func() *tls.Config { return config }
}
