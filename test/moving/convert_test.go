package moving

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/moving"
	"plic/test/trial"
)

// maildirWith makes a Maildir with some folders.
func maildirWith(t *testing.T, dir string, messages int) {
	t.Helper()
	w, err := moving.MaildirFiles(dir, "host")
	if err != nil {
		t.Fatal(err)
	}
	flags := [][]string{nil, {`\Seen`}, {`\Flagged`, `\Seen`, "work"}, {`\Answered`, "$Forwarded"}, {`\Deleted`}, {`\Draft`}}
	texts := corpus()
	var all []moving.Folder
	for _, name := range []string{"INBOX", "Sent", "Lists/Gr\u00fc\u00dfe"} {
		f := moving.Folder{Name: name, UIDValidity: uint32(1000 + len(all)), UIDNext: uint32(3*messages + 7), Subscribed: name != "Sent"}
		if err := w.Begin(&f); err != nil {
			t.Fatal(err)
		}
		for n := range messages {
			text := texts[(n+len(all))%len(texts)]
			if n >= len(texts) {
				text = fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", n, strings.Repeat("From me\r\n", n%50))
			}
			l := moving.Letter{UID: uint32(3*n + 2), Flags: flags[n%len(flags)], Internal: time.Unix(int64(1e9+n), 0), Size: int64(len(text)), Text: []byte(text)}
			if err := w.Write(&l); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.End(); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	if err := w.Close(all); err != nil {
		t.Fatal(err)
	}
}

// talk is a dialog with an IMAP server.
type talk struct {
	conn net.Conn
	in   *bufio.Reader
}

// dialog logs the newcomer in.
func dialog(t *testing.T, address string) *talk {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	d := &talk{conn, bufio.NewReader(conn)}
	if said := d.ask("a LOGIN " + newcomer + " " + secret); !strings.Contains(said, "a OK") {
		t.Fatal(said)
	}
	return d
}

// ask gives a command and all that is said up to its end.
func (d *talk) ask(command string) string {
	fmt.Fprint(d.conn, command+"\r\n")
	tag, _, _ := strings.Cut(command, " ")
	return d.until(tag + " ")
}

func (d *talk) until(prefix string) string {
	var all strings.Builder
	for {
		line, err := d.in.ReadString('\n')
		all.WriteString(line)
		if err != nil || strings.HasPrefix(line, prefix) {
			return all.String()
		}
	}
}

// deliver sends a message to the newcomer; one that is refused for now is sent
// again.
func deliver(t *testing.T, s *trial.Server, n int) {
	t.Helper()
	for try := 0; ; try++ {
		err := func() error {
			c, err := smtp.Dial(s.At(25))
			if err != nil {
				return err
			}
			defer c.Close()
			if err := errors.Join(c.Hello("there.test"), c.Mail("bob@there.test"), c.Rcpt(newcomer)); err != nil {
				return err
			}
			w, err := c.Data()
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "From: bob@there.test\r\nSubject: delivered %d\r\n\r\nhello\r\n", n)
			return w.Close()
		}()
		if err == nil {
			return
		}
		if !strings.HasPrefix(err.Error(), "4") || try == 100 {
			t.Error(err)
			return
		}
	}
}

// apart takes what was delivered out of what is there, and says how often each
// was there.
func apart(all letters) (rest letters, delivered map[string]int) {
	rest, delivered = letters{}, map[string]int{}
	for name, list := range all {
		for _, l := range list {
			_, subject, ok := bytes.Cut(l.Text, []byte("Subject: delivered "))
			if !ok {
				rest[name] = append(rest[name], l)
				continue
			}
			n, _, _ := bytes.Cut(subject, []byte("\r\n"))
			delivered[string(n)]++
		}
	}
	return rest, delivered
}

// TestConvert takes an account from format to format and back while mail comes
// in and a session is open: UIDs, flags, dates, subscriptions and octets stay,
// each message that comes is there once, and the session is ended with BYE.
func TestConvert(t *testing.T) {
	t.Parallel()
	s := site(t)
	dir := filepath.Dir(s.Dir)
	maildirWith(t, filepath.Join(dir, "source"), 120)
	plic(t, s.Dir, "", "import", "maildir", filepath.Join(dir, "source"), newcomer)
	deliver(t, s, 0)
	before, _ := look(t, s.At(143), newcomer)
	want, _ := apart(before)
	if len(want) < 3 {
		t.Fatalf("%d folders", len(want))
	}
	sent, first := 1, slices.Clone(before["INBOX"])
	for _, to := range []string{"maildir:" + dir + "/m", "mbox:" + dir + "/b", "native", "mbox:" + dir + "/c", "maildir:" + dir + "/%n:LAYOUT=fs", "native"} {
		idle, plain := dialog(t, s.At(143)), dialog(t, s.At(143))
		idle.ask("b SELECT Sent")
		status := plain.ask("b STATUS Sent (UIDVALIDITY UIDNEXT HIGHESTMODSEQ MAILBOXID)")
		fmt.Fprint(idle.conn, "c IDLE\r\n")
		ended, sending := make(chan bool), make(chan bool)
		go func() {
			defer close(sending)
			for {
				deliver(t, s, sent)
				sent++
				select {
				case <-ended:
					return
				default:
				}
			}
		}()
		said := plic(t, s.Dir, "", "account", "convert", newcomer, "--to", to)
		close(ended)
		<-sending
		t.Logf("%s: %s", to, said)
		for what, said := range map[string]string{"IDLE": idle.until("* BYE"), "NOOP": plain.ask("d NOOP")} {
			if !strings.Contains(said, "* BYE [UNAVAILABLE]") {
				t.Errorf("%s: a session with %s: %q", to, what, said)
			}
		}
		if got := dialog(t, s.At(143)).ask("b STATUS Sent (UIDVALIDITY UIDNEXT HIGHESTMODSEQ MAILBOXID)"); got != status {
			t.Errorf("%s: %q, was %q", to, got, status)
		}
		if again := plic(t, s.Dir, "", "account", "convert", newcomer, "--to", to); !strings.Contains(again, "already") {
			t.Errorf("a second time: %s", again)
		}
		all, folders := look(t, s.At(143), newcomer)
		got, delivered := apart(all)
		same(t, to, got, want, folders, []moving.Folder{
			{Name: "Sent", UIDValidity: 1001, UIDNext: 367, Subscribed: true}, {Name: "Lists/Gr\u00fc\u00dfe", UIDValidity: 1002, UIDNext: 367, Subscribed: true}})
		for n := range sent {
			if delivered[fmt.Sprint(n)] != 1 {
				t.Errorf("%s: message %d of %d is there %d times", to, n, sent, delivered[fmt.Sprint(n)])
			}
		}
		same(t, to, letters{"INBOX": all["INBOX"][:len(first)]}, letters{"INBOX": first}, nil, nil)
		first = slices.Clone(all["INBOX"])
		var uids []uint32
		for _, l := range first {
			uids = append(uids, l.UID)
		}
		if !slices.IsSorted(uids) || len(slices.Compact(uids)) != len(first) {
			t.Errorf("%s: UIDs %v", to, uids)
		}
	}
	out, err := exec.CommandContext(t.Context(), program, "account", "convert", newcomer, "--to", "maildir:"+dir+"/m", "--dir", s.Dir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "there is mail at that place") {
		t.Errorf("to where mail is: %v %s", err, out)
	}
}

// killed runs a command until it ends before it is killed, and says how often it
// was.
func killed(t *testing.T, wait time.Duration, data string, args ...string) (kills int) {
	t.Helper()
	for ; ; wait += wait * 2 / 3 {
		cmd := exec.CommandContext(t.Context(), program, append(args, "--dir", data)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(wait, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if err == nil {
			t.Logf("%v: %s", args, out.String())
			return kills
		}
		if cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("%v: %v %s", args, err, out.String())
		}
		kills++
	}
}

// TestConvertKilled kills conversions again and again, and removals of what they
// have left: the account is whole at each time, and the command can be run again.
func TestConvertKilled(t *testing.T) {
	t.Parallel()
	s := site(t)
	dir, data := filepath.Dir(s.Dir), s.Dir
	maildirWith(t, filepath.Join(dir, "source"), 700)
	plic(t, data, "", "import", "maildir", filepath.Join(dir, "source"), newcomer)
	want, folders := look(t, s.At(143), newcomer)
	s.Stop(t)
	kills := 0
	for i, to := range []string{"maildir:" + dir + "/m", "mbox:" + dir + "/b", "native"} {
		kills += killed(t, time.Duration(60+40*i)*time.Millisecond, data, "account", "convert", newcomer, "--to", to)
		if i > 0 {
			kills += killed(t, 20*time.Millisecond, data, "account", "convert", newcomer, "--remove-old")
		}
		s := trial.StartIn(t, data, program)
		got, there := look(t, s.At(143), newcomer)
		same(t, to, got, want, there, folders)
		if len(slices.Collect(maps.Keys(got))) != len(want) {
			t.Errorf("%s: %d folders of %d", to, len(got), len(want))
		}
		s.Stop(t)
	}
	t.Logf("killed %d times, then: %s", kills, plic(t, data, "", "check"))
	for _, source := range []string{"m", "b"} {
		var rest []string
		err := filepath.WalkDir(filepath.Join(dir, source), func(path string, d fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".lock") || strings.Contains(path, "/.plic/") { // half written when it was killed
				return err
			}
			if text, _ := os.ReadFile(path); bytes.Contains(text, []byte("Subject: ")) {
				rest = append(rest, path)
			}
			return err
		})
		if err != nil || len(rest) > 0 {
			t.Errorf("left behind: %v %v", rest, err)
		}
	}
	if kills == 0 {
		t.Error("nothing was killed")
	}
}
