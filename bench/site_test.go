package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/config"
)

// TestConfigs: plic accepts what it is run with.
func TestConfigs(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"table":  fmt.Sprintf(plicConfig, "/tmp/x", "127.78.0", true),
		"files":  fmt.Sprintf(filesConfig, "/tmp/x", "maildir:/tmp/x/mail/%n"),
		"logins": fmt.Sprintf(loginsConfig, "/tmp/x", "driver = \"sqlite\"\nfile = \"/tmp/x/mail.db\"\n", "0s"),
	} {
		if _, err := config.Parse(name, []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUsed: what holds no mail does not count as what mail takes on the disk.
func TestUsed(t *testing.T) {
	t.Parallel()
	s := &site{mail: t.TempDir()}
	empty := s.used()
	add := func(name string, octets int) {
		if err := os.WriteFile(filepath.Join(s.mail, name), bytes.Repeat([]byte("x"), octets), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	add("ballast", 1<<20)
	if got := s.used(); got != empty {
		t.Errorf("the ballast takes %d", got-empty)
	}
	add("mail", 100_000)
	if got := s.used() - empty; got < 100_000 || got > 200_000 {
		t.Errorf("100,000 octets take %d", got)
	}
}

// TestRestart: the peer's cache of envelopes goes where a FETCH is to be the first
// ever, and stays where not.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := &site{mail: t.TempDir()}
	var did []string
	s.stop = func() { did = append(did, "stop") }
	s.start = func(context.Context) error {
		did = append(did, "start")
		return nil
	}
	for _, name := range []string{"dovecot.index.cache", "dovecot.index"} {
		if err := os.WriteFile(filepath.Join(s.mail, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := func() string {
		var names []string
		for _, path := range glob(s.mail + "/*") {
			names = append(names, filepath.Base(path))
		}
		return strings.Join(names, " ")
	}
	if err := s.restart(t.Context(), known); err != nil || left() != "dovecot.index dovecot.index.cache" {
		t.Errorf("there is %q, %v", left(), err)
	}
	if err := s.restart(t.Context(), ever); err != nil || left() != "dovecot.index" {
		t.Errorf("there is %q, %v", left(), err)
	}
	if !slices.Equal(did, []string{"stop", "start", "stop", "start"}) {
		t.Errorf("it did %q", did)
	}
}

func TestOwns(t *testing.T) {
	t.Parallel()
	s := &site{program: []string{"/tmp/a/", "/usr/lib/dovecot"}}
	for exe, want := range map[string]bool{"/tmp/a/plic": true, "/tmp/ab/plic": false, "/usr/lib/dovecot/imap": true, "/usr/lib/postfix/sbin/master": false, "": false} {
		if s.owns(exe) != want {
			t.Errorf("%q belongs to it: %t", exe, !want)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.program = []string{exe}
	if s.memory() <= 0 || !slices.Contains(s.processes(), os.Getpid()) {
		t.Errorf("this process takes %d KiB, and %d is not of %v", s.memory(), os.Getpid(), s.processes())
	}
}

// TestCalls: every kind of sync counts, the table's own sum does not.
func TestCalls(t *testing.T) {
	t.Parallel()
	const table = `strace: Process 12 attached
    calls syscall
--------- ----------------
       20 fdatasync
        3 fsync
        1 sync_file_range
--------- ----------------
       24 total
`
	if n := calls(table); n != 24 {
		t.Errorf("there are %d calls", n)
	}
	if n := calls(""); n != 0 {
		t.Errorf("there are %d calls in nothing", n)
	}
}

// TestCrowds: a message to all crowds has a thousand recipients, ten at each host,
// none twice, and both sides have the same but for where the hosts are.
func TestCrowds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := &site{many: 7}
	if err := s.writeCrowds(dir); err != nil {
		t.Fatal(err)
	}
	aliases, err := os.ReadFile(dir + "/crowds")
	if err != nil {
		t.Fatal(err)
	}
	transports, err := os.ReadFile(dir + "/transports")
	if err != nil {
		t.Fatal(err)
	}
	of, seen, lines := map[string]int{}, map[string]bool{}, 0
	for line := range strings.Lines(string(aliases)) {
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name != crowd(lines) {
			t.Errorf("line %d is of %q", lines, name)
		}
		lines++
		for member := range strings.SplitSeq(rest, ", ") {
			_, domain, ok := strings.Cut(member, "@")
			if !ok || seen[member] {
				t.Errorf("%q is there twice, or no address", member)
			}
			seen[member] = true
			of[domain]++
		}
	}
	if lines != crowds || len(seen) != crowds*members || len(of) != hosts {
		t.Errorf("%d crowds, %d recipients, %d hosts", lines, len(seen), len(of))
	}
	for i := range hosts {
		if n := of[hostDomain(i)]; n != crowds*members/hosts {
			t.Errorf("%d recipients are at %s", n, hostDomain(i))
		}
		if want := fmt.Sprintf("%s smtp:[127.79.7.%d]:25\n", hostDomain(i), i+1); !strings.Contains(string(transports), want) {
			t.Errorf("there is no %q", want)
		}
	}
}

// TestAccountTables: all people are there, with the password that is used.
func TestAccountTables(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(accountTables()); err != nil {
		t.Fatal(err)
	}
	var n, first int
	var hash string
	if err := db.QueryRow("SELECT count(DISTINCT email), min(domain_id) FROM virtual_users").Scan(&n, &first); err != nil || n != people || first != 1 {
		t.Errorf("%d people, %v", n, err)
	}
	if err := db.QueryRow("SELECT password FROM virtual_users WHERE email = ?", fmt.Sprintf("p%d@%s", people-1, domain)).Scan(&hash); err != nil {
		t.Fatal(err)
	}
	text, ok := strings.CutPrefix(hash, "{SSHA256}")
	sum, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(sum) <= sha256.Size {
		t.Fatalf("the password is %q, %v", hash, err)
	}
	if want := sha256.Sum256(append([]byte(password), sum[sha256.Size:]...)); !bytes.Equal(want[:], sum[:sha256.Size]) {
		t.Error("it is the hash of something else")
	}
}

// TestTurns: the round in which mailboxes are made is not measured, and questions
// are those of each login.
func TestTurns(t *testing.T) {
	t.Parallel()
	var many []int
	act := func(_ context.Context, _ string, n int) ([]time.Duration, error) {
		many = append(many, n)
		took := make([]time.Duration, n)
		for i := range took {
			took[i] = time.Duration(n-i) * time.Millisecond
		}
		return took, nil
	}
	running, asks := 0, float64(0)
	s := loginSide{name: "plic", start: func(context.Context) (func(), error) {
		running++
		return func() { running-- }, nil
	}, questions: func() (float64, bool) {
		asks += 400
		return asks, true
	}}
	var r turns
	for range 3 {
		if err := r.add(t.Context(), s, 200, act); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(many, []int{people, 200, people, 200, people, 200}) || running != 0 {
		t.Errorf("%v, %d are left running", many, running)
	}
	if row := r.row(s); !strings.HasPrefix(row, "plic | ") || !strings.HasSuffix(row, " | 101.0 ms | 199.0 ms | 2.00 |") {
		t.Errorf("the row is %q", row)
	}
	s.questions = func() (float64, bool) { return 0, false }
	r = turns{}
	if err := r.add(t.Context(), s, 200, act); err != nil || !strings.HasSuffix(r.row(s), " | - |") {
		t.Errorf("%q, %v", r.row(s), err)
	}
	act = func(context.Context, string, int) ([]time.Duration, error) { return nil, context.Canceled }
	if err := r.add(t.Context(), s, 200, act); err == nil || running != 0 {
		t.Errorf("%v, %d are left running", err, running)
	}
}

// TestManyRecipients: everybody's answer has its time, and one that is refused is
// an error.
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	const n = 3*perSession - 7
	usual := func(line string) string {
		if line == "QUIT" {
			return "221 bye\r\n"
		}
		return "250 ok\r\n"
	}
	took, err := manyRecipients(t.Context(), scripted(t, "220 mx\r\n", usual), n)
	if err != nil || len(took) != n || slices.Contains(took, 0) {
		t.Errorf("%d answers, %v", len(took), err)
	}
	refuse := func(line string) string {
		if line == "RCPT TO:<p60@"+domain+">" {
			return "550 unknown\r\n"
		}
		return usual(line)
	}
	if _, err := manyRecipients(t.Context(), scripted(t, "220 mx\r\n", refuse), n); err == nil {
		t.Error("a recipient that is refused is no error")
	}
}

func TestManyLogins(t *testing.T) {
	t.Parallel()
	const n = 5 * clients
	s := onlyIMAP(t, imapd(nil))
	took, err := manyLogins(t.Context(), s.imap, n)
	if err != nil || len(took) != n || slices.Contains(took, 0) {
		t.Errorf("%d logins, %v", len(took), err)
	}
	s = onlyIMAP(t, imapd(map[string]string{"LOGIN p7@": "t NO wrong\r\n"}))
	if _, err := manyLogins(t.Context(), s.imap, n); err == nil {
		t.Error("a login that is refused is no error")
	}
}

// TestForeign: messages of -files and -import are as long as was said, with LF.
func TestForeign(t *testing.T) {
	t.Parallel()
	s := &fileSite{site: site{letters: newLetters()}}
	for _, octets := range []int{2000, 25_000} {
		for n := range 200 {
			text := s.foreign(n, octets)
			if len(text) > octets || len(text) < octets-77 || strings.Contains(text, "\r") || !strings.HasSuffix(text, "\n") {
				t.Fatalf("message %d of %d octets has %d", n, octets, len(text))
			}
			if strings.Contains(text, "\nFrom ") {
				t.Fatalf("message %d would be two in an mbox", n)
			}
		}
	}
	if a, b := s.foreign(1, 2000), s.foreign(1, 2000); a != b || a == s.foreign(2, 2000) {
		t.Error("the messages are not the same in every run, or all alike")
	}
}

func TestFigure(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]figure{
		"1.5 ms, 16 KiB, 3 MiB":     {1500 * time.Microsecond, 16 << 10, 3<<20 + 5},
		"1234 ms, 3 MiB, 0 MiB":     {1234*time.Millisecond + 300*time.Microsecond, 3 << 20, 100},
		"0.0 ms, 1023 KiB, 100 MiB": {0, 1<<20 - 1, 100 << 20},
	} {
		if got := f.String(); got != want {
			t.Errorf("it is %q, not %q", got, want)
		}
	}
	if n := field("/proc/self/status", "VmHWM:"); n < 1000 {
		t.Errorf("this process has had %d KiB at most", n)
	}
}
