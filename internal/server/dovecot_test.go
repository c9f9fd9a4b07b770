package server

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/mail"
	"plic/test/peers"
)

// TestDovecotUsers lets the users of a real Dovecot log in, and takes mail for
// them; and decides on logins for other servers by the same protocol.
func TestDovecotUsers(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "plic-server-dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(filepath.Join(dir, "users"), []byte("ann@here.test:{SHA512-CRYPT}$6$07fbYWIy0J6nYEZS$uVOl2hZMfL88rhYduG28lsnVJIXQQJiuGWriy2iwPi0YwxK4CPWu0nHt.AaJ072xGSkMzBt8hPQ3buEuofxrM0:8:8::/nonexistent::\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	d := &peers.Dovecot{Dir: dir, Address: peers.Loopback(), Format: "maildir", Users: filepath.Join(dir, "users"), Settings: "auth_failure_delay = 0\n"}
	peers.Started(t, d.Start(t.Context()))
	t.Cleanup(func() { d.Stop() })
	c := testConfig(t)
	c.Listen = config.Listen{SMTP: []string{"127.0.0.1:0"}, IMAPS: []string{"127.0.0.1:0"}, Auth: []string{"127.0.0.1:0", "unix:" + filepath.Join(c.DataDir, "judge")}}
	c.Sources = []*config.Source{{
		Name: "old", Driver: config.DovecotUsers, Hosts: []string{dir + "/run"}, Domains: []mail.Domain{mail.MustDomain("here.test")},
		Connections: 5, Timeout: 5 * time.Second, TLS: config.SourceAuto, Keep: time.Minute, KeepMissing: time.Second, Entries: 100,
	}}
	c.Directory.Sources = []string{config.Native, "old"}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	_, at, _ := start(t, c)
	for password, want := range map[string]bool{"secret": true, "guess": false} {
		w := dialWire(t, "imaps", at["imaps"], nil)
		if ok, last, _ := w.login("PLAIN", "\x00ann@here.test\x00"+password); ok != want {
			t.Errorf("%s: %s", password, last)
		}
		w.conn.Close()
	}
	w := dialWire(t, "imaps", at["imaps"], nil)
	if got := w.ask("a CAPABILITY"); strings.Contains(got, "SCRAM") || !strings.Contains(got, "AUTH=PLAIN") {
		t.Errorf("offered to people without verifiers: %s", got)
	}
	w.conn.Close()
	conn, r := dialLine(t, at["smtp"])
	say(t, conn, r, "HELO there.test")
	say(t, conn, r, "MAIL FROM:<>")
	for to, want := range map[string]string{"ann@here.test": "250", "nobody@here.test": "550"} {
		if got := say(t, conn, r, "RCPT TO:<"+to+">"); !strings.HasPrefix(got, want) {
			t.Errorf("mail for %s: %s", to, got)
		}
	}
	judge, err := net.Dial("unix", filepath.Join(c.DataDir, "judge"))
	if err != nil {
		t.Fatal(err)
	}
	defer judge.Close()
	judge.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintf(judge, "VERSION\t1\t2\nCPID\t1\nAUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=127.0.0.1\tresp=%s\n", base64.StdEncoding.EncodeToString([]byte("\x00ann@here.test\x00secret")))
	lines := bufio.NewScanner(judge)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "OK\t") && !strings.HasPrefix(lines.Text(), "FAIL\t") {
	}
	if lines.Text() != "OK\t1\tuser=ann@here.test" {
		t.Errorf("asked as by Postfix: %q %v", lines.Text(), lines.Err())
	}
}
