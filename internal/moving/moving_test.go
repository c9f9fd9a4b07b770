package moving_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/control/controltest"
	"plic/internal/mbox"
	"plic/internal/message/messagetest"
	"plic/internal/moving"
	"plic/internal/vfs"
)

// load is a source of letters in memory.
type load struct {
	folders []moving.Folder
	letters map[string][]moving.Letter
	bad     string // the name of a letter that cannot be read
}

func (l *load) Name() string { return "load" }
func (l *load) Close() error { return nil }
func (l *load) Folders(context.Context, func(*moving.Bad)) ([]moving.Folder, error) {
	return slices.Clone(l.folders), nil
}

func (l *load) Letters(_ context.Context, f *moving.Folder, known func(uint64) bool) iter.Seq2[moving.Letter, error] {
	return func(yield func(moving.Letter, error) bool) {
		for _, x := range l.letters[f.Name] {
			if known(x.Key) {
				continue
			}
			var err error
			if x.Name == l.bad {
				err = &moving.Bad{Name: x.Name, Err: errors.New("unreadable")}
			}
			if !yield(x, err) {
				return
			}
		}
	}
}

// corpus is messages of all kinds, as lines of mail.
func corpus() (all []string) {
	for _, m := range messagetest.All() {
		text := strings.ReplaceAll(strings.ReplaceAll(string(m.Raw), "\r\n", "\n"), "\n", "\r\n")
		if strings.Contains(text, "\r\n\r\n") && len(text) < 1<<20 && !strings.Contains(text, "\r\r") {
			all = append(all, text)
		}
	}
	return all
}

func someLoad(n int) *load {
	texts := corpus()
	l := &load{letters: map[string][]moving.Letter{}}
	for i, name := range []string{"INBOX", "Sent", "Lists/Gr\u00fc\u00dfe & more"} {
		f := moving.Folder{Name: name, UIDValidity: uint32(1000 + i), UIDNext: uint32(3*n + 10), Messages: n, Subscribed: i != 1}
		l.folders = append(l.folders, f)
		for k := range n {
			text := texts[(i+k)%len(texts)]
			x := moving.Letter{
				Key: uint64(1 + i*n + k), Name: fmt.Sprintf("%s, %d", name, k), UID: uint32(3*k + 2), Size: int64(len(text)), Text: []byte(text),
				Internal: time.Date(2020, 1, 1, k%24, k%60, 0, 0, time.FixedZone("", 3600*(k%3))),
			}
			for bit, flag := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Draft`, `\Deleted`, "$Forwarded", "work"} {
				if k>>bit&1 != 0 {
					x.Flags = append(x.Flags, flag)
				}
			}
			l.letters[name] = append(l.letters[name], x)
		}
	}
	return l
}

func bring(t *testing.T, from moving.Source, to moving.Site) (r moving.Result, bad []string) {
	t.Helper()
	job := moving.Job{Source: from, Site: to, Account: "ann", Bad: func(b *moving.Bad) { bad = append(bad, b.Name) }}
	r, err := job.Import(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r, bad
}

// kept is what a site has, by folder.
func kept(t *testing.T, s moving.Site) map[string][]moving.Letter {
	t.Helper()
	all := map[string][]moving.Letter{}
	folders, err := s.Folders(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		for l, err := range s.Get(t.Context(), "ann", f.Name) {
			if err != nil {
				t.Fatal(err)
			}
			all[f.Name] = append(all[f.Name], l)
		}
	}
	return all
}

func digest(l *load) string {
	var d moving.Digest
	for _, letters := range l.letters {
		for _, x := range letters {
			sum := sha256.Sum256(x.Text)
			d.Add(sum[:])
		}
	}
	return d.String()
}

// same compares what was brought with what was sent.
func same(t *testing.T, what string, got, want map[string][]moving.Letter, uids bool) {
	t.Helper()
	for name, letters := range want {
		if len(got[name]) != len(letters) {
			t.Errorf("%s, %s: %d letters of %d", what, name, len(got[name]), len(letters))
			continue
		}
		for i, x := range letters {
			g := got[name][i]
			slices.Sort(g.Flags)
			flags := slices.Sorted(slices.Values(x.Flags))
			if !bytes.Equal(g.Text, x.Text) || uids && g.UID != x.UID || !slices.Equal(g.Flags, flags) || g.Internal.Unix() != x.Internal.Unix() {
				t.Errorf("%s, %s, letter %d: UID %d (%d), flags %v (%v), %s (%s), %d octets (%d)", what, name, i, g.UID, x.UID, g.Flags, flags, g.Internal, x.Internal, len(g.Text), len(x.Text))
			}
		}
	}
}

// TestRoundTrip: what is exported in each format is imported again as it was,
// octet by octet, with UIDs, flags, dates and the same digest.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	l := someLoad(150)
	var first controltest.Moved
	if r, bad := bring(t, l, &first); r.Messages != 450 || r.Digest != digest(l) || len(bad) > 0 || r.Renumber > 0 {
		t.Fatalf("%+v %v", r, bad)
	}
	same(t, "memory", kept(t, &first), l.letters, true)
	for format, c := range map[string]struct {
		write func(dir string) (moving.Writer, error)
		read  func(dir string) (moving.Source, error)
	}{
		"maildir": {func(dir string) (moving.Writer, error) { return moving.MaildirFiles(dir, "host") }, moving.Maildir},
		"mbox": {
			func(dir string) (moving.Writer, error) { return moving.MboxFiles(vfs.Disk(), dir) },
			func(dir string) (moving.Source, error) { return moving.Mbox(dir, mbox.Options{}) },
		},
	} {
		dir := filepath.Join(t.TempDir(), "out")
		w, err := c.write(dir)
		if err != nil {
			t.Fatal(err)
		}
		out, err := moving.Export(t.Context(), &first, "ann", w, nil, func(b *moving.Bad) { t.Error(b) }, func(moving.Progress) {})
		if err != nil || out.Messages != 450 || out.Digest != digest(l) {
			t.Fatalf("%s: %+v, %v", format, out, err)
		}
		source, err := c.read(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer source.Close()
		var second controltest.Moved
		in, bad := bring(t, source, &second)
		if in.Digest != out.Digest || len(bad) > 0 {
			t.Errorf("%s: %+v, %v", format, in, bad)
		}
		same(t, format, kept(t, &second), l.letters, true)
		folders, err := second.Folders(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range folders {
			i := slices.IndexFunc(l.folders, func(x moving.Folder) bool { return x.Name == f.Name })
			if i < 0 || f.UIDValidity != l.folders[i].UIDValidity || format == "maildir" && f.Subscribed != l.folders[i].Subscribed {
				t.Errorf("%s: folder %+v", format, f)
			}
		}
		if again, _ := bring(t, source, &second); again.Messages != 0 || again.Known != 450 {
			t.Errorf("%s: a second import brings %+v", format, again)
		}
		if _, err := c.write(dir); err == nil {
			t.Errorf("%s: written over what was there", format)
		}
	}
	dir := filepath.Join(t.TempDir(), "eml")
	w, err := moving.EML(vfs.Disk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := moving.Export(t.Context(), &first, "ann", w, func(name string) bool { return name == "INBOX" }, nil, func(moving.Progress) {}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "INBOX", "0000000002.eml"))
	if err != nil || !bytes.Equal(text, l.letters["INBOX"][0].Text) {
		t.Error(err)
	}
}

// TestResume: an import that fails goes on where it was, and brings each letter
// once.
func TestResume(t *testing.T) {
	t.Parallel()
	l := someLoad(600)
	for fail := 1; fail < 8; fail++ {
		site := controltest.Moved{Fail: fail}
		job := moving.Job{Source: l, Site: &site, Account: "ann"}
		r, err := job.Import(t.Context())
		if err == nil {
			t.Fatalf("the import came through: %+v", r)
		}
		again, bad := bring(t, l, &site)
		if r.Messages+again.Messages != 1800 || again.Known != r.Messages || len(bad) > 0 {
			t.Errorf("fail %d: %+v, then %+v, %v", fail, r, again, bad)
		}
		same(t, "again", kept(t, &site), l.letters, true)
	}
}

// TestBad: what cannot be read or kept is named, and the rest goes on.
func TestBad(t *testing.T) {
	t.Parallel()
	l := someLoad(30)
	l.bad = "Sent, 7"
	site := controltest.Moved{Refuse: "INBOX, 3"}
	var letters []*moving.Letter
	var steps int
	job := moving.Job{Source: l, Site: &site, Account: "ann", Bad: func(b *moving.Bad) { letters = append(letters, b.Letter) },
		Progress: func(p moving.Progress) { steps++ },
		Into:     func(name string) (string, bool) { return "Old/" + name, name != "Lists/Gr\u00fc\u00dfe & more" }}
	r, err := job.Import(t.Context())
	if err != nil || r.Messages != 58 || r.Bad != 2 || steps != 58 {
		t.Fatalf("%+v, %v, %d steps", r, err, steps)
	}
	if len(letters) != 2 || letters[0] == nil || letters[0].Name != "INBOX, 3" || letters[1] != nil {
		t.Errorf("%+v", letters)
	}
	if all := kept(t, &site); len(all["Old/INBOX"]) != 29 || len(all["Old/Sent"]) != 29 || len(all) != 2 {
		t.Errorf("%d folders", len(all))
	}
}

// TestChanged: what a site keeps otherwise than it was sent ends the import.
func TestChanged(t *testing.T) {
	t.Parallel()
	job := moving.Job{Source: someLoad(3), Site: careless{&controltest.Moved{}}, Account: "ann"}
	if _, err := job.Import(t.Context()); err == nil || !strings.Contains(err.Error(), "not what was sent") {
		t.Error(err)
	}
}

type careless struct{ *controltest.Moved }

func (c careless) Put(ctx context.Context, o moving.Order, letters []moving.Letter) ([]moving.Placed, error) {
	placed, err := c.Moved.Put(ctx, o, letters)
	placed[0].Sum = bytes.Repeat([]byte{1}, 32)
	return placed, err
}

// TestMaildir reads Maildirs as other programs leave them.
func TestMaildir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	put("cur/1.a:2,FRSab", "S: 1\n\none\n")
	put("cur/2.b:2,", "S: 2\r\n\r\ntwo\r\n")
	put("new/3.c", "S: 3\n\nthree\n")
	put("cur/.hidden", "no")
	put("dovecot-uidlist", "3 V77 N20 Gabc\n5 :2.b\n9 W40 :1.a:2,S\n")
	put("dovecot-keywords", "0 work\n1 $Forwarded\n")
	put("subscriptions", "V\t2\n\nA\tB\n")
	put(".A.B/cur/4.d:2,T", "S: 4\n\nfour\n")
	put(".Gr&APw-n/new/5.e", "S: 5\n\nfive\n")
	put(".Sent/cur/6.f:2,S", "S: 6\n\nsix\n")
	put(".Sent/dovecot-uidlist", "garbage\n")
	put(".Torn/cur/8.h:2,", "S: 8\n\neight\n")
	put(".Torn/new", "no directory")
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "cur/7.g:2,")); err != nil {
		t.Fatal(err)
	}
	source, err := moving.Maildir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var site controltest.Moved
	r, bad := bring(t, source, &site)
	if r.Messages != 7 || len(bad) != 3 || !strings.Contains(strings.Join(bad, " "), "7.g") || !slices.Contains(bad, "Torn") {
		t.Errorf("%+v %v", r, bad)
	}
	all := kept(t, &site)
	inbox := all["INBOX"]
	if len(inbox) != 3 || inbox[0].UID != 5 || inbox[1].UID != 9 || string(inbox[1].Text) != "S: 1\r\n\r\none\r\n" ||
		fmt.Sprint(inbox[1].Flags) != `[\Flagged \Answered \Seen work $Forwarded]` || string(inbox[2].Text) != "S: 3\r\n\r\nthree\r\n" {
		t.Errorf("%+v", inbox)
	}
	folders, err := site.Folders(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range folders {
		names = append(names, fmt.Sprint(f.Name, f.Subscribed, f.SpecialUse))
	}
	if got := fmt.Sprint(names); got != `[A/Btrue Gr`+"\u00fc"+`nfalse INBOXtrue Sentfalse\Sent Tornfalse]` {
		t.Error(got)
	}
	// The same as nested directories.
	dir = t.TempDir()
	put("cur/1.a:2,", "S: 1\n\none\n")
	put("A/B/cur/2.b:2,", "S: 2\n\ntwo\n")
	if source, err = moving.Maildir(dir); err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	var nested controltest.Moved
	bring(t, source, &nested)
	if all := kept(t, &nested); len(all["INBOX"]) != 1 || len(all["A/B"]) != 1 {
		t.Errorf("%+v", all)
	}
	if _, err := moving.Maildir(filepath.Join(dir, "A")); err != nil {
		t.Error(err)
	}
	if _, err := moving.Maildir(t.TempDir()); err == nil {
		t.Error("an empty directory is a Maildir")
	}
}

// TestCyrus reads a spool that is laid out as Cyrus does.
func TestCyrus(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name string, text []byte) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	word := binary.BigEndian.AppendUint32
	index := func(version uint32, records ...[3]uint32) []byte { // UID, system flags, user flags
		b := make([]byte, 160)
		for at, n := range map[int]uint32{8: version, 12: 160, 16: 112, 20: uint32(len(records)), 28: 9, 44: 4711} {
			binary.BigEndian.PutUint32(b[at:], n)
		}
		for _, r := range records {
			x := word(word(nil, r[0]), 1_600_000_000)
			x = append(x, make([]byte, 24)...)
			x = word(word(x, r[1]), r[2])
			b = append(b, append(x, make([]byte, 112-len(x))...)...)
		}
		return b
	}
	header := []byte("\xa1\x02\x8b\x0dCyrus mailbox header\n\"goals\"\n\t--Jim\nuser.ann\tid\n$Forwarded work\nann\tlrs\n")
	put("cyrus.header", header)
	put("cyrus.index", index(16, [3]uint32{2, 1 << 4, 2}, [3]uint32{3, 1 << 31, 0}, [3]uint32{9, 1<<0 | 1<<1, 1}))
	put("2.", []byte("S: 2\r\n\r\ntwo\r\n"))
	put("3.", []byte("S: 3\r\n\r\nexpunged\r\n"))
	put("9.", []byte("S: 9\r\n\r\nnine\r\n"))
	put("Lists/go^dev/cyrus.header", header)
	put("Lists/go^dev/cyrus.index", index(99))
	put("Lists/go^dev/1.", []byte("S: 1\r\n\r\none\r\n"))
	put("Archive/cyrus.header", []byte("\xa1\x02\x8b\x0dCyrus mailbox header\n\"goals\"\n\t--Jim\n%(T e N user.ann.Archive I abc A %(ann \"lrs\" {3+}\r\nbob l) U (one NIL \"th\\\"ree\"))\n"))
	put("Archive/cyrus.index", index(17, [3]uint32{4, 0, 1 | 4}, [3]uint32{5, 1 << 29, 0}))
	put("Archive/4.", []byte("S: 4\r\n\r\nfour\r\n")) // the other has no file
	spool, err := moving.Cyrus(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	source, err := spool.Account("")
	if err != nil {
		t.Fatal(err)
	}
	var site controltest.Moved
	r, bad := bring(t, source, &site)
	all := kept(t, &site)
	if r.Messages != 4 || len(bad) != 2 || !strings.HasSuffix(strings.Join(bad, " "), "/Archive/5. Lists/go.dev") || len(all["Lists/go.dev"]) != 1 {
		t.Errorf("%+v %v %v", r, bad, all)
	}
	if got := all["Archive"]; len(got) != 1 || fmt.Sprint(got[0].Flags) != `[one th"ree]` {
		t.Errorf("%+v", got)
	}
	inbox := all["INBOX"]
	if len(inbox) != 2 || fmt.Sprint(inbox[0].UID, inbox[0].Flags, inbox[1].UID, inbox[1].Flags) != `2 [\Seen work] 9 [\Answered \Flagged $Forwarded]` || inbox[0].Internal.Unix() != 1_600_000_000 {
		t.Errorf("%+v", inbox)
	}
}

// TestLinks: symbolic links at the source are named, and not followed.
func TestLinks(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	message := []byte("Subject: x\n\nhello\n")
	for _, dir := range []string{"m/cur", "m/new", "m/.Sent/cur", "m/.Sent/new", "else/cur", "else/new", "boxes", "c"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	header := "\xa1\x02\x8b\x0dCyrus mailbox header\n\"goals\"\n\t--Jim\n\n\n"
	for name, text := range map[string]string{
		"m/cur/1.a:2,S": string(message), "m/sieve": "keep;", "else/cur/1.b": string(message), "boxes/inbox": "From a@b Thu Jan  1 00:00:00 1970\n" + string(message) + "\n",
		"else/box": "From a@b Thu Jan  1 00:00:00 1970\n" + string(message) + "\n", "c/cyrus.header": header, "c/1.": string(message),
	} {
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"m/.Shared": "else", "m/.Inner": "m/.Sent", "m/.Lost": "nowhere", "m/.sieve": "m/sieve", "m/cur/2.c": "else/cur/1.b", "boxes/old": "else/box", "c/Old": "else"} {
		if err := os.Symlink(filepath.Join(top, to), filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	spool, err := moving.Cyrus(filepath.Join(top, "c"))
	if err != nil {
		t.Fatal(err)
	}
	defer spool.Close()
	for what, x := range map[string]struct {
		open func() (moving.Source, error)
		want string
	}{
		"a Maildir":   {func() (moving.Source, error) { return moving.Maildir(filepath.Join(top, "m")) }, "m/.Inner m/.Lost m/.Shared m/cur/2.c"},
		"mbox files":  {func() (moving.Source, error) { return moving.Mbox(filepath.Join(top, "boxes"), mbox.Options{}) }, "boxes/old"},
		"Cyrus files": {func() (moving.Source, error) { return spool.Account("") }, "c/Old INBOX"}, // INBOX has no cyrus.index
	} {
		source, err := x.open()
		if err != nil {
			t.Fatal(err)
		}
		var site controltest.Moved
		r, bad := bring(t, source, &site)
		source.Close()
		slices.Sort(bad)
		if got := strings.ReplaceAll(strings.Join(bad, " "), top+"/", ""); got != x.want || r.Messages != 1 || r.Bad != len(bad) {
			t.Errorf("%s: %+v, not read: %s; want %s", what, r, got, x.want)
		}
	}
}

// TestWire: letters go over a stream and come back; one that is cut is known as
// such.
func TestWire(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	want := someLoad(3).letters["INBOX"]
	for i := range want {
		if err := moving.WriteLetter(&b, &want[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(moving.WriteBad(&b, &moving.Bad{Name: "x", Err: errors.New("y")}), moving.WriteEnd(&b, nil)); err != nil {
		t.Fatal(err)
	}
	whole := b.String()
	for _, cut := range []int{len(whole), len(whole) / 2, len(whole) - 3, 10, 0} {
		r := moving.NewReader(strings.NewReader(whole[:cut]))
		n, bad := 0, 0
		for {
			l, err := moving.ReadLetter(r)
			var b *moving.Bad
			if errors.As(err, &b) {
				bad++
				continue
			}
			if err != nil {
				if cut == len(whole) != (err == io.EOF) {
					t.Errorf("cut at %d: %v", cut, err)
				}
				break
			}
			if !bytes.Equal(l.Text, want[n].Text) || l.UID != want[n].UID || !l.Internal.Equal(want[n].Internal) {
				t.Errorf("%+v", l)
			}
			n++
		}
		if cut == len(whole) && (n != 3 || bad != 1) {
			t.Errorf("%d letters, %d bad", n, bad)
		}
	}
}
