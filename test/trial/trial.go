// Package trial runs `plic quickstart`, the real program as a newcomer meets
// it, for tests that come to it with the clients of others.
package trial

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plic/test/peers"
)

// Host is where a Server listens, by a name that is in its certificate: not
// every client finds addresses there.
const Host = "localhost"

// The well-known ports, to which a Server adds its base.
const (
	LMTP, SMTP, HTTP, POP3, IMAP = 24, 25, 80, 110, 143
	Submissions, Submission      = 465, 587
	IMAPS, POP3S                 = 993, 995
	Sieve                        = 4190
)

// Account is a user of a Server.
type Account struct{ Name, Password string }

// Server is a quickstart that runs.
type Server struct {
	Dir    string // its data
	Base   int    // what is added to the ports
	Banner string // all that it said at its start
	proc   *exec.Cmd
	out    *output
	ended  chan struct{} // closed when err is there
	err    error
	once   sync.Once
}

// Build makes the program of the module in root, in a directory that remove
// takes away.
func Build(root string) (program string, remove func(), err error) {
	dir, err := os.MkdirTemp("", "plic-trial-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	program = filepath.Join(dir, "plic")
	build := exec.Command("go", "build", "-C", root, "-o", program, "./cmd/plic")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		remove()
		return "", nil, fmt.Errorf("go build: %w: %s", err, text)
	}
	return program, remove, nil
}

// Main runs tests with the program of the module in root, and gives the exit
// code.
func Main(m *testing.M, root string, use func(program string)) int {
	program, remove, err := Build(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer remove()
	use(program)
	return m.Run()
}

// Start runs the program on a new directory and ports of its own. It is
// stopped at the end of the test, and must then end in peace.
func Start(t testing.TB, program string, accounts ...Account) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "plic-trial-") // the socket in it needs a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	args := []string{}
	for _, x := range accounts {
		args = append(args, "--account", x.Name+":"+x.Password)
	}
	return StartIn(t, filepath.Join(dir, "data"), program, args...)
}

// StartIn runs the program on a directory, which may have been in use before.
func StartIn(t testing.TB, dir, program string, args ...string) *Server {
	t.Helper()
	for try := 0; ; try++ {
		base, err := FreeBase()
		if err != nil {
			t.Fatal(err)
		}
		s, err := Run(dir, base, exec.Command(program, append([]string{
			"quickstart", "--dir", dir, "--port-base", strconv.Itoa(base)}, args...)...))
		switch {
		case err == nil:
			t.Cleanup(func() { s.Stop(t) })
			return s
		case try == 3 || !strings.Contains(err.Error(), "Another program listens there"):
			t.Fatal(err)
		}
	}
}

// FreeBase is a base whose ports are free. They are below those that the
// system gives out by itself.
func FreeBase() (int, error) {
	for range 100 {
		base := 11000 + rand.IntN(17000)
		if free(base) {
			return base, nil
		}
	}
	return 0, errors.New("no free ports were found")
}

func free(base int) bool {
	for _, port := range []int{LMTP, SMTP, HTTP, POP3, IMAP, Submissions, Submission, IMAPS, POP3S, Sieve} {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+port)))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

// Run runs a command that starts a quickstart on a directory and a base, and
// returns when it has said all.
func Run(dir string, base int, cmd *exec.Cmd) (*Server, error) {
	s := &Server{Dir: dir, Base: base, proc: cmd, ended: make(chan struct{}),
		out: &output{last: []byte(" queue list --dir "), said: make(chan struct{})}}
	cmd.Stdout, cmd.Stderr = s.out, s.out
	cmd.SysProcAttr = alone() // a group of its own, as in a terminal
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = cmd.Wait()
		close(s.ended)
	}()
	select {
	case <-s.out.said:
		s.Banner = s.out.String()
		return s, nil
	case <-s.ended:
		return nil, fmt.Errorf("quickstart ended: %v: %s", s.err, s.out)
	case <-time.After(60 * time.Second):
		s.kill()
		return nil, fmt.Errorf("quickstart says nothing more: %s", s.out)
	}
}

// Port is the port of a service.
func (s *Server) Port(wellKnown int) int { return s.Base + wellKnown }

// At is the address of a service, by the name in the certificate.
func (s *Server) At(wellKnown int) string {
	return net.JoinHostPort(Host, strconv.Itoa(s.Port(wellKnown)))
}

// CA is the file of the authority that signed the certificate.
func (s *Server) CA() string { return filepath.Join(s.Dir, "tls", "ca.pem") }

// Output is all that the program has said.
func (s *Server) Output() string { return s.out.String() }

// Interrupt is Ctrl-C: a signal for all that the terminal runs. It gives the
// error of the end, nil being exit code 0.
func (s *Server) Interrupt(patience time.Duration) error {
	syscall.Kill(-s.proc.Process.Pid, syscall.SIGINT)
	select {
	case <-s.ended:
		return s.err
	case <-time.After(patience):
		s.kill()
		return fmt.Errorf("it did not end within %v of Ctrl-C", patience)
	}
}

// Stop ends the program as Ctrl-C does, once. It must end with exit code 0.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.once.Do(func() {
		if err := s.Interrupt(10 * time.Second); err != nil {
			t.Errorf("quickstart: %v: %s", err, s.out)
		}
	})
}

func (s *Server) kill() {
	syscall.Kill(-s.proc.Process.Pid, syscall.SIGKILL)
	<-s.ended
}

// output keeps what is said, and tells when the last line of the start is there.
type output struct {
	last []byte
	said chan struct{}

	mu   sync.Mutex
	text bytes.Buffer
	full bool
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	if i := bytes.Index(o.text.Bytes(), o.last); !o.full && i >= 0 && bytes.IndexByte(o.text.Bytes()[i:], '\n') >= 0 {
		o.full = true
		close(o.said)
	}
	return len(p), nil
}

// String is all that was said.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Need skips a test for which a program is missing, unless all must be there:
// in CI and for root, who could install it with test/setup.sh.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs programs of others")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		peers.Missing(t, p+" is not installed")
	}
}
