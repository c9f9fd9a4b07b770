package imap

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/message"
)

// RFC 3501 section 5.1.3.
func TestUTF7(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, wire string }{
		{"", ""}, {"INBOX", "INBOX"}, {"a&b", "a&-b"}, {"&", "&-"}, {"&&", "&-&-"},
		{"Entwürfe", "Entw&APw-rfe"}, {"台北", "&U,BTFw-"}, {"日本語", "&ZeVnLIqe-"},
		{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
		{"😀", "&2D3eAA-"}, {"é&", "&AOk-&-"}, {"a\tb", "a&AAk-b"},
	} {
		if got := EncodeUTF7(c.name); got != c.wire {
			t.Errorf("EncodeUTF7(%q) = %q, want %q", c.name, got, c.wire)
		}
		if got, err := DecodeUTF7(c.wire); err != nil || got != c.name {
			t.Errorf("DecodeUTF7(%q) = %q, %v, want %q", c.wire, got, err, c.name)
		}
	}
	for _, bad := range []string{
		"&", "&AOk", "&AOk-&AOk-", "&AGE-", "&AOl-x&", "é", "\x7f", "a\nb", "&====-", "&AA-", "&2D0-", "&3gA-",
		"&2D0AYQ-", "&AOm-", "&!-",
	} {
		if got, err := DecodeUTF7(bad); err == nil {
			t.Errorf("DecodeUTF7(%q) = %q, want an error", bad, got)
		}
	}
}

// UTF-8 from who has not enabled it yet.
func TestMixedNames(t *testing.T) {
	t.Parallel()
	for wire, want := range map[string]string{
		"é": "é", "é &- x": "é & x", "é&AOk-": "éé", "&AOk-é/漢": "éé/漢", "x": "x", "Entw&APw-rfe": "Entwürfe", "": "",
	} {
		if got, err := decodeMixed(wire); err != nil || got != want {
			t.Errorf("decodeMixed(%q) = %q, %v, want %q", wire, got, err, want)
		}
	}
	for _, bad := range []string{"é & x", "é&", "&é-", "\xff", "é\xc3", "é&AGE-", "é\n"} {
		if got, err := decodeMixed(bad); err == nil {
			t.Errorf("decodeMixed(%q) = %q, want an error", bad, got)
		}
	}
}

func FuzzUTF7(f *testing.F) {
	for _, s := range []string{"INBOX", "&U,BTFw-", "Entw&APw-rfe", "&", "&-", "&AOk-&-", "日本語", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if name, err := DecodeUTF7(text); err == nil {
			if again := EncodeUTF7(name); again != text {
				t.Fatalf("%q decodes to %q, which encodes to %q: two names of one mailbox", text, name, again)
			}
		}
		mixed, err := decodeMixed(text)
		if name, strict := DecodeUTF7(text); strict == nil && (err != nil || mixed != name) {
			t.Fatalf("%q decodes to %q or %q, %v", text, name, mixed, err)
		}
		if back, again := DecodeUTF7(EncodeUTF7(mixed)); err == nil && (again != nil || back != mixed) {
			t.Fatalf("%q decodes to %q, and then to %q, %v", text, mixed, back, again)
		}
		if strings.ToValidUTF8(text, "") != text {
			return
		}
		if back, err := DecodeUTF7(EncodeUTF7(text)); err != nil || back != text {
			t.Fatalf("%q comes back as %q, %v", text, back, err)
		}
	})
}

func TestSet(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		largest uint32
		want    string
	}{
		{"1", 10, "1"}, {"3:1", 10, "1:3"}, {"1:3,2:5,7", 10, "1:5,7"}, {"5,4,3", 10, "3:5"},
		{"*", 10, "10"}, {"*:4", 10, "4:10"}, {"12:*", 10, "10:12"}, {"*", 0, ""}, {"1:*", 0, ""},
		{"4294967294", 10, "4294967294"}, {"2:4294967295", 10, "2:4294967294"}, {"4294967295:*", 10, "10:4294967294"}, {"1,*:*", 3, "1,3"},
	} {
		s, err := ParseSet(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := string(AppendSet(nil, s.Resolve(c.largest))); got != c.want {
			t.Errorf("%s of %d = %q, want %q", c.text, c.largest, got, c.want)
		}
	}
	for _, bad := range []string{
		"", "0", "01", ",", "1,", "1:", ":1", "1:2:3", "a", "-1", "4294967296", "$,1", "**", "1 ",
		strings.Repeat("1,", MaxRanges) + "1",
	} {
		if s, err := ParseSet(bad); err == nil {
			t.Errorf("ParseSet(%.30q) = %v, want an error", bad, s.Ranges[:1])
		}
	}
	if s, err := ParseSet("$"); err != nil || !s.Saved {
		t.Errorf("$: %v, %v", s, err)
	}
	got := string(AppendNumbers(nil, slices.Values([]uint32{5, 6, 7, 3, 4, 9})))
	if got != "5:7,3:4,9" {
		t.Errorf("AppendNumbers = %q", got)
	}
	if n := Numbers([]Range{{1, 3}, {7, 7}}); n != 4 {
		t.Errorf("Numbers = %d", n)
	}
}

func FuzzSequenceSet(f *testing.F) {
	for _, s := range []string{"1", "1:*", "*", "3:1,7", "$", "1,2,3", "4294967294:*"} {
		f.Add(s, uint32(10))
	}
	f.Fuzz(func(t *testing.T, text string, largest uint32) {
		largest %= Star
		s, err := ParseSet(text)
		if err != nil || s.Saved {
			return
		}
		out := s.Resolve(largest)
		for i, r := range out {
			if r.Lo > r.Hi || r.Lo == 0 || i > 0 && out[i-1].Hi+1 >= r.Lo {
				t.Fatalf("%q of %d = %v: not sorted, or not joined", text, largest, out)
			}
			if !Contains(out, r.Lo) || !Contains(out, r.Hi) || Contains(out, r.Lo-1) && r.Lo > 1 {
				t.Fatalf("Contains is wrong for %v", out)
			}
		}
		if len(out) == 0 {
			return
		}
		again, err := ParseSet(string(AppendSet(nil, out)))
		if err != nil || !reflect.DeepEqual(again.Resolve(0), out) {
			t.Fatalf("%v does not come back: %v, %v", out, again, err)
		}
	})
}

func TestMatchName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a", true}, {"%", "a/b", false}, {"a/%", "a/b", true}, {"a/%", "a/b/c", false},
		{"a*c", "a/b/c", true}, {"a%c", "abc", true}, {"a%c", "a/c", false}, {"%/%", "a/b", true}, {"", "", true},
		{"", "a", false}, {"inbox", "INBOX", true}, {"InB%", "INBOX", true}, {"inbox/x", "INBOX/x", true},
		{"inbox/X", "INBOX/x", false}, {"inboxes", "INBOXES", false}, {"*box", "INBOX", true}, {"sent", "Sent", false},
		{"**%%*", "x/y", true}, {"*/", "a/", true}, {"ü%", "üx", true},
	} {
		if got := MatchName(c.pattern, c.name); got != c.want {
			t.Errorf("MatchName(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
	// A pattern made to be slow is not.
	if MatchName(strings.Repeat("*a", 400)+"b", strings.Repeat("a", 1000)) {
		t.Error("matched")
	}
}

func TestValidMailboxName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a", "INBOX", "a/b c/d", "Entwürfe", "日本語", "a.b", "News", "a&b", `quo"te`} {
		if err := ValidMailboxName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "/", "a/", "/a", "a//b", ".", "..", "a/../b", ".lock", "~x", "#news", "cur", "a/new", "tmp", "a*", "%",
		"a\x00", "a\nb", "a\u2028b", "e\u0301", "\xff", " a", "a ", `a\b`, strings.Repeat("x", 1001), strings.Repeat("a/", 32) + "a",
	} {
		if ValidMailboxName(name) == nil {
			t.Errorf("%.40q is taken", name)
		}
	}
	for name, want := range map[string]string{"inbox": "INBOX", "InBox/A": "INBOX/A", "inboxes": "inboxes", "e\u0301": "é"} {
		if got := CanonicalName(name); got != want {
			t.Errorf("CanonicalName(%q) = %q", name, got)
		}
	}
}

func TestStrings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, str, astr, nstr string }{
		{"", `""`, `""`, "NIL"}, {"abc", `"abc"`, "abc", `"abc"`}, {`a"b\`, `"a\"b\\"`, `"a\"b\\"`, `"a\"b\\"`},
		{"é", "{2}\r\né", "{2}\r\né", "{2}\r\né"}, {"a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"},
		{"a\x00b\xff", "{3}\r\nab\xff", "{3}\r\nab\xff", "{3}\r\nab\xff"}, {"nil", `"nil"`, `"nil"`, `"nil"`},
		{"a b", `"a b"`, `"a b"`, `"a b"`}, {"a]b", `"a]b"`, "a]b", `"a]b"`},
	} {
		if got := string(AppendString(nil, c.text)); got != c.str {
			t.Errorf("AppendString(%q) = %q", c.text, got)
		}
		if got := string(AppendAString(nil, c.text)); got != c.astr {
			t.Errorf("AppendAString(%q) = %q", c.text, got)
		}
		if got := string(AppendNString(nil, c.text)); got != c.nstr {
			t.Errorf("AppendNString(%q) = %q", c.text, got)
		}
	}
	if got := string(AppendText(nil, "a\r\n* BYE \x1b[0m é")); got != "a??* BYE ?[0m ??" {
		t.Errorf("AppendText = %q", got)
	}
	if got := string(AppendUTF8Text(nil, "a\r\n* BYE \x1b[0m é\xff\u202e")); got != "a??* BYE ?[0m é??" {
		t.Errorf("AppendUTF8Text = %q", got)
	}
	if got := AppendUTF8Text(nil, strings.Repeat("é", 200)); len(got) != 200 {
		t.Errorf("%d octets of text", len(got))
	}
	at := time.Date(2023, 2, 1, 3, 4, 5, 0, time.FixedZone("", 2*3600))
	if got := string(AppendDateTime(nil, at)); got != `" 1-Feb-2023 03:04:05 +0200"` {
		t.Errorf("AppendDateTime = %q", got)
	}
}

// source is a client that sends what it has, and counts continuations.
type source struct {
	r     *bytes.Reader
	asked int
}

func (s *source) Read(p []byte) (int, error) { return s.r.Read(p) }
func (s *source) Continue() error            { s.asked++; return nil }

func (s *source) ReadLine(dst []byte, limit int) ([]byte, error) {
	from := len(dst)
	for {
		c, err := s.r.ReadByte()
		if err != nil {
			return dst, err
		}
		if c == '\n' {
			break
		}
		dst = append(dst, c)
	}
	dst = append(dst[:from:from], bytes.TrimSuffix(dst[from:], []byte("\r"))...)
	if len(dst)-from > limit {
		return dst[:from+limit], ErrTooBig
	}
	return dst, nil
}

func TestReadCommand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wire, tag, name string
		asked           int
		message         *Literal
		err             error
	}{
		{"a NOOP\r\n", "a", "NOOP", 0, nil, nil},
		{"a uid fetch 1 flags\r\n", "a", "UID FETCH", 0, nil, nil},
		{"a LOGIN {5}\r\nalice {6+}\r\nsecret\r\n", "a", "LOGIN", 1, nil, nil},
		{"a APPEND x {5}\r\n", "a", "APPEND", 0, &Literal{Size: 5}, nil},
		{"a append x (\\Seen) {5+}\r\n", "a", "APPEND", 0, &Literal{Size: 5, NonSync: true}, nil},
		{"a APPEND {1}\r\nx ~{99999999999}\r\n", "a", "APPEND", 1, &Literal{Size: 99999999999, Binary: true}, nil},
		{"a APPEND {1}\r\nx\r\n", "a", "APPEND", 1, nil, nil},
		{"a X {5000}\r\n", "a", "", 0, nil, ErrTooBig},
		{"a X {5000+}\r\n" + strings.Repeat("y", 5000) + "\r\nb NOOP\r\n", "a", "", 0, nil, ErrTooBig},
		{"a X {2000000+}\r\n", "a", "", 0, nil, ErrLost},
		{"a " + strings.Repeat("(", 9000) + "\r\n", "a", "", 0, nil, ErrTooBig},
		{"a X" + strings.Repeat(" {1+}\r\nz", 9) + "\r\n", "a", "", 0, nil, ErrTooBig},
		{"\r\n", "*", "", 0, nil, nil},
		{"a LOGIN {5}\r\nal", "", "", 1, nil, io.ErrUnexpectedEOF},
	} {
		src := &source{r: bytes.NewReader([]byte(c.wire))}
		cmd, _, err := ReadCommand(src, nil, PreAuth, false)
		if !errors.Is(err, c.err) {
			t.Errorf("%.40q: error %v, want %v", c.wire, err, c.err)
		}
		if c.err == nil && cmd.Name != c.name || cmd.Tag != c.tag || src.asked != c.asked || !reflect.DeepEqual(cmd.Message, c.message) {
			t.Errorf("%.40q: %q %q, asked %d, message %+v", c.wire, cmd.Tag, cmd.Name, src.asked, cmd.Message)
		}
		if errors.Is(c.err, ErrTooBig) && strings.HasSuffix(c.wire, "b NOOP\r\n") {
			if next, _, err := ReadCommand(src, nil, PreAuth, false); err != nil || next.Name != "NOOP" {
				t.Errorf("%.40q: out of step: %v %v", c.wire, next, err)
			}
		}
	}
}

// I3: what nests is refused at once, however it nests.
func TestNesting(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		" " + strings.Repeat("NOT ", 10000) + "ALL", " " + strings.Repeat("(", 60000),
		" " + strings.Repeat("OR ALL ", 10000) + "ALL", " " + strings.Repeat("OR (NOT ", 5000),
		" " + strings.Repeat("ALL ", 6000) + "ALL",
	} {
		s := NewScanner([]byte(text), false)
		s.Search()
		if s.End() == nil {
			t.Errorf("%.30q… is taken", text)
		}
	}
}

func TestEnvelopeRoundTrip(t *testing.T) {
	t.Parallel()
	who := message.Mailbox{Name: `A "B" \`, Local: "a", Host: "b.example"}
	e := &message.Envelope{
		Date: "today", Subject: "8-bit é\x01", From: []message.Mailbox{who},
		Sender: []message.Mailbox{{Local: "", Host: ""}}, ReplyTo: []message.Mailbox{{Route: "@x,@y", Local: "c", Host: "d"}},
		To: []message.Mailbox{{Group: true, Local: "team"}, who, {Group: true}}, MessageID: "<x>",
		HasDate: true, HasSubject: true, HasInReplyTo: true, HasMessageID: true, // In-Reply-To is empty
	}
	got, err := ParseEnvelope(AppendEnvelope(nil, e))
	if err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := ParseEnvelope(AppendEnvelope(nil, nil)); err != nil {
		t.Error(err)
	}
	// Sender and Reply-To are From's if missing.
	got, err = ParseEnvelope(AppendEnvelope(nil, &message.Envelope{From: []message.Mailbox{who}}))
	if err != nil || !reflect.DeepEqual(got.Sender, got.From) || !reflect.DeepEqual(got.ReplyTo, got.From) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Fields that are there and empty are told from those that are not, RFC 9051
// section 7.5.2.
func TestEmptyFields(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Date:\r\nSubject: \r\nIn-Reply-To:\r\nMessage-ID:\r\n\t\r\nFrom:\r\nTo: \r\n": `("" "" NIL NIL NIL NIL NIL NIL "" "")`,
		"Subject:\r\nSubject: second\r\n":                                              `(NIL "second" NIL NIL NIL NIL NIL NIL NIL NIL)`,
		"X:\r\n":                                                                       `(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)`,
	} {
		m, err := message.Parse(strings.NewReader(header+"\r\n"), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(AppendEnvelope(nil, m.Root.Envelope())); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

// RFC 9051 section 7.5.2.
func TestStructure(t *testing.T) {
	t.Parallel()
	text := &message.Part{Type: "text", Subtype: "plain", Body: 10, End: 30, Lines: 2,
		Params: []message.Param{{Name: "charset", Value: "utf-8"}}}
	image := &message.Part{Type: "image", Subtype: "png", Encoding: "base64", ID: "<i>", Description: "d\"", MD5: "m", End: 7,
		Disposition: "inline", DispositionParams: []message.Param{{Name: "filename", Value: "é"}}, Language: []string{"de", "en"}, Location: "loc"}
	inner := &message.Part{Type: "message", Subtype: "rfc822", Embedded: text, Lines: 5, End: 99}
	multi := &message.Part{Type: "multipart", Subtype: "mixed", Children: []*message.Part{text, image, inner}, Params: []message.Param{{Name: "boundary", Value: "x"}}}
	const empty = `(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)`
	const textBody = `("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 20 2`
	for _, c := range []struct {
		p           *message.Part
		body, extra string
	}{
		{text, textBody + `)`, textBody + ` NIL NIL NIL NIL)`},
		{image, `("image" "png" NIL "<i>" "d\"" "base64" 7)`,
			`("image" "png" NIL "<i>" "d\"" "base64" 7 "m" ("inline" ("filename" {2}` + "\r\né" + `)) ("de" "en") "loc")`},
		{inner, `("message" "rfc822" NIL NIL NIL "7bit" 99 ` + empty + ` ` + textBody + `) 5)`,
			`("message" "rfc822" NIL NIL NIL "7bit" 99 ` + empty + ` ` + textBody + ` NIL NIL NIL NIL) 5 NIL NIL NIL NIL)`},
		{&message.Part{Type: "multipart", Subtype: "x"}, `(` + emptyPart + ` "x")`, `(` + emptyPart + ` "x" NIL NIL NIL NIL)`},
		{&message.Part{Type: "message", Subtype: "global"}, `("message" "global" NIL NIL NIL "7bit" 0 ` + empty + ` ` + emptyPart + ` 0)`,
			`("message" "global" NIL NIL NIL "7bit" 0 ` + empty + ` ` + emptyPart + ` 0 NIL NIL NIL NIL)`},
	} {
		if got := string(AppendStructure(nil, c.p, false)); got != c.body {
			t.Errorf("BODY\n%s\nwant\n%s", got, c.body)
		}
		if got := string(AppendStructure(nil, c.p, true)); got != c.extra {
			t.Errorf("BODYSTRUCTURE\n%s\nwant\n%s", got, c.extra)
		}
	}
	got := string(AppendStructure(nil, multi, true))
	if !strings.HasPrefix(got, "("+textBody) || !strings.HasSuffix(got, `) "mixed" ("boundary" "x") NIL NIL NIL)`) {
		t.Errorf("multipart: %s", got)
	}
}

// FuzzCommand reads whatever comes as every kind of command.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{
		"a NOOP\r\n", "a LOGIN {5}\r\nalice \"x\"\r\n", "a FETCH 1:* (BODY.PEEK[1.HEADER.FIELDS (a \"b\")]<0.5> BINARY[2] UID)\r\n",
		"a UID SEARCH RETURN (ALL) CHARSET UTF-8 OR (NOT SEEN) HEADER x {1+}\r\ny MODSEQ \"/flags/x\" all 5\r\n",
		"a UID SORT RETURN (PARTIAL -1:-9 UPDATE) (REVERSE DATE RELEVANCY) UTF-8 FUZZY TEXT x OLDER 5\r\n", "a THREAD REFS UTF-8 FILTER f\r\n",
		"a ESEARCH IN (personal subtree-one (a b) mailboxes c) RETURN (COUNT) SAVEDON 1-Feb-2023\r\n",
		"a LIST (SUBSCRIBED) \"\" (a% \"&U,BTFw-\") RETURN (STATUS (MESSAGES))\r\n", "a APPEND x (\\Seen) \" 1-Feb-2023 03:04:05 +0200\" {3}\r\n",
		"a SELECT x (CONDSTORE QRESYNC (7 9 1:5,8 (1,3 2,4)))\r\n", "a UID FETCH 1:* (PREVIEW (LAZY)) (CHANGEDSINCE 5 VANISHED PARTIAL -1:-9)\r\n",
		"a NOTIFY SET STATUS (selected (MessageNew (UID BODY.PEEK[1]) MessageExpunge)) (subtree (a b) MailboxName)\r\n",
		"a STATUS x (SIZE)\r\n", "a X ((((\r\n", "\r\n", "a X {99999999999999999999}\r\n", "a X \"\\",
	} {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, wire []byte, utf8 bool) {
		src := &source{r: bytes.NewReader(wire)}
		for {
			cmd, buf, err := ReadCommand(src, nil, PreAuth, utf8)
			if len(buf) > 3*(PreAuth.Line+PreAuth.Total) {
				t.Fatalf("%d octets kept", len(buf))
			}
			if err != nil && !errors.Is(err, ErrTooBig) {
				return
			}
			if strings.ContainsFunc(cmd.Tag, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || cmd.Tag == "" {
				t.Fatalf("tag %q", cmd.Tag)
			}
			if err != nil {
				continue
			}
			at := *cmd.Args
			for _, read := range []func(*Scanner){
				func(s *Scanner) { s.SP(); s.Set(); s.SP(); s.FetchItems(); s.FetchModifiers() },
				func(s *Scanner) { s.SP(); s.Mailbox(); s.SelectParams() },
				func(s *Scanner) { s.Notify() },
				func(s *Scanner) { s.Search() },
				func(s *Scanner) { s.Sort() },
				func(s *Scanner) { s.Thread() },
				func(s *Scanner) { s.ESearch() },
				func(s *Scanner) { s.ListCommand() },
				func(s *Scanner) { s.SP(); s.Mailbox(); s.SP(); s.StatusItems() },
				func(s *Scanner) {
					s.SP()
					s.Mailbox()
					s.SP()
					s.Flags()
					s.SP()
					s.DateTime()
				},
				func(s *Scanner) { s.SP(); s.NString(); s.SP(); s.Date() },
			} {
				s := at
				read(&s)
				_ = s.End()
			}
		}
	})
}
