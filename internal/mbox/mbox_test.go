package mbox_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"plic/internal/mbox"
	"plic/internal/message/messagetest"
)

// one is a message that was read.
type one struct {
	*mbox.Message
	text string
}

func readAll(t testing.TB, file string, o mbox.Options) (all []one, err error) {
	t.Helper()
	r := strings.NewReader(file)
	s := mbox.NewScanner(r, 0, int64(len(file)), o)
	for {
		m, err := s.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		text, err := mbox.Open(r, m, o)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(text, 0, text.Size()))
		if err != nil || int64(len(got)) != text.Size() {
			t.Fatalf("read %d of %d octets: %v", len(got), text.Size(), err)
		}
		if m.Size >= 0 && m.Size != text.Size() {
			t.Fatalf("a message of %d octets was said to have %d: %q", text.Size(), m.Size, file)
		}
		checkHeads(t, r, int64(len(file)), m, o)
		all = append(all, one{m, string(got)})
	}
}

// checkHeads: of a message whose extent is known, its fields tell all.
func checkHeads(t testing.TB, r io.ReaderAt, size int64, m *mbox.Message, o mbox.Options) {
	t.Helper()
	x, ok := m.Extent()
	if !ok {
		return
	}
	h := mbox.NewHeads(r, size, o)
	again, err := h.At(m.Offset)
	if err != nil {
		t.Fatal(err)
	}
	if h.Extend(again, x); !reflect.DeepEqual(again, m) {
		t.Fatalf("%+v is told by its fields as %+v", m, again)
	}
}

func write(t testing.TB, out ...mbox.Outgoing) string {
	t.Helper()
	var b bytes.Buffer
	for i := range out {
		if err := mbox.Write(&b, &out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func outgoing(text string) mbox.Outgoing {
	return mbox.Outgoing{Sender: "ann@example.org", Date: at, Text: strings.NewReader(text), Size: int64(len(text))}
}

var at = time.Date(2026, 11, 26, 18, 25, 12, 0, time.UTC)

// TestFromLines: every known shape of a From_ line is one, and no sentence is.
func TestFromLines(t *testing.T) {
	t.Parallel()
	for line, sender := range map[string]string{
		"From ann@example.org Thu Nov 26 18:25:12 2026":        "ann@example.org",
		"From ann@example.org  Thu Nov 26 18:25:12 2026":       "ann@example.org",
		"From ann Thu Nov 26 18:25:12 UTC 2026":                "ann",
		"From ann Thu Nov 26 13:25:12 EST 2026":                "ann",
		"From ann Thu Nov 26 19:25:12 CET MET 2026":            "ann",
		"From ann Thu Nov 26 18:25:12 +0000 2026":              "ann",
		"From ann Thu Nov 26 20:25:12 2026 +0200":              "ann",
		"From ann Thu Nov 26 13:25:12 2026 -0500 (EST)":        "ann",
		"From uucp Thu Nov 26 18:25:12 2026 remote from here":  "uucp",
		"From - Thu Nov 26 18:25:12 2026":                      "-",
		"From Thu Nov 26 18:25:12 2026":                        "",
		"From MAILER-DAEMON Thu Nov 26 18:25:12 2026":          "MAILER-DAEMON",
		"From \"Ann B\"@example.org Thu Nov 26 18:25:12 2026":  "\"Ann B\"@example.org",
		"From ann@example.org Thu, 26 Nov 2026 18:25:12 +0000": "ann@example.org",
		"From ann@example.org Thu 26 Nov 2026 18:25:12 GMT":    "ann@example.org",
		"From ann@example.org 26 Nov 2026 18:25:12":            "ann@example.org",
		"From ann@example.org 2026-11-26 18:25:12":             "ann@example.org",
		"From ann@example.org 2026-11-26T18:25:12Z":            "ann@example.org",
		"From ann@example.org Thursday Nov 26 18:25:12 2026":   "ann@example.org",
		"From ann@example.org Thu Nov 26 18:25:12 26":          "ann@example.org",
	} {
		all, err := readAll(t, line+"\nSubject: x\n\nbody\n\n", mbox.Options{})
		if err != nil || len(all) != 1 || all[0].Sender != sender || !all[0].Date.Equal(at) {
			t.Errorf("%s: %v %+v", line, err, all)
		}
	}
	for _, line := range []string{
		"From here on it rains", "From May 1 on", "From Monday to Friday", "From: ann@example.org", "from ann Thu Nov 26 18:25:12 2026",
		"From ann Thu Nov 31 18:25:12 2026", "From ann Thu Nov 26 25:25:12 2026", "From ann Thu Nov 26", "From ", "From ann Thu Nov 26 2026", ">From ann Thu Nov 26 18:25:12 2026",
	} {
		if _, err := readAll(t, line+"\n\n", mbox.Options{}); !errors.Is(err, mbox.ErrNoMbox) {
			t.Errorf("%s: %v", line, err)
		}
		all, err := readAll(t, "From a Thu Nov 26 18:25:12 2026\n\nx\n\n"+line+"\ny\n\n", mbox.Options{Quoting: mbox.None})
		if err != nil || len(all) != 1 || !strings.Contains(all[0].text, line) {
			t.Errorf("%s in a body: %v, %d messages", line, err, len(all))
		}
	}
	// Without seconds, and in the zone that the reader is told.
	zone := time.FixedZone("", 3600)
	all, err := readAll(t, "From ann Thu Nov 26 18:25 2026\n\nx\n\n", mbox.Options{Zone: zone})
	if err != nil || !all[0].Date.Equal(time.Date(2026, 11, 26, 18, 25, 0, 0, zone)) {
		t.Errorf("%v %v", all[0].Date, err)
	}
}

const line = "From a@x Thu Nov 26 18:25:12 2026\n"

// TestDialects reads files of other programs.
func TestDialects(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		o    mbox.Options
		want []string
	}{
		"empty":  {"", mbox.Options{}, nil},
		"mboxrd": {line + "S: 1\n\n>From a\n>>From b\n>x\n\n" + line + "S: 2\n\nx\n", mbox.Options{}, []string{"S: 1\r\n\r\nFrom a\r\n>From b\r\n>x\r\n", "S: 2\r\n\r\nx\r\n"}},
		"mboxo":  {line + "S: 1\n\n>From a\n>>From b\n\n", mbox.Options{Quoting: mbox.O}, []string{"S: 1\r\n\r\nFrom a\r\n>>From b\r\n"}},
		"mboxcl": {line + "S: 1\nContent-Length: 8\n\n>From a\n\n" + line + "\nx\n\n", mbox.Options{}, []string{"S: 1\r\n\r\nFrom a\r\n", "\r\nx\r\n"}},
		"mboxcl2": {
			line + "S: 1\nContent-Length: 51\n\n" + "\n" + line + ">From a\n" + "\nabcdef\n" + "\n" + line + "S: 2\n\nx\n\n", mbox.Options{},
			[]string{"S: 1\r\n\r\n\r\n" + strings.TrimSuffix(line, "\n") + "\r\n>From a\r\n\r\nabcdef\r\n", "S: 2\r\n\r\nx\r\n"},
		},
		"a wrong length":        {line + "S: 1\nContent-Length: 3\n\nlong body\n\n" + line + "\nx\n\n", mbox.Options{}, []string{"S: 1\r\n\r\nlong body\r\n", "\r\nx\r\n"}},
		"a length beyond":       {line + "S: 1\nContent-Length: 99999999999999999999\n\nx\n\n", mbox.Options{}, []string{"S: 1\r\n\r\nx\r\n"}},
		"no empty line between": {line + "S: 1\n\nx\n" + line + "S: 2\n\ny\n", mbox.Options{}, []string{"S: 1\r\n\r\nx\r\n", "S: 2\r\n\r\ny\r\n"}},
		"a sentence":            {line + "S: 1\n\nx\nFrom a@x Thu Nov 26 18:25:12 2026\nit rained\n", mbox.Options{}, []string{"S: 1\r\n\r\nx\r\nFrom a@x Thu Nov 26 18:25:12 2026\r\nit rained\r\n"}},
		"CRLF":                  {strings.ReplaceAll(line+"S: 1\n\nx\n\n"+line+"S: 2\n\ny\n", "\n", "\r\n"), mbox.Options{}, []string{"S: 1\r\n\r\nx\r\n", "S: 2\r\n\r\ny\r\n"}},
		"fields only":           {line + "S: 1\n\n" + line + "S: 2\n", mbox.Options{}, []string{"S: 1\r\n", "S: 2\r\n"}},
		"no fields":             {line + "\nx\n\n" + line, mbox.Options{}, []string{"\r\nx\r\n", ""}},
		"cut":                   {line + "S: 1\n\nx", mbox.Options{}, []string{"S: 1\r\n\r\nx"}},
		"empty lines first":     {"\n\n" + line + "S: 1\n\nx\n", mbox.Options{}, []string{"S: 1\r\n\r\nx\r\n"}},
	} {
		all, err := readAll(t, c.file, c.o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, m := range all {
			got = append(got, m.text)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q\nwant %q", name, got, c.want)
		}
	}
}

// TestStatus reads what a mailbox knows, wherever it stands among the fields.
func TestStatus(t *testing.T) {
	t.Parallel()
	all, err := readAll(t, line+"Subject: x\nX-IMAPbase: 1234567890 0000000042 work\n  $Forwarded\nStatus: RO\nX-Status: AFDT\nX-Keywords: work $Forwarded   \nX-UID: 41\n\nbody\n\n"+
		line+"Subject: y\nStatus: O\n\nbody\n\n"+line+"Subject: z\n\nbody\n", mbox.Options{})
	if err != nil || len(all) != 3 {
		t.Fatal(err, len(all))
	}
	want := mbox.Status{
		UID: 41, Seen: true, Old: true, Answered: true, Flagged: true, Deleted: true, Draft: true, Keywords: []string{"work", "$Forwarded"},
		Base: &mbox.Base{UIDValidity: 1234567890, LastUID: 42, Keywords: []string{"work", "$Forwarded"}},
	}
	if !reflect.DeepEqual(all[0].Status, want) {
		t.Errorf("%+v", all[0].Status)
	}
	if all[0].text != "Subject: x\r\n\r\nbody\r\n" {
		t.Errorf("%q", all[0].text)
	}
	if !reflect.DeepEqual(all[1].Status, mbox.Status{Old: true}) || !reflect.DeepEqual(all[2].Status, mbox.Status{}) {
		t.Errorf("%+v %+v", all[1].Status, all[2].Status)
	}
	if all, err = readAll(t, line+"X-IMAP: 5 0000000007 a\nStatus: RO\n\nDo not delete\n\n", mbox.Options{}); err != nil || !all[0].Pseudo || all[0].Base.LastUID != 7 {
		t.Errorf("%v %+v", err, all)
	}
}

// TestSum: the sum of a message is the same whatever the mailbox says of it.
func TestSum(t *testing.T) {
	t.Parallel()
	a, _ := readAll(t, line+"Subject: x\n\nbody\n\n", mbox.Options{})
	b, _ := readAll(t, line+"X-UID: 7\nSubject: x\nStatus: RO\n\nbody\n", mbox.Options{})
	c, _ := readAll(t, line+"Subject: y\n\nbody\n\n", mbox.Options{})
	if a[0].Sum != b[0].Sum || a[0].Sum == c[0].Sum {
		t.Error(a[0].Sum, b[0].Sum, c[0].Sum)
	}
}

// awkward are messages that a careless writer would change.
func awkward() map[string]string {
	all := map[string]string{
		"nothing": "", "an empty line": "\r\n", "fields": "S: x\r\n", "no body": "S: x\r\n\r\n", "no line end": "S: x\r\n\r\nabc",
		"From":        "S: x\r\n\r\nFrom a Thu Nov 26 18:25:12 2026\r\n>From b\r\n>>From c\r\n\r\nFrom \r\n",
		"empty lines": "S: x\r\n\r\n\r\n\r\nx\r\n\r\n\r\n", "CR": "S: x\r\n\r\na\rb\r\r\nc\r\r\r\n", "cut at a From": "S: x\r\n\r\nFrom a",
		"its own fields": "Status: mine\r\nX-UID: mine\r\nX-IMAPbase: 1 2\r\nS: x\r\nContent-Length: 3\r\nX-Keywords: a b\r\n\r\nbody\r\n",
		"a Status first": "Status: RO\r\nX-Status: F\r\n\r\nbody\r\n", "long lines": "S: x\r\n\r\n" + strings.Repeat("x", 200_000) + "\r\n" + strings.Repeat("y", 65535) + "\r\r\nFrom z\r\n",
		"a From among the fields": "S: x\r\nFrom a Thu Nov 26 18:25:12 2026\r\nT: y\r\n\r\nbody\r\n", "8 bit": "S: \xe4\x00\r\n\r\n\xff\x00\r\n",
	}
	for _, m := range messagetest.All() {
		all[m.Name] = strings.ReplaceAll(strings.ReplaceAll(string(m.Raw), "\r\n", "\n"), "\n", "\r\n")
	}
	return all
}

// TestRoundTrip: what is written is read, octet by octet, with its status.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	status := mbox.Status{UID: 7, Seen: true, Flagged: true, Keywords: []string{"a", "$b"}}
	for name, text := range awkward() {
		if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") || !strings.HasSuffix(text, "\r\n") && !strings.Contains(text, "\r\n\r\n") && text != "" {
			continue // such lines are no lines of mail
		}
		for _, st := range []mbox.Status{{}, status} {
			o := outgoing(text)
			o.Status = st
			file := write(t, o, outgoing("S: second\r\n\r\nx\r\n"), o)
			all, err := readAll(t, file, mbox.Options{})
			if err != nil || len(all) != 3 {
				t.Errorf("%s: %d messages, %v:\n%.300q", name, len(all), err, file)
				continue
			}
			for i, want := range []string{text, "S: second\r\n\r\nx\r\n", text} {
				if all[i].text != want {
					t.Errorf("%s, message %d: %.300q, want %.300q", name, i, all[i].text, want)
				}
			}
			if !reflect.DeepEqual(all[0].Status, st) || all[0].Sender != "ann@example.org" || !all[0].Date.Equal(at) {
				t.Errorf("%s: status %+v of %s", name, all[0].Status, all[0].Sender)
			}
		}
	}
}

// TestReadAt reads pieces from anywhere.
func TestReadAt(t *testing.T) {
	t.Parallel()
	text := "S: x\r\n\r\n" + strings.Repeat("From line\r\n"+strings.Repeat("z", 70)+"\r\n", 5000)
	file := write(t, outgoing(text))
	r := strings.NewReader(file)
	m, err := mbox.NewScanner(r, 0, int64(len(file)), mbox.Options{}).Next()
	if err != nil {
		t.Fatal(err)
	}
	got, err := mbox.Open(r, m, mbox.Options{})
	if err != nil || got.Size() != int64(len(text)) {
		t.Fatal(got.Size(), err)
	}
	for off := int64(0); off < got.Size(); off += 7919 {
		p := make([]byte, 100_000)
		n, err := got.ReadAt(p, off)
		if err != nil && !errors.Is(err, io.EOF) || string(p[:n]) != text[off:min(off+100_000, int64(len(text)))] {
			t.Fatalf("at %d: %d octets, %v", off, n, err)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add(line + "S: 1\nContent-Length: 8\n\n>From a\n\n" + line + "X-UID: 3\n\nx\n\n")
	f.Add(line + "X-IMAP: 5 0000000007 a\nStatus: RO\n folded\n\nDo not delete\n\n")
	f.Add(strings.ReplaceAll(line+"S: 1\n\nx\n\n"+line+"S: 2\n\ny\n", "\n", "\r\n"))
	f.Add("\n" + line + line + "\n\n" + line + "Content-Length: 0\n\n")
	f.Fuzz(func(t *testing.T, file string) {
		end := int64(-1)
		all, err := readAll(t, file, mbox.Options{})
		if err != nil && !errors.Is(err, mbox.ErrNoMbox) {
			t.Fatal(err)
		}
		for _, m := range all {
			if m.Offset < end || m.Head < m.Offset || m.Body < m.Head || m.End < m.Head || m.Next < m.End || m.Next > int64(len(file)) {
				t.Fatalf("%+v after %d", m.Message, end)
			}
			end = m.Next
		}
	})
}

func FuzzWrite(f *testing.F) {
	for _, text := range awkward() {
		if len(text) < 2000 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
		if !strings.HasSuffix(text, "\r\n") && !strings.Contains("\r\n"+text, "\r\n\r\n") && text != "" {
			return
		}
		file := write(t, outgoing(text), outgoing(text))
		all, err := readAll(t, file, mbox.Options{})
		if err != nil || len(all) != 2 || all[0].text != text || all[1].text != text {
			t.Fatalf("%q became %q, %v", text, file, all)
		}
	})
}
