//go:build unix

package pipe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	pebble "github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/deliver/delivertest"
	"plic/internal/mail"
	"plic/internal/table"
	"plic/internal/vfs"
)

// runner is somebody that commands may run as in tests.
func runner(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		return "nobody"
	}
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

// folder is a directory that everybody may write to.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "plic-pipe-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// script writes a program.
func script(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "script")
	if err := errors.Join(os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755), os.Chmod(path, 0o755)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return path
}

func named(text string) *Transport {
	list, err := table.OpenAll([]string{table.Inline(map[string]string{"prog": text})}, table.Options{})
	if err != nil {
		panic(err)
	}
	return New(Options{Command: list.Lookup})
}

func count(dir, pattern string) func() int {
	return func() int {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		return len(found)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("command", func(t *testing.T) {
		t.Parallel()
		delivertest.Local(t, func(t *testing.T, b delivertest.Behaviour) (delivertest.Place, bool) {
			dir := folder(t)
			does := map[delivertest.Behaviour]string{
				delivertest.Takes: `cat > "$2/part.$1" && mv "$2/part.$1" "$2/whole.$1"`, delivertest.Fails: "echo 4.2.2 full; exit 75",
				delivertest.Refuses: "echo nobody there >&2; exit 67", delivertest.Hangs: "sleep 1000", delivertest.Ignores: "exit 0",
			}[b]
			return delivertest.Place{Transport: named("user=" + runner(t) + " dir=/ " + script(t, dir, does) + " ${local} " + dir),
				Hop: mail.Hop{Kind: mail.HopPipe, Host: "prog", Exact: true}, Taken: count(dir, "whole.*")}, true
		})
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		delivertest.Local(t, func(t *testing.T, b delivertest.Behaviour) (delivertest.Place, bool) {
			dir := folder(t)
			name := filepath.Join(dir, "box")
			switch b {
			case delivertest.Fails:
				name = filepath.Join(dir, "none", "box")
			case delivertest.Refuses:
				if err := os.Symlink("/dev/null", name); err != nil {
					t.Fatal(err)
				}
			case delivertest.Hangs, delivertest.Ignores:
				return delivertest.Place{}, false
			}
			return delivertest.Place{Transport: New(Options{}), Hop: mail.Hop{Kind: mail.HopPipe, Host: name, Exact: true}, Taken: func() int {
				if strings.Contains(t.Name(), "unreadable") || strings.Contains(t.Name(), "panic") {
					return 0 // a torn end
				}
				text, _ := os.ReadFile(name)
				return strings.Count(string(text), "\nDelivered-To: ")
			}}, true
		})
	})
}

// send delivers one message and gives its outcome.
func send(t *testing.T, tr *Transport, host, from, to, text string) mail.Outcome {
	t.Helper()
	body := delivertest.Body(text)
	item := delivertest.Item(body, to)
	item.Hop.Host = host
	item.Envelope.From = mail.Address{}
	if from != "" {
		item.Envelope.From = mail.MustAddress(from)
	}
	return tr.Deliver(t.Context(), item, body)[0]
}

const letter = "Subject: x\r\n\r\nFrom here\r\n>From there\r\n.\r\nend"

// A program gets its arguments as they are, whatever stands in addresses.
func TestArguments(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	out := filepath.Join(dir, "out")
	prog := script(t, dir, `{ for a in "$@"; do echo "<$a>"; done; echo "$SENDER|$RECIPIENT|$EXTENSION|$USER|`+"`pwd`"+`"; cat; } > `+out)
	tr := named("user=" + runner(t) + " dir=" + dir + " " + prog + ` -f ${sender} "${recipient}" 'two words' a\ b "" ${user}/${detail}@${domain}`)
	for _, c := range []struct{ from, to, want string }{
		{"ann@a.test", "bob+x@b.test", "<-f>\n<ann@a.test>\n<bob+x@b.test>\n<two words>\n<a b>\n<>\n<bob/x@b.test>\nann@a.test|bob+x@b.test|x|" + runner(t) + "|" + dir + "\nReturn-Path: <ann@a.test>\nDelivered-To: bob+x@b.test\nSubject: x\n\nFrom here\n>From there\n.\nend"},
		{`"; rm -rf / #"@a.test`, `"$(touch ` + dir + "/pwned) `id` | x > y & z < w" + `"@b.test`, "<-f>\n<\"; rm -rf / #\"@a.test>\n<\"$(touch " + dir + "/pwned) `id` | x > y & z < w\"@b.test>\n"},
		{"", `"../../x"@b.test`, "<-f>\n<>\n<\"../../x\"@b.test>\n"},
	} {
		if o := send(t, tr, "prog", c.from, c.to, letter); o.Status.Code != 250 {
			t.Fatalf("%s to %s: %v, %v", c.from, c.to, o.Status, o.Err)
		}
		if got, _ := os.ReadFile(out); !strings.HasPrefix(string(got), c.want) {
			t.Errorf("%s to %s: the program got\n%s\nwant\n%s", c.from, c.to, got, c.want)
		}
	}
	if _, err := os.Stat(dir + "/pwned"); err == nil {
		t.Error("a shell has read an address")
	}
	for _, c := range []ends{{"-fx@a.test", "b@b.test"}, {"a@a.test", "-oQ/tmp@b.test"}} {
		if o := send(t, tr, "prog", c.from, c.to, letter); o.Status.Code != 553 {
			t.Errorf("%s to %s, which may be an option: %v", c.from, c.to, o)
		}
	}
}

type ends struct{ from, to string }

func TestExitCodes(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	prog := script(t, dir, `[ "$2" = "" ] || printf '%s\n' "$2"; [ "$1" = kill ] && kill -9 $$; exit $1`)
	for args, want := range map[string]string{
		"0": "250 2.0.0", "75": "451 4.3.0 the command cannot take", "67": "550 5.1.1", "1": "550 5.3.0 the command failed with exit code 1", "255": "550 5.3.0",
		"64": "451 4.3.5", "78": "451 4.3.5", "127": "451 4.3.5", "kill": "451 4.3.0 the command was killed",
		"69 '5.2.2 the mailbox is full'": "550 5.2.2 the mailbox is full", "69 '4.2.2 full for now'": "451 4.2.2 full for now", "77 'go away'": "550 5.7.0 go away",
		"1 '2.0.0 fine'": "550 5.3.0 2.0.0 fine",
	} {
		if o := send(t, named("user="+runner(t)+" "+prog+" "+args), "prog", "", "b@b.test", letter); !strings.HasPrefix(o.Status.String(), want) {
			t.Errorf("%s: %v, want %s", args, o.Status, want)
		}
	}
}

// What is not set up right waits until somebody has mended it.
func TestFaultsWait(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	ok := script(t, dir, "cat > /dev/null")
	for _, text := range []string{"user=" + runner(t) + " /none", "user=nosuchuser " + ok, "user=root " + ok, "prog x", "user=x", "color=red " + ok,
		ok + " | x", ok + " $HOME", ok + " > x", ok + " 'x", ok + " `id`", ""} {
		if o := send(t, named(text), "prog", "", "b@b.test", letter); o.Status.Code != 451 || o.Status.Enhanced != (mail.Enhanced{4, 3, 5}) || o.Err == nil {
			t.Errorf("%q: %v, %v", text, o.Status, o.Err)
		}
	}
	for _, host := range []string{"other", "|relative", "|"} {
		if o := send(t, named(ok), host, "", "b@b.test", letter); o.Status.Code != 451 {
			t.Errorf("%q: %v", host, o.Status)
		}
	}
	sick := New(Options{Command: func(context.Context, string) (string, bool, error) { return "", false, errors.New("down") }})
	if o := send(t, sick, "prog", "", "b@b.test", letter); o.Status.Code != 451 {
		t.Errorf("a table in trouble: %v", o.Status)
	}
}

// A command that takes too long is killed with all that it has started.
func TestTimeout(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	tr := New(Options{User: runner(t), Timeout: 300 * time.Millisecond})
	alive := filepath.Join(dir, "alive")
	if err := syscall.Mkfifo(alive, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(alive, 0o666); err != nil {
		t.Fatal(err)
	}
	left, err := os.OpenFile(alive, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	prog := script(t, dir, "exec 3> "+alive+"; cat > /dev/null; sleep 1000 & sleep 1000")
	began := time.Now()
	o := send(t, tr, "|"+prog, "", "b@b.test", letter)
	if o.Status.Code != 451 || !errors.Is(o.Err, errTime) || time.Since(began) > 5*time.Minute {
		t.Errorf("%v, %v after %v", o.Status, o.Err, time.Since(began))
	}
	left.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadAll(left); err != nil { // it ends when all have ended that have it open
		t.Errorf("some are left behind: %v", err)
	}
}

// A command of an alias gets a From line, as sendmail gives it.
func TestAliasCommand(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	out := filepath.Join(dir, "out")
	tr := New(Options{User: runner(t), Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	prog := script(t, dir, `echo "$1" > `+out+`; cat >> `+out)
	if o := send(t, tr, "|"+prog+" 'post it'", "ann@a.test", "b@b.test", letter); o.Status.Code != 250 {
		t.Fatal(o.Status, o.Err)
	}
	want := "post it\nFrom ann@a.test Fri Jan 15 08:00:00 2027\nReturn-Path: <ann@a.test>\nDelivered-To: b@b.test\nSubject: x\n"
	if got, _ := os.ReadFile(out); !strings.HasPrefix(string(got), want) {
		t.Errorf("the program got %q, want %q", got, want)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "box")
	tr := New(Options{Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	one := "From MAILER-DAEMON Fri Jan 15 08:00:00 2027\nReturn-Path: <>\nDelivered-To: b@b.test\nSubject: x\n\n>From here\n>>From there\n.\nend\n\n"
	for i, want := range []string{one, one + one, one + one + "torn\n\n" + one} {
		if i == 2 {
			f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteString("torn")
			f.Close()
		}
		if o := send(t, tr, name, "", "b@b.test", letter); o.Status.Code != 250 {
			t.Fatal(o.Status, o.Err)
		}
		if got, _ := os.ReadFile(name); string(got) != want {
			t.Errorf("%d: the file has\n%s\nwant\n%s", i, got, want)
		}
	}
}

// narrow is a disk with room for some octets, of which a file does not tell how many it
// took, as that of os does not.
type narrow struct {
	vfs.FS
	room int
}

type narrowFile struct {
	vfs.File
	room *int
}

func (n *narrow) OpenReadWrite(name string, c pebble.DiskWriteCategory, more ...pebble.OpenOption) (vfs.File, error) {
	f, err := n.FS.OpenReadWrite(name, c, more...)
	return narrowFile{f, &n.room}, err
}

func (f narrowFile) WriteAt(p []byte, at int64) (int, error) {
	fits := min(len(p), *f.room)
	*f.room -= fits
	n, err := f.File.WriteAt(p[:fits], at)
	if err == nil && fits < len(p) {
		return 0, syscall.ENOSPC
	}
	return n, err
}

// L4: what had room of a message that has not is taken away again, or each try would
// leave as much.
func TestFileIsFull(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "box")
	disk := &narrow{vfs.Disk(), 1 << 20}
	tr := New(Options{FS: disk})
	if o := send(t, tr, name, "", "b@b.test", letter); o.Status.Code != 250 {
		t.Fatal(o.Status, o.Err)
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for room := range len(want) {
		disk.room = room
		if o := send(t, tr, name, "", "b@b.test", letter); o.Status.Code != 451 {
			t.Fatal(o.Status, o.Err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("with room for %d: %q, %v", room, got, err)
		}
	}
}

// opening tells when a file was opened.
type opening struct {
	vfs.FS
	opened chan bool
}

func (o opening) OpenReadWrite(name string, c pebble.DiskWriteCategory, more ...pebble.OpenOption) (vfs.File, error) {
	f, err := o.FS.OpenReadWrite(name, c, more...)
	o.opened <- true
	return f, err
}

// TestFileIsReplaced: a mailbox that another program puts a new file in the place of,
// while it is waited for its lock, gets the message in the new one.
func TestFileIsReplaced(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "box")
	for _, n := range []string{name, name + ".new"} {
		if err := os.WriteFile(n, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	held, err := vfs.Disk().OpenReadWrite(name, vfs.Mail)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := vfs.TryLock(held, false, false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	o := opening{vfs.Disk(), make(chan bool, 100)}
	done := make(chan mail.Outcome, 1)
	go func() { done <- send(t, New(Options{FS: o}), name, "", "b@b.test", letter) }()
	<-o.opened
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.Status.Code != 250 {
		t.Fatal(got.Status, got.Err)
	}
	if text, err := os.ReadFile(name); err != nil || !strings.Contains(string(text), "Subject: x") {
		t.Errorf("%v, the file has %q", err, text)
	}
}

func FuzzCommand(f *testing.F) {
	f.Add(`user=x dir=/ /bin/x -f "${sender}" 'a b' \\ c`, "a b")
	f.Fuzz(func(t *testing.T, text, local string) {
		c, err := parseNamed(text)
		if err != nil {
			return
		}
		args, err := c.expand(&message{to: mail.Address{Local: local, Domain: mail.MustDomain("b.test")}})
		if err == nil && (len(args) != len(c.args) || args[0] != c.args[0]) {
			t.Errorf("%q became %q", c.args, args)
		}
	})
}
