package maildir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"plic/internal/mail"
	"plic/internal/maildir"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

func TestNames(t *testing.T) {
	t.Parallel()
	plus, nested, utf8 := &tree{layout: layoutPlus}, &tree{layout: layoutFS}, &tree{layout: layoutFS, utf8: true}
	for _, test := range []struct {
		t         *tree
		name, dir string
	}{
		{plus, "INBOX", "."}, {plus, "Sent/2024", ".Sent.2024"}, {plus, "Entwürfe", ".Entw&APw-rfe"}, {plus, "a&b", ".a&-b"},
		{plus, "INBOX/x", ".INBOX.x"}, {nested, "Sent/2024", "Sent/2024"}, {nested, "a.b/ü", "a.b/&APw-"}, {utf8, "ü/b", "ü/b"},
	} {
		_, dir, err := test.t.dir(test.name)
		if err != nil || dir != test.dir {
			t.Errorf("%s is in %q, %v, want %q", test.name, dir, err, test.dir)
		}
		if name, ok := test.t.name(dir); test.name != "INBOX" && (!ok || name != test.name) {
			t.Errorf("%s is %q, %v", dir, name, ok)
		}
	}
	for name, tr := range map[string]*tree{"a.b": plus, "": plus, strings.Repeat("x", 256): plus, "cur": nested, ".x": nested, "dovecot-uidlist": nested, "subscriptions": nested} {
		if _, dir, err := tr.dir(name); err == nil {
			t.Errorf("%q has the directory %q", name, dir)
		}
	}
	for dir, tr := range map[string]*tree{"x": plus, "..x": plus, ".": plus, ".a..b": plus, ".&": plus, ".&AGEAYg-": plus, ".INBOX": plus, "a/../b": nested, ".\xff": plus} {
		if name, ok := tr.name(dir); ok {
			t.Errorf("%q is the mailbox %q", dir, name)
		}
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fresh bool
		flags engine.Flags
	}{
		{"1.a.host", true, 0}, {"1.a.host:2,", false, 0}, {"1.a.host,S=3:2,FS", false, flagged | seen},
		{"1.a.host:2,DRTab", false, draft | answered | deleted | 3<<keywordShift}, {"1.a.host:2,PSx,y", false, seen | 1<<(keywordShift+23)},
		{"1.a.host:1,S", false, 0},
	} {
		m, ok := parseName(test.name, test.fresh)
		if !ok || m.flags() != test.flags || m.name() != test.name {
			t.Errorf("%s: %+v, flags %b", test.name, m, m.flags())
		}
		if info := withFlags(m.info, answered, flagged); (&message{info: info}).flags() != test.flags&^flagged|answered {
			t.Errorf("%s changed: %s", test.name, info)
		}
	}
	if got := withFlags(":2,FPSz,more", 1<<keywordShift|draft, seen); got != ":2,DFPaz,more" {
		t.Error(got)
	}
	for _, name := range []string{"", ".hidden", ":2,S"} {
		if m, ok := parseName(name, false); ok {
			t.Errorf("%q is %+v", name, m)
		}
	}
	if keyOf("1.a.host,S=3,W=4") != keyOf("1.a.host") || keyOf("1.a.host") == keyOf("1.b.host") {
		t.Error("the key is not that of what is unique")
	}
	for base, want := range map[string][2]int64{"x": {-1, -1}, "x,S=3": {3, -1}, "x,S=3,W=4": {3, 4}, "x,W=-4,S=y": {-1, -1}, "x,W=9,S=8": {8, 9}} {
		if s, w := sizes(base); s != want[0] || w != want[1] {
			t.Errorf("%s: %d %d", base, s, w)
		}
	}
	all := []*message{{base: "10.b"}, {base: "1.a"}, {base: "x"}, {base: "10.a"}, {base: "2.a"}}
	if inOrder(all); all[0].base != "x" || all[1].base != "1.a" || all[2].base != "2.a" || all[3].base != "10.a" {
		t.Error("not in the order of time")
	}
}

func TestUIDList(t *testing.T) {
	t.Parallel()
	u := parseUIDs("3 V12 N5 Gabc X\n1 :one\n3 W5 S4 :three,S=4\nbad\n0 :zero\n4294967295 :last\n7 :seven:2,S\n2 a/b\n9 :to")
	if u.head != (files.Header{UIDValidity: 12, UIDNext: 8}) || len(u.entries) != 3 || !u.ragged || !slices.Equal(u.rest, []string{"Gabc", "X"}) {
		t.Errorf("%+v", u)
	}
	if l := u.entries[keyOf("three")]; l.uid != 3 || l.extra != "W5 S4" || l.base != "three,S=4" || l.String() != "3 W5 S4 :three,S=4\n" {
		t.Errorf("%+v", l)
	}
	if u := parseUIDs("1 77 9\n1 one\n8 eight\n"); u.head != (files.Header{UIDValidity: 77, UIDNext: 9}) || len(u.entries) != 2 {
		t.Errorf("%+v", u)
	}
	for _, text := range []string{"", "\n", "2 x\n", "3\n", "3 V1 N1"} {
		if u := parseUIDs(text); len(u.entries) > 0 || u.head != (files.Header{}) {
			t.Errorf("%q is %+v", text, u)
		}
	}
}

// TestListedSizes: sizes in the list count if both are there and make sense.
func TestListedSizes(t *testing.T) {
	t.Parallel()
	for extra, want := range map[string][2]int64{
		"": {}, "S12": {}, "W12": {}, "S12 W15": {12, 15}, "W15 P7 S12 Gx": {12, 15}, "S12 W11": {}, "S W": {}, "S-1 W5": {}, "S1x W5": {},
	} {
		l := listed{extra: extra}
		if s, w := l.sizes(); s != want[0] || w != want[1] {
			t.Errorf("%q: %d and %d, want %v", extra, s, w, want)
		}
	}
}

// TestDescribe: the size with CRLF line ends is what name or list say, if that is of a
// file of the size that it has, and else counted.
func TestDescribe(t *testing.T) {
	t.Parallel()
	const text = "Subject: x\n\nHello.\n" // 19 octets, 22 with CRLF
	fs := vfs.NewMemory()
	for name, content := range map[string]string{
		"1.plain": text, "2.named,S=19,W=50": text, "3.stale,S=18,W=50": text, "4.listed": text, "5.listed": text,
	} {
		if err := errors.Join(fs.MkdirAll("/mail/new", 0o700), fs.MkdirAll("/mail/cur", 0o700), fs.MkdirAll("/mail/tmp", 0o700)); err != nil {
			t.Fatal(err)
		}
		write(t, fs, "/mail/cur/"+name+":2,S", content)
	}
	write(t, fs, "/mail/dovecot-uidlist", "3 V7 N6\n4 S19 W60 :4.listed\n5 S20 W60 :5.listed\n")
	tree, err := New(Options{Host: "test"}).Open(t.Context(), files.Place{Format: "maildir", Path: "/mail", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	box, err := tree.Box("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Scan(t.Context(), nobody{}, true); err != nil {
		t.Fatal(err)
	}
	var keys []uint64
	for _, base := range []string{"1.plain", "2.named", "3.stale", "4.listed", "5.listed", "6.gone"} {
		keys = append(keys, keyOf(base))
	}
	all, err := box.Describe(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{22, 50, 22, 60, 22, 0} {
		if d := all[i]; d.Size != want || d.Gone != (want == 0) {
			t.Errorf("message %d: %+v, want %d octets", i+1, d, want)
		}
	}
}

// nobody is an index without messages.
type nobody struct{}

func (nobody) UID(uint64) (engine.UID, bool) { return 0, false }

func write(t *testing.T, fs vfs.FS, name, content string) {
	t.Helper()
	f, err := fs.Create(name, vfs.Mail)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzUIDList(f *testing.F) {
	f.Add("3 V12 N5 Gabc\n1 :one\n3 W5 :three\n")
	f.Add("1 77 9\n1 one\n")
	f.Fuzz(func(t *testing.T, text string) {
		for key, l := range parseUIDs(text).entries {
			if l.uid == 0 || l.base == "" || strings.ContainsAny(l.base, "/\n:") || key != keyOf(l.base) {
				t.Errorf("%+v", l)
			}
		}
		for _, line := range strings.Split(text, "\n") {
			parseName(line, false)
			sizes(line)
		}
		maildir.ParseKeywords(text)
	})
}

// file puts a file where a body is opened.
func file(t testing.TB, text []byte) vfs.File {
	t.Helper()
	fs := vfs.NewMemory()
	f, err := fs.Create("/x", vfs.Mail)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if f, err = fs.Open("/x"); err != nil {
		t.Fatal(err)
	}
	return f
}

func whole(t testing.TB, b mail.Body) []byte {
	t.Helper()
	text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil || int64(len(text)) != b.Size() {
		t.Fatalf("read %d of %d octets, %v", len(text), b.Size(), err)
	}
	return text
}

// random text with all kinds of line ends.
func random(r *rand.Rand, n int) []byte {
	out := make([]byte, 0, n)
	for len(out) < n {
		out = append(out, []string{"\n", "\r\n", "\r", "a", "some words", "\n\n", "\r\r\n"}[r.IntN(7)]...)
	}
	return out
}

// naive is text with CR before each LF that has none.
func naive(text []byte) []byte {
	var out []byte
	for i, c := range text {
		if c == '\n' && (i == 0 || text[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

func TestBodies(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 100, small - 1, small + 10, 3*stride + 17, 1 << 20} {
		text := random(r, n)
		want := naive(text)
		b, err := newBody(file(t, text), "x")
		if err != nil {
			t.Fatal(err)
		}
		if got := whole(t, b); !bytes.Equal(got, want) {
			t.Errorf("%d octets are read otherwise", n)
		}
		for range 50 {
			if len(want) == 0 {
				break
			}
			off, p := r.IntN(len(want)), make([]byte, r.IntN(stride*2))
			k, err := b.ReadAt(p, int64(off))
			if want := want[off:min(off+len(p), len(want))]; !bytes.Equal(p[:k], want) || (err == io.EOF) != (k < len(p)) {
				t.Fatalf("%d octets at %d: %d, %v", len(p), off, k, err)
			}
		}
		if size, err := wireSize(file(t, text), int64(len(text)), "x"); err != nil || size != int64(len(want)) {
			t.Errorf("size %d, %v, want %d", size, err, len(want))
		}
		b.Close()
		if b, err = newBody(file(t, text), fmt.Sprintf("x,S=%d,W=%d", len(text), len(text))); err != nil || !bytes.Equal(whole(t, b), text) {
			t.Error("not read as it is")
		}
		b.Close()
	}
}

// FuzzLines writes a message as Carry does, and reads it back.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\r\nb\r\n"))
	f.Add([]byte("a\nb\r\r\n\r"))
	f.Fuzz(func(t *testing.T, text []byte) {
		fs := vfs.NewMemory()
		if err := vfs.MakeDir(fs, "/m/tmp"); err != nil {
			t.Fatal(err)
		}
		b := &box{t: &tree{f: New(Options{})}, p: place{FS: vfs.Below(fs, "/m")}, dir: "."}
		s := &step{b: b}
		a := &files.Added{Size: int64(len(text)), Open: func() (mail.Body, error) { return openBytes{bytes.NewReader(text)}, nil }}
		m, temp, err := s.write(a)
		if err != nil {
			t.Fatal(err)
		}
		file, err := b.p.Open(temp)
		if err != nil {
			t.Fatal(err)
		}
		body, err := newBody(file, m.base)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		if got := whole(t, body); !bytes.Equal(got, text) {
			t.Errorf("%q is read back as %q", text, got)
		}
	})
}

type openBytes struct{ *bytes.Reader }

func (openBytes) Close() error { return nil }
