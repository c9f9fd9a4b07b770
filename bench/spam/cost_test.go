package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/dkim"
	"plic/internal/message"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	all := []float64{3, 1, 2}
	if got := median(all); got != 2 || all[0] != 3 {
		t.Errorf("%v of %v", got, all)
	}
}

// TestWrite: messages are as long as is said, those of one seed have the same words,
// and those of spam others than the rest, in part.
func TestWrite(t *testing.T) {
	t.Parallel()
	words := func(text []byte) map[string]bool {
		_, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
		all := map[string]bool{}
		for word := range strings.FieldsSeq(string(body)) {
			all[word] = true
		}
		return all
	}
	for seed := range uint64(20) {
		for _, spam := range []bool{false, true} {
			text := write(seed, spam)
			if len(text) < octets-100 || len(text) > octets+1000 || bytes.Contains(text, []byte("\n.")) || !bytes.HasSuffix(text, []byte("\r\n")) {
				t.Fatalf("a message has %d octets and ends with %q", len(text), text[len(text)-5:])
			}
			m, err := message.Parse(bytes.NewReader(text), message.Limits{})
			if err != nil || len(m.Root.Children) != 2 {
				t.Fatalf("%d parts, %v", len(m.Root.Children), err)
			}
		}
	}
	a, again, spam := words(write(1, false)), words(write(1, false)), words(write(1, true))
	if len(a) < 300 || fmt.Sprint(a) != fmt.Sprint(again) {
		t.Errorf("%d words, then %d", len(a), len(again))
	}
	all, different := 0, map[string]bool{} // of the plain texts
	for seed := range uint64(5) {
		_, text, _ := strings.Cut(string(write(seed, false)), "\r\n\r\n")
		text, _, _ = strings.Cut(text, "<html>")
		for word := range strings.FieldsSeq(text) {
			all, different[word] = all+1, true
		}
	}
	if len(different) > all*2/5 {
		t.Errorf("%d of %d words are different: none is frequent", len(different), all)
	}
	others := 0
	for word := range spam {
		if !a[word] {
			others++
		}
	}
	if others < len(spam)/3 {
		t.Errorf("%d of %d words of spam are others", others, len(spam))
	}
}

// TestLetters: each is another one and has a signature of the author's domain, whose
// key is in the DNS that the judges ask.
func TestLetters(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	zone, err := authorZone(key)
	if err != nil {
		t.Fatal(err)
	}
	defer zone.Close()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, zone.Addr())
	}}
	record, err := dkim.Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"s._domainkey.there.test.": record, "there.test.": "v=spf1 ip4:" + client + " -all", "_dmarc.there.test.": "v=DMARC1; p=reject"} {
		if got, err := resolver.LookupTXT(t.Context(), name); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	sign := &dkim.Signer{Domain: "there.test", Selector: "s", Key: key, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: time.Now}
	texts, err := letters(sign, 1)
	if err != nil || len(texts) != messages {
		t.Fatal(len(texts), err)
	}
	seen := map[string]bool{}
	for _, text := range texts {
		if !bytes.HasPrefix(text, []byte("DKIM-Signature: ")) || seen[string(text)] {
			t.Fatalf("a letter begins with %.40q, or is there twice", text)
		}
		seen[string(text)] = true
	}
}

// TestProcessor: it is the time of a process and of those it has started.
func TestProcessor(t *testing.T) {
	before, err := processor(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	took := child.ProcessState.UserTime() + child.ProcessState.SystemTime()
	middle, err := processor(os.Getpid())
	if err != nil || took < 40*time.Millisecond || middle-before < took-20*time.Millisecond { // it counts in ticks
		t.Errorf("%v for a child that took %v and has ended, %v", middle-before, took, err)
	}
	const work = 100 * time.Millisecond
	for start := used(t); used(t)-start < work; {
		for i := range 100_000 {
			_ = i * i
		}
	}
	after, err := processor(os.Getpid())
	if err != nil || after-middle < work-20*time.Millisecond {
		t.Errorf("%v for %v of work, %v", after-middle, work, err)
	}
	if parent := os.Getppid(); parent > 1 {
		if all, err := processor(parent); err != nil || all < after {
			t.Errorf("who has started this process has %v, and it %v, %v", all, after, err)
		}
	}
	if _, err := processor(1 << 30); err == nil {
		t.Error("a process that is not there takes nothing")
	}
	j := judged{pid: os.Getpid(), send: func([]byte) error { return context.Canceled }}
	if _, err := j.takes([][]byte{nil}); err == nil {
		t.Error("a message that is not sent is no error")
	}
}

// used is what this process has of the processor.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestBring: a message is handed in as it is, for the client whose address is told,
// and a refusal is an error, whatever is refused.
func TestBring(t *testing.T) {
	t.Parallel()
	want := []string{"EHLO proxy", "XCLIENT ADDR=" + client, "EHLO mx.there.test", "MAIL FROM:<" + author + ">", "RCPT TO:<" + reader + ">", "DATA", "A: b", "", "..", "..c", ".", "QUIT"}
	got, err := brought(t, "")
	if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q, %v", got, err)
	}
	for _, refused := range []string{"greeting", "EHLO proxy", "XCLIENT", "EHLO mx", "MAIL", "RCPT", "DATA", "."} {
		if _, err := brought(t, refused); err == nil {
			t.Errorf("%s is refused, which is no error", refused)
		}
	}
}

// brought brings a message to a server that refuses a line, and gives what it got.
func brought(t *testing.T, refused string) (lines []string, err error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		answer := func(line, text string) {
			if refused != "" && strings.HasPrefix(line, refused) {
				text = "554-no\r\n554 no\r\n"
			}
			fmt.Fprint(conn, text)
		}
		answer("greeting", "220-mx\r\n220 mx\r\n")
		data := false
		for s := bufio.NewScanner(conn); s.Scan(); {
			line := s.Text()
			lines = append(lines, line)
			switch {
			case data && line != ".":
			case line == "DATA":
				data = true
				answer(line, "354 go\r\n")
			default:
				data = false
				answer(line, "250-well\r\n250 done\r\n")
			}
		}
	})
	err = bring(l.Addr().String(), []byte("A: b\r\n\r\n.\r\n.c\r\n"))
	l.Close()
	served.Wait()
	return lines, err
}

// TestCostConfig: plic accepts what it is run with, and the two servers differ in
// what they judge only.
func TestCostConfig(t *testing.T) {
	t.Parallel()
	var all [2]*config.Config
	for i, judges := range []bool{false, true} {
		c, err := config.Parse("plic.toml", fmt.Appendf(nil, costConfig, "/tmp/x", "127.0.0.1:2525", "127.0.0.1:5353", judges))
		if err != nil {
			t.Fatal(err)
		}
		all[i] = c
	}
	var differ []string
	for _, change := range config.Changes(all[0], all[1]) {
		differ = append(differ, change.Setting)
	}
	if got := strings.Join(differ, " "); got != "senders.check spam.check spam.learn" {
		t.Errorf("they differ in %s", got)
	}
}

// TestRspamd: each message is learnt as what it is and judged with what is known of
// how it came, and that it is not asked for what it cannot know is in its files.
func TestRspamd(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	fails := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		got = append(got, fmt.Sprintf("%s %s %s %s", r.URL.Path, r.Header.Get("IP"), r.Header.Get("Helo"), body.String()))
		if fails > 0 {
			fails--
			http.Error(w, "too few words", http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, `{"score": 7.25, "symbols": {"B": {"score": 2}, "A": {"score": 5.25}, "C": {"score": 0}}}`)
	}))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	r := &rspamd{check: address, control: address}
	spam, ham := parse([]byte("Received: from h.test (h.test [198.51.100.7]) by x\n\ns\n")), parse([]byte("A: b\n\nh\n"))
	spam.spam = true
	if err := r.learn(t.Context(), []*letter{spam, ham}); err != nil {
		t.Error(err)
	}
	v, err := r.judge(t.Context(), []*letter{spam})
	if err != nil || len(v) != 1 || v[0] != (verdict{7.25, "A 5.2; B 2.0"}) {
		t.Errorf("%+v, %v", v, err)
	}
	for i, want := range []string{"/learnspam   " + string(spam.text), "/learnham   " + string(ham.text), "/checkv2 198.51.100.7 h.test " + string(spam.text)} {
		if i >= len(got) || got[i] != want {
			t.Errorf("question %d is not %q: %q", i, want, got)
		}
	}
	fails = 1
	if _, err := r.judge(t.Context(), []*letter{spam}); err == nil {
		t.Error("a message that is not judged is no error")
	}
	fails = 2
	if err := r.learn(t.Context(), []*letter{spam, ham, ham, ham, ham}); err == nil {
		t.Error("two messages of five that are not learnt are no error")
	}
	alone, asking := r.settings(""), r.settings("127.0.0.1:53")
	for _, module := range []string{"spf.conf", "dkim.conf", "dmarc.conf", "rbl.conf"} {
		if !strings.Contains(alone[module], "false") {
			t.Errorf("%s: %q", module, alone[module])
		}
	}
	if _, off := asking["spf.conf"]; off || !strings.Contains(asking["options.inc"], "127.0.0.1:53:10") || !strings.Contains(asking["rbl.conf"], "false") {
		t.Error("with a resolver it asks nobody, or everybody")
	}
}

// TestAssassin: the mbox has each message once, with its number, and verdicts are
// given to the messages of their numbers.
func TestAssassin(t *testing.T) {
	t.Parallel()
	f, err := newAssassin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	a := f.(*assassin)
	all := []*letter{{text: []byte("A: 0\r\n\r\nFrom here\r\n")}, {spam: true, text: []byte("A: 1\r\n\r\nx\r\n")}, {text: []byte("A: 2\r\n\r\nFrom MAILER-DAEMON x\r\n")}}
	file, err := a.mailbox("x", all, func(l *letter) bool { return !l.spam })
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const from = "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n"
	if want := from + "X-Number: 0\nA: 0\n\n>From here\n\n\n" + from + "X-Number: 2\nA: 2\n\n>From MAILER-DAEMON x\n\n\n"; string(text) != want {
		t.Errorf("the mbox is %q", text)
	}
	judged := func(number int, status string) string {
		return from + "X-Spam-Level: *\nX-Spam-Status: " + status + "\n\tautolearn=no\nX-Number: " + fmt.Sprint(number) + "\n\nX-Number: 77\n\n"
	}
	got, err := verdicts([]byte(judged(1, "Yes, score=12.5 required=5.0 tests=A,B")+judged(0, "No, score=-0.1 required=5.0")), 2)
	if err != nil || len(got) != 2 || got[0].score != -0.1 || got[1].score != 12.5 || !strings.Contains(got[1].why, "A,B\n\tautolearn") {
		t.Errorf("%+v, %v", got, err)
	}
	const well = "No, score=0.0 required=5.0"
	for name, text := range map[string]string{
		"one is missing":   judged(0, well),
		"one comes twice":  judged(1, well) + judged(1, well),
		"one of another":   judged(0, well) + judged(2, well),
		"one has no score": judged(0, well) + judged(1, "maybe"),
		"nothing":          "",
	} {
		if got, err := verdicts([]byte(text), 2); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
