package managesieved

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/auth"
	"plic/internal/directory"
	"plic/internal/directory/native"
	"plic/internal/mail"
	"plic/internal/pki"
	"plic/internal/sasl"
	"plic/internal/scripts"
	"plic/internal/store"
	"plic/internal/store/memory"
	"plic/internal/vfs"
)

const alice, password = "alice@plic.test", "with a space"

// house is a server over a store in memory.
type house struct {
	addr string
	pool *x509.CertPool
	ca   string // its certificate, a file
	stop context.CancelFunc
}

func newHouse(t *testing.T) *house {
	t.Helper()
	cheap := directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: sasl.MinIterations}
	fs := vfs.NewMemory()
	users, err := native.Open(native.Options{FS: fs, Dir: "directory", Cost: cheap})
	if err != nil {
		t.Fatal(err)
	}
	users.AddDomain(t.Context(), mail.MustDomain("plic.test"))
	if _, err := users.AddAccount(t.Context(), mail.MustAddress(alice), password); err != nil {
		t.Fatal(err)
	}
	ca, err := pki.Open(fs, "tls", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue([]string{"localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	st := store.New(store.Options{Engine: memory.New(time.Now)})
	server := New(Options{
		Store: st, Scripts: scripts.New(scripts.Options{Store: st}),
		Auth: auth.New(auth.Options{Directory: users, Cost: cheap, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}),
		TLS:  &tls.Config{Certificates: []tls.Certificate{*cert}}, Grace: time.Second,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(ctx, l); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		served.Wait()
		st.Close()
	})
	h := &house{addr: l.Addr().String(), pool: ca.Pool(), stop: stop, ca: filepath.Join(t.TempDir(), "ca.pem")}
	pem, err := fs.Open("tls/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer pem.Close()
	text, err := io.ReadAll(pem)
	if err == nil {
		err = os.WriteFile(h.ca, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// client plays dialogues: "C: " is sent, "S: " must come, "%" standing for
// anything; the greeting is skipped to its OK.
type client struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func (h *house) dial(t *testing.T) *client {
	t.Helper()
	nc, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	c := &client{t, nc, bufio.NewReader(nc)}
	c.until("OK")
	return c
}

func (c *client) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "(closed)"
	}
	return strings.TrimSuffix(line, "\r\n")
}

// until reads to a line that begins so, and gives all before it.
func (c *client) until(prefix string) (before []string) {
	c.t.Helper()
	for {
		line := c.line()
		if strings.HasPrefix(line, prefix) {
			return before
		}
		if line == "(closed)" {
			c.t.Fatalf("closed before %s, after %q", prefix, before)
		}
		before = append(before, line)
	}
}

func (c *client) play(dialogue string) {
	c.t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(dialogue), "\n") {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "C: "); ok {
			fmt.Fprintf(c.nc, "%s\r\n", strings.ReplaceAll(text, `\r\n`, "\r\n"))
			continue
		}
		want := strings.TrimPrefix(line, "S: ")
		got := c.line()
		prefix, any := strings.CutSuffix(want, "%")
		if got != want && !(any && strings.HasPrefix(got, prefix)) {
			c.t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

var plain = base64.StdEncoding.EncodeToString([]byte("\x00" + alice + "\x00" + password))

// A client that was silent for a while gets a long answer as well as a short one,
// and one that does not take it is cut off.
func TestLongAnswerAfterSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cheap := directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: sasl.MinIterations}
		users, err := native.Open(native.Options{FS: vfs.NewMemory(), Dir: "directory", Cost: cheap})
		if err != nil {
			t.Fatal(err)
		}
		users.AddDomain(t.Context(), mail.MustDomain("plic.test"))
		if _, err := users.AddAccount(t.Context(), mail.MustAddress(alice), password); err != nil {
			t.Fatal(err)
		}
		st := store.New(store.Options{Engine: memory.New(time.Now)})
		defer st.Close()
		s := New(Options{Store: st, Scripts: scripts.New(scripts.Options{Store: st}), Auth: auth.New(auth.Options{Directory: users, Cost: cheap})})
		ours, theirs := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			s.serve(t.Context(), t.Context(), ours, netip.MustParseAddrPort("127.0.0.1:5"))
		}()
		c := &client{t, theirs, bufio.NewReader(theirs)}
		c.until("OK")
		text := "#" + strings.Repeat("x", 20000) + "\r\n"
		c.play(`
			C: AUTHENTICATE "PLAIN" "` + plain + `"
			S: OK "welcome"`)
		fmt.Fprintf(theirs, "PUTSCRIPT \"long\" {%d+}\r\n%s\r\n", len(text), text)
		c.until("OK")
		time.Sleep(10 * time.Minute)
		fmt.Fprintf(theirs, "GETSCRIPT \"long\"\r\n")
		if got := c.until("OK"); len(got) < 2 || got[1]+"\r\n" != text {
			t.Errorf("%.100q", got)
		}
		began := time.Now()
		fmt.Fprintf(theirs, "GETSCRIPT \"long\"\r\n")
		<-ended
		if d := time.Since(began); d != time.Minute {
			t.Errorf("cut off after %v", d)
		}
		theirs.Close()
	})
}

func TestSession(t *testing.T) {
	h := newHouse(t)
	c := h.dial(t)
	c.play(`
		C: NOOP "one"
		S: OK (TAG "one") "nothing done"
		C: LISTSCRIPTS
		S: NO "log in first"
		C: AUTHENTICATE "NONE"
		S: NO "no such authentication mechanism"
		C: AUTHENTICATE "PLAIN" "` + base64.StdEncoding.EncodeToString([]byte("\x00"+alice+"\x00wrong")) + `"
		S: NO "wrong user name or password"
		C: AUTHENTICATE "PLAIN"
		S: ""
		C: "*"
		S: NO "given up as asked for"
		C: AUTHENTICATE "PLAIN" "` + plain + `"
		S: OK "welcome"
		C: LISTSCRIPTS
		S: OK
		C: HAVESPACE "a" 1000
		S: OK "there is room"
		C: HAVESPACE "a" 1000000
		S: NO (QUOTA/MAXSIZE) %
		C: PUTSCRIPT "a" "keep;"
		S: OK "the script is kept"
		C: PUTSCRIPT "b" {15+}\r\nkeep;\r\ndiscard;
		S: OK "the script is kept"
		C: PUTSCRIPT "c" "fileinto \"A\";"
		S: NO "line 1, column 1: fileinto needs require \"fileinto\""
		C: CHECKSCRIPT "stop;"
		S: OK "the script is good"
		C: CHECKSCRIPT "frob;"
		S: NO "line 1, column 1: there is no command \"frob\""
		C: SETACTIVE "none"
		S: NO (NONEXISTENT) %
		C: SETACTIVE "b"
		S: OK "the script is active"
		C: LISTSCRIPTS
		S: "a"
		S: "b" ACTIVE
		S: OK
		C: GETSCRIPT "b"
		S: {15}
		S: keep;
		S: discard;
		S: OK
		C: DELETESCRIPT "b"
		S: NO (ACTIVE) %
		C: RENAMESCRIPT "b" "a"
		S: NO (ALREADYEXISTS) %
		C: RENAMESCRIPT "b" "with \"quotes\" and ü"
		S: OK "the script has its new name"
		C: LISTSCRIPTS
		S: "a"
		S: "with \"quotes\" and ü" ACTIVE
		S: OK
		C: SETACTIVE ""
		S: OK "no script is active"
		C: DELETESCRIPT "with \"quotes\" and ü"
		S: OK "the script is gone"
		C: DELETESCRIPT "gone"
		S: NO (NONEXISTENT) %
		C: FROBNICATE
		S: NO "there is no such command"
		C: NOOP 7
		S: NO "NOOP has other arguments"
		C: UNAUTHENTICATE
		S: OK "who are you?"
		C: GETSCRIPT "a"
		S: NO "log in first"
		C: LOGOUT
		S: OK "good bye"
		S: (closed)`)
}

func TestCapabilities(t *testing.T) {
	h := newHouse(t)
	c := h.dial(t)
	c.play(`C: CAPABILITY`)
	all := strings.Join(c.until("OK"), "\n")
	for _, want := range []string{`"IMPLEMENTATION" "plic"`, `"STARTTLS"`, `"VERSION" "1.0"`, `"NOTIFY" "mailto"`, "fileinto", "vacation"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is missing in\n%s", want, all)
		}
	}
	if strings.Contains(all, "vnd.") || strings.Contains(all, "OWNER") {
		t.Errorf("too much is told:\n%s", all)
	}
	c.play(`C: STARTTLS
		S: OK "begin TLS now"`)
	tc := tls.Client(c.nc, &tls.Config{ServerName: "localhost", RootCAs: h.pool})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.nc, c.r = tc, bufio.NewReader(tc)
	if again := strings.Join(c.until("OK"), "\n"); strings.Contains(again, "STARTTLS") || !strings.Contains(again, "PLUS") {
		t.Errorf("after TLS:\n%s", again)
	}
	c.play(`C: AUTHENTICATE "PLAIN" "` + plain + `"
		S: OK "welcome"`)
}

// TestHostile has what strangers send before login and what breaks the grammar:
// the session ends, and nothing large is kept.
func TestHostile(t *testing.T) {
	h := newHouse(t)
	for _, x := range []string{
		`AUTHENTICATE "PLAIN" {4294967295+}`,
		`AUTHENTICATE "PLAIN" {20000+}`,
		`AUTHENTICATE {99999999999999999999+}`,
		`PUTSCRIPT "a" {5}`,
		`NOOP "` + strings.Repeat("a", 20000),
		strings.Repeat("A", 100),
		`NOOP "a" "b" "c" "d" "e"`,
		`NOOP "\x"`, "NOOP \"a\x00\"", "NOOP \"\xff\"", `NOOP (`, `GET / HTTP/1.1`,
	} {
		c := h.dial(t)
		fmt.Fprintf(c.nc, "%s\r\n", x)
		if got := c.line(); !strings.HasPrefix(got, "BYE") && got != "(closed)" {
			t.Errorf("%.40q: %s", x, got)
		}
	}
	c := h.dial(t)
	fmt.Fprintf(c.nc, "STARTTLS\r\nNOOP\r\n")
	if got := c.line(); !strings.HasPrefix(got, "BYE") {
		t.Errorf("injected: %s", got)
	}
	c = h.dial(t)
	fmt.Fprint(c.nc, strings.Repeat("FROB\r\n", maxBad+1))
	if before := c.until("BYE"); len(before) != maxBad-1 {
		t.Errorf("hung up after %d commands that were no good", len(before))
	}
}

// TestSieveConnect has Debian's client do a day's work.
func TestSieveConnect(t *testing.T) {
	if testing.Short() {
		t.Skip("runs sieve-connect")
	}
	if _, err := exec.LookPath("sieve-connect"); err != nil {
		t.Fatal("sieve-connect is not installed: make test sees to it")
	}
	h := newHouse(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "my.sieve"), []byte("require \"fileinto\";\nfileinto \"A\";\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pass"), []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(h.addr)
	run := func(args ...string) string {
		t.Helper()
		pass, err := os.Open(filepath.Join(dir, "pass"))
		if err != nil {
			t.Fatal(err)
		}
		defer pass.Close()
		args = append([]string{"--server", "localhost", "--4", "--port", port, "--nosslverify", "--user", alice, "--passwordfd", "0", "--authmech", "PLAIN"}, args...)
		c := exec.CommandContext(t.Context(), "sieve-connect", args...)
		c.Dir, c.Stdin = dir, pass
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("--localsieve", "my.sieve", "--remotesieve", "mine", "--upload")
	run("--remotesieve", "mine", "--activate")
	if out := run("--list"); !strings.Contains(out, `"mine" ACTIVE`) {
		t.Errorf("list:\n%s", out)
	}
	run("--remotesieve", "mine", "--localsieve", "back.sieve", "--download")
	if back, err := os.ReadFile(filepath.Join(dir, "back.sieve")); err != nil || !strings.Contains(string(back), `fileinto "A"`) {
		t.Errorf("came back: %v %q", err, back)
	}
	run("--deactivate")
	run("--remotesieve", "mine", "--delete")
}
