package clients

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plic/internal/message/messagetest"
	"plic/test/trial"
)

// Thunderbird without a window, told what to do through the port by which it
// is tested itself.
func TestThunderbird(t *testing.T) {
	t.Parallel()
	trial.Need(t, "thunderbird", "curl")
	s := trial.Start(t, program, ann, bob)
	upload(t, s, ann, "/INBOX", 4)
	bird := startThunderbird(t)
	block, _ := pem.Decode([]byte(read(t, s.CA())))
	bird.run(t, read(t, "testdata/thunderbird.js"),
		"localhost", s.Base, base64.StdEncoding.EncodeToString(block.Bytes), ann.Name, ann.Password, bob.Name)

	// What it did is there for others.
	for box, want := range map[string][]string{
		"/INBOX":               {`"number 0"`, `"number 3"`},
		"/INBOX%2fGr&APYA3w-e": {`"number 0"`, `"number 1"`},
		"/Trash":               {`"number 2"`},
		"/Sent":                {"=?UTF-8?"},
	} {
		got := curl(t, s, ann, "imaps", box, "-X", "FETCH 1:* (FLAGS ENVELOPE)").ok(t)
		for _, text := range want {
			if !strings.Contains(got, text) {
				t.Errorf("%s lacks %s: %s", box, text, got)
			}
		}
		if box != "/Trash" && box != "/Sent" && !regexp.MustCompile(`FLAGS \([^)]*\$label1[^)]*\) ENVELOPE \("[^"]*" "number [01]"`).MatchString(got) {
			t.Errorf("%s lacks the tag: %s", box, got)
		}
		if box == "/INBOX" && (strings.Contains(got, `"number 1"`) || strings.Contains(got, `"number 2"`)) && !strings.Contains(got, `\Deleted`) {
			t.Errorf("%s has what went away: %s", box, got)
		}
	}
	curl(t, s, bob, "imaps", "/INBOX", "-X", "FETCH 1:* ENVELOPE").ends(t, 0, "=?UTF-8?")
}

// Thunderbird takes a mailbox of all kinds of messages off line, and changes much
// of it at once.
func TestThunderbirdMany(t *testing.T) {
	t.Parallel()
	trial.Need(t, "thunderbird", "curl")
	s := trial.Start(t, program, ann, bob)
	// Thunderbird mends line ends, and adds one behind a last line that has none.
	mends := []string{"bare-cr", "bare-lf", "broken-qp", "half-header", "mbox-from", "only-header"}
	samples := slices.DeleteFunc(messagetest.All(), func(m messagetest.Sample) bool {
		return len(m.Raw) == 0 || bytes.IndexByte(m.Raw, 0) >= 0 || slices.Contains(mends, m.Name)
	})
	curl(t, s, ann, "imaps", "/INBOX", "-T", save(t, samples)).ok(t)
	bird := startThunderbird(t)
	block, _ := pem.Decode([]byte(read(t, s.CA())))
	parts, _, _ := strings.Cut(read(t, "testdata/thunderbird.js"), "\nmain().then(")
	dir := t.TempDir()
	bird.run(t, parts+"\n"+read(t, "testdata/thunderbird_many.js"),
		"localhost", s.Base, base64.StdEncoding.EncodeToString(block.Bytes), ann.Name, ann.Password, bob.Name, dir, len(samples)+1)
	added := regexp.MustCompile(`^(X-Mozilla-\w+: .*\n)*`)
	for i, m := range samples {
		same(t, "Thunderbird", m.Name, added.ReplaceAll([]byte(read(t, filepath.Join(dir, strconv.Itoa(i+2)))), nil), m.Raw)
	}

	// What it changed is so for others.
	left := len(samples) + 1
	for _, c := range []struct {
		box, search string
		want        func(uid int) bool
	}{
		{"/INBOX", "SEEN", func(uid int) bool { return uid%2 == 1 }},
		{"/INBOX", "FLAGGED", func(uid int) bool { return uid%3 == 0 }},
		{"/INBOX", "KEYWORD work", func(uid int) bool { return uid%5 == 0 }},
		{"/INBOX", "KEYWORD $label2", func(uid int) bool { return uid%10 == 5 }},
		{"/INBOX", "DELETED", func(int) bool { return false }},
		{"/INBOX", "ALL", func(int) bool { return true }},
	} {
		want := "* SEARCH"
		for uid := 1; uid <= left; uid++ {
			if uid%7 > 1 && c.want(uid) {
				want += fmt.Sprintf(" %d", uid)
			}
		}
		if got := curl(t, s, ann, "imaps", c.box, "-X", "UID SEARCH "+c.search).ok(t); got != want+"\r\n" {
			t.Errorf("%s in %s gives %s, not %s", c.search, c.box, got, want)
		}
	}
	for box, messages := range map[string]int{"Archive": (left-1)/7 + 1, "Trash": 0} {
		curl(t, s, ann, "imaps", "/", "-X", "STATUS "+box+" (MESSAGES)").ends(t, 0, fmt.Sprintf("(MESSAGES %d)", messages))
	}
}

// bird is a running Thunderbird.
type bird struct {
	c  net.Conn
	in *bufio.Reader
	id int
}

func startThunderbird(t *testing.T) *bird {
	t.Helper()
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	write(t, filepath.Join(profile, "user.js"), strings.Join([]string{
		`user_pref("marionette.port", 0);`, // any that is free
		`user_pref("mail.shell.checkDefaultClient", false);`,
		`user_pref("mail.biff.show_alert", false);`,
		`user_pref("mail.startup.enabledMailCheckOnce", true);`,
		`user_pref("datareporting.policy.dataSubmissionEnabled", false);`,
		`user_pref("app.update.disabledForTesting", true);`,
		"",
	}, "\n"))
	log, err := os.Create(filepath.Join(home, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--profile", profile)
	cmd.Env = append(os.Environ(), "HOME="+home)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("thunderbird says:\n%s", read(t, log.Name()))
		}
	})
	var port string
	for began := time.Now(); port == ""; {
		select {
		case <-ended:
			t.Fatal("it has ended")
		case <-time.After(20 * time.Millisecond):
		}
		text, _ := os.ReadFile(filepath.Join(profile, "MarionetteActivePort"))
		port = strings.TrimSpace(string(text))
		if time.Since(began) > time.Minute {
			t.Fatal("it does not start")
		}
	}
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	b := &bird{c: c, in: bufio.NewReader(c)}
	b.read(t) // the greeting
	b.call(t, "WebDriver:NewSession", map[string]any{})
	b.call(t, "Marionette:SetContext", map[string]any{"value": "chrome"})
	b.call(t, "WebDriver:SetTimeouts", map[string]any{"script": 100000})
	return b
}

// run runs a script, which gets the arguments and a function that takes what
// went wrong.
func (b *bird) run(t *testing.T, script string, args ...any) {
	t.Helper()
	var result struct{ Value string }
	if err := json.Unmarshal(b.call(t, "WebDriver:ExecuteAsyncScript", map[string]any{"script": script, "args": args}), &result); err != nil {
		t.Fatal(err)
	}
	if result.Value != "" {
		t.Fatal(result.Value)
	}
}

func (b *bird) call(t *testing.T, command string, params map[string]any) json.RawMessage {
	t.Helper()
	b.id++
	text, err := json.Marshal([]any{0, b.id, command, params})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b.c, "%d:%s", len(text), text)
	var answer []json.RawMessage
	if err := json.Unmarshal(b.read(t), &answer); err != nil || len(answer) != 4 {
		t.Fatalf("%s: %v, %s", command, err, answer)
	}
	if string(answer[2]) != "null" {
		t.Fatalf("%s: %s", command, answer[2])
	}
	return answer[3]
}

func (b *bird) read(t *testing.T) []byte {
	t.Helper()
	size, err := b.in.ReadString(':')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(b.in, text); err != nil {
		t.Fatal(err)
	}
	return text
}
