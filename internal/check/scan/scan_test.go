package scan

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"plic/internal/check/score"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/test/peers"
)

// The test file of EICAR, and GTUBE of SpamAssassin and Rspamd, put together so that
// no scanner takes this file for one.
var (
	eicar = `X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-` + `STANDARD-ANTIVIRUS-TEST-FILE!$H+H*`
	gtube = `XJS*C4JDBQADN1.NSBN3*2IDNEN*` + `GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X`
)

func letter(t testing.TB, body string) *score.Message {
	t.Helper()
	text := []byte("From: Ann <ann@there.test>\r\nTo: bob@here.test\r\nSubject: a letter\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@there.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + body + "\r\n")
	parsed, err := message.Parse(bytes.NewReader(text), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	return score.NewMessage(&mail.Envelope{
		ID: mail.NewID(now), From: mail.MustAddress("ann@there.test"), To: []mail.Recipient{{Address: mail.MustAddress("bob@here.test")}}, Received: now,
		Origin: mail.Origin{Service: "smtp", Protocol: "ESMTP", Helo: "mx.there.test", Remote: netip.MustParseAddrPort("192.0.2.1:25")},
	}, parsed, mail.Bytes(text))
}

// scanner runs a program of Debian until the test ends, and waits for its answer.
func scanner(t *testing.T, name, address string, args ...string) {
	t.Helper()
	program, err := exec.LookPath(name)
	if err != nil {
		program = "/usr/sbin/" + name
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%s is not installed: make test sees to it", name)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		log.Close()
	})
	until, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	for {
		if c, err := net.Dial(network, address); err == nil {
			c.Close()
			return
		}
		select {
		case err := <-ended:
			ended <- err
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%s has ended: %v\n%s", name, err, text)
		case <-until.Done():
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("%s does not answer\n%s", name, text)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// free is an address that nobody listens at, nor is given by the system.
func free() string { return peers.Loopback() + ":783" }

func look(t *testing.T, setting, body string) (score.Answer, error) {
	t.Helper()
	s, err := Parse(setting)
	if err != nil {
		t.Fatal(err)
	}
	return New(s, Options{Host: "mx.here.test"}).Look(t.Context(), letter(t, body))
}

// Debian's clamd with a signature of the test file alone.
func TestClamAV(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "clamd")
	for name, text := range map[string]string{
		"db/test.ndb": fmt.Sprintf("Test.File:0:*:%x\n", eicar),
		"conf": fmt.Sprintf("LocalSocket %s\nDatabaseDirectory %s\nForeground yes\nLogFile %s\nStreamMaxLength 10M\n",
			socket, filepath.Join(dir, "db"), filepath.Join(dir, "clamd.log")),
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	scanner(t, "clamd", socket, "-c", filepath.Join(dir, "conf"))
	at := "clamav unix:" + socket + " timeout=30s"
	if a, err := look(t, at, "hello"); err != nil || len(a.Hits) > 0 || a.Action != score.Accept {
		t.Errorf("a letter: %+v, %v", a, err)
	}
	if a, err := look(t, at, strings.Repeat("a line\r\n", 20000)+eicar); err != nil || len(a.Hits) != 1 || a.Action != score.Refuse || !strings.Contains(a.Reason, "Test.File") {
		t.Errorf("EICAR: %+v, %v", a, err)
	}
	if a, err := look(t, at+" virus=junk", eicar); err != nil || a.Action != score.Junk {
		t.Errorf("EICAR into Junk: %+v, %v", a, err)
	}
	if _, err := look(t, at, strings.Repeat("x", 11<<20)); !mail.StatusOf(err).Temporary() {
		t.Errorf("more than it takes: %v", err)
	}
}

// Debian's spamd, without a network.
func TestSpamAssassin(t *testing.T) {
	t.Parallel()
	address := free()
	host, port, _ := net.SplitHostPort(address)
	home := t.TempDir()
	scanner(t, "spamd", address, "-i", host, "-p", port, "-L", "-x", "-m", "1", "-H", home, "-r", filepath.Join(home, "pid"), "-s", "stderr")
	at := "spamassassin inet:" + address + " timeout=60s"
	a, err := look(t, at, gtube)
	if err != nil || len(a.Hits) != 1 || a.Hits[0].Factor < 50 || !strings.Contains(a.Hits[0].Detail, "GTUBE") {
		t.Errorf("GTUBE: %+v, %v", a, err)
	}
	if a, err := look(t, at, "hello Bob"); err != nil || len(a.Hits) == 1 && a.Hits[0].Factor > 20 {
		t.Errorf("a letter: %+v, %v", a, err)
	}
}

// Debian's rspamd, its modules without a network.
func TestRspamd(t *testing.T) {
	t.Parallel()
	address := free()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf(`options { pidfile = "%[1]s/pid"; filters = ""; url_tld = "/usr/share/rspamd/effective_tld_names.dat"; dns { nameserver = ["127.0.0.1"]; timeout = 10ms; retransmits = 1; } }
logging { type = "console"; level = "error"; }
actions { reject = 15; add_header = 6; }
worker "normal" { bind_socket = "%[2]s"; count = 1; allow_learn = false; }
`, dir, address)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	scanner(t, "rspamd", address, "-f", "-i", "-c", conf)
	at := "rspamd http://" + address + " timeout=30s obey=yes"
	if a, err := look(t, at, gtube); err != nil || a.Action != score.Refuse || a.Reason == "" {
		t.Errorf("GTUBE: %+v, %v", a, err)
	}
	if a, err := look(t, at, "hello Bob"); err != nil || a.Action != score.Accept {
		t.Errorf("a letter: %+v, %v", a, err)
	}
}

// A scanner that is down puts mail off, or is passed over.
func TestDown(t *testing.T) {
	t.Parallel()
	address := free()
	for _, at := range []string{"clamav inet:" + address, "spamassassin inet:" + address, "rspamd http://" + address} {
		if _, err := look(t, at, "x"); mail.StatusOf(err).Code != 451 {
			t.Errorf("%s: %v", at, err)
		}
		var f *mail.Failure
		if _, err := look(t, at+" down=accept", "x"); err == nil || errors.As(err, &f) {
			t.Errorf("%s, let pass: %v", at, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // which never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := look(t, "clamav inet:"+l.Addr().String()+" timeout=50ms", "x"); mail.StatusOf(err).Code != 451 {
		t.Errorf("a silent one: %v", err)
	}
}

func TestAnswersAreRead(t *testing.T) {
	t.Parallel()
	p := New(Scanner{Kind: "clamav", Found: score.Refuse}, Options{})
	for _, bad := range []string{"", "OK", "stream: ERROR", "INSTREAM size limit exceeded. ERROR", "stream: "} {
		if a, err := p.infected(bad); err == nil {
			t.Errorf("ClamAV's %q is %+v", bad, a)
		}
	}
	for _, bad := range []string{"", "SPAMD/1.1 0 EX_OK\r\n\r\n", "SPAMD/1.1 76 Bad\r\nSpam: True ; 1 / 5\r\n\r\n", "HTTP/1.1 0 x\r\nSpam: True ; 1 / 5\r\n\r\n", "SPAMD/1.1 0 EX_OK\r\nSpam: True ; much / 5\r\n\r\n"} {
		if a, err := assassinated(bad); err == nil {
			t.Errorf("spamd's %q is %+v", bad, a)
		}
	}
	if a, err := assassinated("SPAMD/1.1 0 EX_OK\r\nContent-length: 9\r\nSpam: True ; 7.25 / 5.0\r\n\r\nA,B\r\n"); err != nil || a.Hits[0].Factor != 7.25 || a.Hits[0].Detail != "A,B" {
		t.Errorf("%+v, %v", a, err)
	}
	r := New(Scanner{Kind: "rspamd", Obey: true}, Options{})
	for _, bad := range []string{"", "{}", `{"error":"x"}`, `[]`} {
		if a, err := r.thought(bad); err == nil {
			t.Errorf("Rspamd's %q is %+v", bad, a)
		}
	}
	for action, want := range map[string]score.Action{"no action": score.Accept, "soft reject": score.Defer, "greylist": score.Greylist, "add header": score.Junk, "rewrite subject": score.Tag, "reject": score.Refuse} {
		a, err := r.thought(fmt.Sprintf(`{"action":%q,"score":3.5,"symbols":{"X":{"score":3.5},"Y":{"score":0}},"messages":{"smtp_message":"no\r\nway"}}`, action))
		if err != nil || a.Action != want || a.Hits[0].Factor != 3.5 || a.Hits[0].Detail != action+": X=3.5" || strings.ContainsAny(a.Reason, "\r\n") {
			t.Errorf("%s: %+v, %v", action, a, err)
		}
	}
	for _, bad := range []string{"", "clamav", "clamav http://x", "rspamd unix:/x", "nothing inet:x:1", "clamav unix:/x obey=yes", "clamav unix:/x virus=maybe", "rspamd http://x timeout=0s", "spamassassin inet:x:1 down=maybe"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
