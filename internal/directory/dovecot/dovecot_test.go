package dovecot

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/directory"
	"plic/internal/directory/directorytest"
	"plic/internal/directory/source"
	"plic/internal/dovecot"
	"plic/internal/mail"
	"plic/test/peers"
)

// users writes a site down as a passwd-file.
func users(s directorytest.Site) string {
	var b strings.Builder
	for _, a := range s.Accounts {
		extra := ""
		if a.Quota.Bytes != 0 {
			extra += fmt.Sprintf(" userdb_quota_rule=*:bytes=%d", max(a.Quota.Bytes, 0))
			if a.Quota.Messages != 0 {
				extra += fmt.Sprintf(":messages=%d", a.Quota.Messages)
			}
		}
		if len(a.Groups) > 0 {
			extra += " userdb_acl_groups=" + strings.Join(a.Groups, ",")
		}
		home := a.Home
		if home == "" {
			home = "/nonexistent"
		}
		fmt.Fprintf(&b, "%s:{PLAIN.b64}%s:8:8::%s::%s\n", a.Name, base64.StdEncoding.EncodeToString([]byte(a.Password)), home, strings.TrimSpace(extra))
	}
	return b.String()
}

// run starts a Dovecot with these users; the test ends it.
func run(t *testing.T, dir, address, users string) *peers.Dovecot {
	t.Helper()
	file := filepath.Join(dir, "users")
	if err := os.WriteFile(file, []byte(users), 0o644); err != nil {
		t.Fatal(err)
	}
	d := &peers.Dovecot{Dir: dir, Address: address, Format: "maildir", Users: file, Settings: `
auth_username_chars =
auth_failure_delay = 0
service auth {
  unix_listener auth-userdb {
    mode = 0666
  }
  unix_listener auth-client {
    mode = 0666
  }
}`}
	t.Cleanup(func() {
		d.Stop()
		if t.Failed() {
			t.Log(d.Log())
		}
	})
	peers.Started(t, d.Start(t.Context()))
	return d
}

func records(d *peers.Dovecot, domains ...string) *Records {
	o := Options{Users: d.Dir + "/run/auth-userdb", Passwords: d.Dir + "/run/auth-client", Timeout: 10 * time.Second}
	for _, name := range domains {
		o.Domains = append(o.Domains, mail.MustDomain(name))
	}
	return New(o)
}

// scratch is a directory that every user of the system may enter.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "plic-dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestDirectory keeps the users of a real Dovecot.
func TestDirectory(t *testing.T) {
	t.Parallel()
	var once sync.Once
	var r *Records
	directorytest.Suite{
		External: true, Slow: true,
		Lacks: []string{directorytest.Aliases, directorytest.Copies, directorytest.CatchAlls, directorytest.Senders, directorytest.Protocols, directorytest.Disabled, directorytest.Quoted},
		Open: func(_ *testing.T, s directorytest.Site) directory.Directory {
			once.Do(func() { r = records(run(t, scratch(t), peers.Loopback(), users(s)), s.Domains...) }) // all want the same site, and change nothing
			return source.New(r, "")
		},
	}.Run(t)
	if r != nil {
		r.Close()
	}
}

// A connection that has ended while it was idle, as after a restart, is no
// trouble; one that ends without an answer is.
func TestRestart(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	r := New(Options{Timeout: 5 * time.Second, Users: peer(t, "VERSION\t1\t1\nSPID\t1\n", func(fields []string) string {
		if asked.Add(1)%2 == 0 {
			return ""
		}
		return "USER\t" + fields[1] + "\tann@plic.test\n"
	})})
	defer r.Close()
	for range 3 {
		if a, err := r.Account(t.Context(), "ann@plic.test"); err != nil || a.Name != "ann@plic.test" {
			t.Errorf("%+v %v", a, err)
		}
	}
	if n := asked.Load(); n != 5 {
		t.Errorf("asked %d times", n)
	}
}

// peer is something at the other end of a socket that says what it is told.
func peer(t *testing.T, greeting string, answer func(fields []string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				fmt.Fprint(nc, greeting)
				r := bufio.NewReader(nc)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					fields := dovecot.Split(strings.TrimSuffix(line, "\n"))
					if fields[0] == "VERSION" || fields[0] == "CPID" {
						continue
					}
					text := answer(fields)
					if text == "" {
						return
					}
					fmt.Fprint(nc, text)
				}
			}()
		}
	}()
	return l.Addr().String()
}

// What does not make sense is trouble, and never "no such user".
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	const hello = "VERSION\t1\t1\nSPID\t1\n"
	for name, tc := range map[string]struct {
		greeting string
		answer   string // with %s for the id
		want     string
	}{
		"found":         {hello, "USER\t%s\tann@plic.test\tuid=8\thome=/h\n", "ann@plic.test /h"},
		"not for us":    {hello, "NOTFOUND\t77\nMECH\tX\nUSER\t%s\tann@plic.test\n", "ann@plic.test "},
		"missing":       {hello, "NOTFOUND\t%s\n", "missing"},
		"trouble":       {hello, "FAIL\t%s\treason=the database\n", "trouble"},
		"another word":  {hello, "HELLO\t%s\n", "trouble"},
		"half":          {hello, "USER\t%s\n", "trouble"},
		"no name":       {hello, "USER\t%s\t\n", "trouble"},
		"a bad uid":     {hello, "USER\t%s\tann@plic.test\tuid=x\n", "trouble"},
		"gone":          {hello, "", "trouble"},
		"other version": {"VERSION\t2\t0\nSPID\t1\n", "NOTFOUND\t%s\n", "trouble"},
		"no version":    {"SPID\t1\n", "NOTFOUND\t%s\n", "trouble"},
		"endless":       {hello, strings.Repeat("NOTFOUND\t77\n", 200), "trouble"},
		"a long line":   {hello, strings.Repeat("x", 20000) + "\n", "trouble"},
	} {
		r := New(Options{Timeout: 5 * time.Second, Users: peer(t, tc.greeting, func(fields []string) string {
			return strings.Replace(tc.answer, "%s", fields[1], 1)
		})})
		a, err := r.Account(t.Context(), "ann@plic.test")
		got := a.Name + " " + a.Home
		switch {
		case errors.Is(err, directory.ErrNotFound):
			got = "missing"
		case err != nil:
			got = "trouble"
		}
		if got != tc.want {
			t.Errorf("%s: %s %v", name, got, err)
		}
		r.Close()
	}
	none := New(Options{Users: "/nonexistent/socket", Timeout: time.Second})
	if _, err := none.Account(t.Context(), "x"); err == nil || errors.Is(err, directory.ErrNotFound) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestOddChecks(t *testing.T) {
	t.Parallel()
	const hello = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00\nDONE\n"
	users := peer(t, "VERSION\t1\t1\nSPID\t1\n", func(fields []string) string { return "USER\t" + fields[1] + "\t" + fields[2] + "\n" })
	for name, tc := range map[string]struct {
		answer string
		want   error
	}{
		"right":     {"OK\t%s\tuser=ann@plic.test\n", nil},
		"wrong":     {"FAIL\t%s\tuser=ann@plic.test\n", directory.ErrPassword},
		"temporary": {"FAIL\t%s\tuser=ann@plic.test\ttemp\n", errAny},
		"newer":     {"FAIL\t%s\tuser=ann@plic.test\tcode=temp_fail\n", errAny},
		"goes on":   {"CONT\t%s\t\n", errAny},
		"gone":      {"", errAny},
	} {
		r := New(Options{Users: users, Timeout: 5 * time.Second, Passwords: peer(t, hello, func(fields []string) string {
			return strings.Replace(tc.answer, "%s", fields[1], 1)
		})})
		a, err := r.Check(context.Background(), "ann@plic.test", "secret")
		if bad := tc.want == errAny && (err == nil || errors.Is(err, directory.ErrPassword) || errors.Is(err, directory.ErrNotFound)); bad || tc.want != errAny && !errors.Is(err, tc.want) || (a.Name != "") != (tc.want == nil) {
			t.Errorf("%s: %+v %v", name, a, err)
		}
		r.Close()
	}
}

var errAny = errors.New("any trouble")
