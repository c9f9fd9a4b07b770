package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plic/internal/dns/dnstest"
	"plic/internal/mail"
)

var binary string // plic, as TestMain builds it

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("/tmp", "plic-crash-build-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "plic")
	code := 1
	if out, err := build(); err != nil {
		fmt.Fprintf(os.Stderr, "build plic: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func build() ([]byte, error) {
	if testing.Short() {
		return nil, nil
	}
	cmd := exec.Command("go", "build", "-o", binary, "plic/cmd/plic")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return cmd.CombinedOutput()
}

const config = `hostname = "mx.local.test"
data_dir = "%[1]s/data"
stop_grace = "10s"

[listen]
smtp = ["%[2]s:28025"]
lmtp = ["%[2]s:28024"]
submission = ["%[2]s:28587"]
imap = ["%[2]s:28143"]
pop3 = ["%[2]s:28110"]
submissions = []
imaps = []
pop3s = []
sieve = []
http = []

[dns]
servers = ["%[3]s"]

[auth]
hash_memory = "8MiB"
hash_rounds = 1

[queue]
backoff_min = "1s"
backoff_max = "1s"

[remote]
smart_host = "%[4]s"
tls = "off"

[route]
transports = 'inline:{b.sink.test="smtp:[mx.b.sink.test]:28025", c.sink.test="smtp:[mx.c.sink.test]:28025"}'

[store]
reserve = "%[5]s"
grace = "0s"

[log]
level = "info"
`

// site is plic as it is served, in a directory of its own.
type site struct {
	dir, address, config string
	wrapper              []string // a command that runs the server

	cmd   *exec.Cmd
	ended chan struct{}
	mu    sync.Mutex
	exit  error
}

// newSite makes a site on 127.81.n.1, with a sink to be at 127.81.n.2, and the
// accounts.
func newSite(t *testing.T, n int, reserve string, mount func(data string)) *site {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "plic-crash-") // the control socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("PLIC_CRASH_KEEP") != "" {
			t.Logf("kept %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	resolver, err := dnstest.Start(fmt.Sprintf("127.81.%d.3:0", n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(resolver.Close)
	for _, host := range sinks[1:] {
		if err := resolver.Add(fmt.Sprintf("mx.%s. 60 IN A 127.81.%d.2", host, n)); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{dir: dir, address: fmt.Sprintf("127.81.%d.1", n), config: dir + "/plic.toml"}
	text := fmt.Sprintf(config, dir, s.address, resolver.Addr(), s.sinkAddress(), reserve)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/data", 0o700); err != nil {
		t.Fatal(err)
	}
	if mount != nil {
		mount(dir + "/data")
	}
	t.Cleanup(s.kill)
	s.plic(t, "domain", "add", domain)
	for _, user := range users {
		s.plic(t, "account", "add", at(user), "--password-stdin")
	}
	s.plic(t, "alias", "add", at(team), at(ann), at(bob))
	return s
}

func (s *site) sinkAddress() string { return strings.TrimSuffix(s.address, "1") + "2:28025" }

func (s *site) smtp() string       { return s.address + ":28025" }
func (s *site) lmtp() string       { return s.address + ":28024" }
func (s *site) submission() string { return s.address + ":28587" }
func (s *site) imap() string       { return s.address + ":28143" }
func (s *site) pop3() string       { return s.address + ":28110" }

// plic runs a command of the site that must succeed.
func (s *site) plic(t *testing.T, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append(args, "--config", s.config)...)
	cmd.Stdin = strings.NewReader(password + "\n")
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		t.Fatalf("plic %s: %v: %s%s", strings.Join(args, " "), err, out.Bytes(), problem.Bytes())
	}
	return out.Bytes()
}

// queued are the addresses that mail is waiting for, or whose sender is still to
// be told of them.
func (s *site) queued(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(s.plic(t, "queue", "list", "--json"))); d.More(); {
		var item mail.Item
		if err := d.Decode(&item); err != nil {
			t.Fatal(err)
		}
		for _, to := range item.To {
			all[to.Address.String()] = true
		}
		for _, f := range item.Fates {
			all[f.Address.String()] = true
		}
	}
	return all
}

// launch starts the server and does not wait for it.
func (s *site) launch(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(s.dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := append(append([]string(nil), s.wrapper...), binary, "serve", "--config", s.config)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	s.cmd, s.ended = cmd, ended
	go func() {
		err := cmd.Wait()
		s.mu.Lock()
		s.exit = err
		s.mu.Unlock()
		close(ended)
	}()
}

// start starts the server and gives the time until every service greets.
func (s *site) start(t *testing.T) time.Duration {
	t.Helper()
	s.launch(t)
	return s.await(t)
}

// await waits until every service greets.
func (s *site) await(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	for _, address := range []string{s.smtp(), s.lmtp(), s.submission(), s.imap(), s.pop3()} {
		for !greets(address) {
			select {
			case <-s.ended:
				t.Fatalf("the server does not start: %v\n%s", s.exit, tail(s.log(), 4000))
			case <-time.After(5 * time.Millisecond):
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("%s does not greet in a minute\n%s", address, tail(s.log(), 4000))
			}
		}
	}
	return time.Since(began)
}

func greets(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	n, _ := conn.Read(make([]byte, 1))
	return n == 1
}

// kill ends the server at once, as far as it runs.
func (s *site) kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.ended
	s.cmd = nil
}

// term asks the server to end, and gives what it says of it.
func (s *site) term() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
		s.cmd = nil
		return s.exit
	case <-time.After(patience):
		s.kill()
		return errors.New("the server does not end on SIGTERM")
	}
}

// running says whether the server has not ended by itself.
func (s *site) running() bool {
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

func (s *site) log() string {
	text, _ := os.ReadFile(s.dir + "/log")
	return string(text)
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }
