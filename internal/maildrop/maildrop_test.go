package maildrop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/vfs"
)

// taken is what a server took, by token; as post.Drop it takes each once.
type taken struct {
	mu      sync.Mutex
	letters map[mail.ID]string
	times   int
	fail    error
}

func (k *taken) take(_ context.Context, uid int, l *Letter, message io.Reader) error {
	text, err := io.ReadAll(message)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.times++
	if k.fail != nil {
		return k.fail
	}
	if _, ok := k.letters[l.Token]; !ok {
		k.letters[l.Token] = fmt.Sprintf("%d %s %v %s", uid, l.From, l.To[0].Address, text)
	}
	return nil
}

// drop is a maildrop with what its server took.
func drop(t *testing.T) (*Taker, *taken) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "plic-drop-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	k := &taken{letters: map[mail.ID]string{}}
	taker := &Taker{FS: vfs.Disk(), Dir: dir, Take: k.take, Log: slog.New(slog.DiscardHandler)}
	if err := taker.Prepare(); err != nil {
		t.Fatal(err)
	}
	return taker, k
}

func letter() *Letter {
	return &Letter{Token: mail.NewID(time.Now()), From: mail.MustAddress("ann@a.test"), To: []mail.Recipient{{Address: mail.MustAddress("bob@b.test")}}}
}

var errDown = errors.New("no server")

func sender(t *Taker, dial func(context.Context) (net.Conn, error)) Sender {
	if dial == nil {
		dial = func(context.Context) (net.Conn, error) { return nil, errDown }
	}
	return Sender{FS: vfs.Disk(), Dir: t.Dir, Dial: dial}
}

// listen serves the socket and gives a way to it.
func listen(t *testing.T, taker *Taker) func(context.Context) (net.Conn, error) {
	t.Helper()
	path := filepath.Join(taker.Dir, SocketName)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- taker.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "unix", path) }
}

const text = "Subject: x\r\n\r\nhello\r\n"

func TestBySocketOrDirectory(t *testing.T) {
	t.Parallel()
	taker, k := drop(t)
	want := fmt.Sprintf("%d ann@a.test bob@b.test %s", os.Getuid(), text)
	left, sent := letter(), letter()
	if err := sender(taker, nil).Send(t.Context(), left, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := sender(taker, listen(t, taker)).Send(t.Context(), sent, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if k.letters[sent.Token] != want || len(k.letters) != 1 {
		t.Errorf("by the socket: %q", k.letters)
	}
	if !taker.Holds("0/" + left.Token.String()) {
		t.Error("the letter that was left is not known to be there")
	}
	taker.Collect(t.Context())
	if k.letters[left.Token] != want {
		t.Errorf("from the directory: %q", k.letters)
	}
	taker.Collect(t.Context())
	if k.times != 2 {
		t.Errorf("%d letters were taken, not 2", k.times)
	}
	if names, _ := os.ReadDir(filepath.Join(taker.Dir, folder)); len(names) != 0 {
		t.Errorf("left behind: %v", names)
	}
}

// Whatever happens between the two, a letter is taken once.
func TestOnceWhateverTheAnswer(t *testing.T) {
	t.Parallel()
	taker, k := drop(t)
	dial := listen(t, taker)
	cut := func(ctx context.Context) (net.Conn, error) { // the answer is lost
		conn, err := dial(ctx)
		return &deaf{conn}, err
	}
	l := letter()
	if err := sender(taker, cut).Send(t.Context(), l, []byte(text)); err != nil {
		t.Fatal(err)
	}
	taker.Collect(t.Context())
	if k.times != 2 || len(k.letters) != 1 {
		t.Errorf("seen %d times, taken %d times; want 2 and 1", k.times, len(k.letters))
	}

	k.fail = mail.Reply(452, "4.3.1", "no room") // it waits in the directory
	l = letter()
	if err := sender(taker, dial).Send(t.Context(), l, []byte(text)); err != nil {
		t.Fatal(err)
	}
	taker.Collect(t.Context())
	if len(k.letters) != 1 || !taker.Holds("0/"+l.Token.String()) {
		t.Error("a letter is gone for which there was no room")
	}
	k.fail = nil
	taker.Collect(t.Context())
	if len(k.letters) != 2 {
		t.Error("a letter was not taken when there was room again")
	}

	k.fail = mail.Reply(552, "5.3.4", "too large")
	err := sender(taker, dial).Send(t.Context(), letter(), []byte(text))
	if mail.StatusOf(err).Code != 552 {
		t.Errorf("a refusal for good: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(taker.Dir, folder)); err != nil {
		t.Fatal(err)
	}
	if err := sender(taker, nil).Send(t.Context(), letter(), []byte(text)); !errors.Is(err, errDown) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("with neither: %v", err)
	}
}

// deaf writes and does not hear.
type deaf struct{ net.Conn }

func (d *deaf) Read([]byte) (int, error) {
	io.Copy(io.Discard, io.LimitReader(d.Conn, 1)) // the server is done
	return 0, io.ErrUnexpectedEOF
}

// What strangers put into the directory does no harm, and is put aside.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	taker, k := drop(t)
	dir := filepath.Join(taker.Dir, folder)
	secret := filepath.Join(taker.Dir, "secret")
	var whole bytes.Buffer
	l := letter()
	if err := write(&whole, l, []byte(text)); err != nil {
		t.Fatal(err)
	}
	name := l.Token.String()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(secret, whole.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func(){
		"a symbolic link": func() { os.Symlink(secret, filepath.Join(dir, name)) },
		"a second name":   func() { os.Link(secret, filepath.Join(dir, name)) },
		"a directory":     func() { os.Mkdir(filepath.Join(dir, name), 0o755) },
		"nonsense":        func() { put("x", "nonsense") },
		"nothing":         func() { put("x", "") },
		"another name":    func() { put("x", whole.String()) },
		"nobody to go to": func() { put(name, `{"token":"`+name+`","size":1}`+"\nx") },
		"a negative size": func() { put(name, strings.Replace(whole.String(), `"size":21`, `"size":-1`, 1)) },
		"an endless head": func() { put(name, strings.Repeat("[", maxHead+1)) },
		"half a letter":   func() { put(name, whole.String()[:whole.Len()-3]) },
	} {
		do()
		taker.Collect(t.Context())
		if len(k.letters) != 0 {
			t.Errorf("%s: %q was taken", what, k.letters)
		}
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%s: still there: %v", what, left)
		}
		os.RemoveAll(filepath.Join(taker.Dir, "bad."+name))
	}
}

func TestConversationsThatFail(t *testing.T) {
	t.Parallel()
	taker, k := drop(t)
	taker.Patience = 100 * time.Millisecond
	dial := listen(t, taker)
	for _, said := range []string{"", "nonsense\n", `{"token":"` + letter().Token.String() + `","to":[{"address":"b@b.test"}],"size":10}` + "\nhalf"} {
		conn, err := dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, said)
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if strings.Contains(string(answer), `"code":2`) || len(k.letters) != 0 {
			t.Errorf("%q was answered %s", said, answer)
		}
	}
}

func TestPermissions(t *testing.T) {
	t.Parallel()
	taker, _ := drop(t)
	for path, want := range map[string]os.FileMode{taker.Dir: 0o755 | os.ModeDir, filepath.Join(taker.Dir, folder): 0o733 | os.ModeSticky | os.ModeDir} {
		if i, err := os.Stat(path); err != nil || i.Mode() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, i.Mode(), want, err)
		}
	}
	l := letter()
	if err := sender(taker, nil).Send(t.Context(), l, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if i, err := os.Stat(filepath.Join(taker.Dir, folder, l.Token.String())); err != nil || i.Mode() != 0o644 {
		t.Errorf("a letter has mode %v: the server may be another user (%v)", i.Mode(), err)
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	me := mail.MustAddress("joe@here.test")
	const added = "From: =?utf-8?B?SsO2?= <joe@here.test>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <ID@here.test>\r\n"
	for _, c := range []struct {
		name, text, to, want string
		header               bool
		given                string
	}{
		{"plain", "Subject: x\n\nhello\n", "bob@here.test", "Subject: x\r\n" + added + "\r\nhello\r\n", false, "bob"},
		{"line ends", "Subject: x\r\n\rhello\r\r\n.\n\rend", "bob@here.test", "Subject: x\r\n" + added + "\r\nhello\r\n\r\n.\r\n\r\nend\r\n", false, "bob"},
		{"no header", "hello\nworld\n", "bob@here.test", added + "\r\nhello\r\nworld\r\n", false, "bob"},
		{"nothing", "", "bob@here.test", added + "\r\n", false, "bob"},
		{"no empty line", "Subject: x\nhello world\n", "bob@here.test", "Subject: x\r\n" + added + "\r\nhello world\r\n", false, "bob"},
		{"From line", "From joe Mon Nov 23\nSubject: x\n\nhi\n", "bob@here.test", "Subject: x\r\n" + added + "\r\nhi\r\n", false, "bob"},
		{"complete", "From: a@b.test\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nMessage-Id: <x@y>\n\nhi\n", "bob@here.test",
			"From: a@b.test\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-Id: <x@y>\r\n\r\nhi\r\n", false, "bob"},
		{"-t", "To: Bob <bob@b.test>,\n carl\nCc: bob@b.test, friends: d@d.test;\nBCC: Secret <eve@e.test>\nSubject: x\n\nhi\n", "bob@b.test carl@here.test d@d.test eve@e.test",
			"To: Bob <bob@b.test>,\r\n carl\r\nCc: bob@b.test, friends: d@d.test;\r\nSubject: x\r\n" + added + "\r\nhi\r\n", true, ""},
		{"-t and more", "To: bob@b.test\n\nhi\n", "carl@here.test bob@b.test", "To: bob@b.test\r\n" + added + "\r\nhi\r\n", true, "carl"},
		{"Bcc without -t", "Bcc: eve@e.test\nTo: x@y.test\n\nhi\n", "bob@here.test", "To: x@y.test\r\n" + added + "\r\nhi\r\n", false, "bob"},
		{"resent", "Resent-To: bob@b.test\nResent-Bcc: eve@e.test\nTo: x@y.test\nFrom: z@z.test\n\nhi\n", "bob@b.test eve@e.test",
			"Resent-To: bob@b.test\r\nTo: x@y.test\r\nFrom: z@z.test\r\nResent-" + strings.ReplaceAll(added, "\r\n", "\r\nResent-"), true, ""},
	} {
		d := Draft{Text: []byte(c.text), From: me, Author: me, Name: "Jö", Header: c.header, Origin: me.Domain, Now: now}
		if c.given != "" {
			d.To = []mail.Recipient{{Address: mail.Address{Local: c.given, Domain: me.Domain}}}
		}
		l, whole, err := d.Compose()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var to []string
		for _, r := range l.To {
			to = append(to, r.Address.String())
		}
		got := strings.Replace(string(whole), l.Token.String(), "ID", 1)
		if c.name == "resent" {
			c.want = strings.TrimSuffix(c.want, "Resent-") + "\r\nhi\r\n"
		}
		if got != c.want || strings.Join(to, " ") != c.to {
			t.Errorf("%s: for %v\n%q, want\n%q", c.name, to, got, c.want)
		}
	}
	d := Draft{Text: []byte("Subject: x\n\nhi\n"), Header: true, Origin: me.Domain, Now: now}
	if _, _, err := d.Compose(); !errors.Is(err, ErrNoRecipients) {
		t.Errorf("for nobody: %v", err)
	}
	d.Text = []byte("To: bob@[bad\n\nhi\n")
	if l, _, err := d.Compose(); err == nil {
		t.Errorf("an address that is none: %+v", l)
	}
}

func FuzzRead(f *testing.F) {
	var whole bytes.Buffer
	if err := write(&whole, letter(), []byte(text)); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, message, err := read(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if got, _ := io.ReadAll(message); int64(len(got)) > l.Size {
			t.Errorf("%d octets of %d", len(got), l.Size)
		}
	})
}

func FuzzCompose(f *testing.F) {
	f.Add([]byte("From x\nTo: a, b@c.test\nBcc: d\n\nhi\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := Draft{Text: raw, Header: true, Origin: mail.MustDomain("here.test"), From: mail.MustAddress("a@here.test"), Author: mail.MustAddress("a@here.test")}
		l, whole, err := d.Compose()
		if err != nil {
			return
		}
		if bytes.Contains(bytes.ReplaceAll(whole, []byte("\r\n"), nil), []byte("\r")) || bytes.Contains(bytes.ReplaceAll(whole, []byte("\r\n"), nil), []byte("\n")) || len(l.To) == 0 {
			t.Errorf("%q became %q", raw, whole)
		}
	})
}
