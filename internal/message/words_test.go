package message_test

import (
	"io"
	"reflect"
	"strings"
	"testing"

	"plic/internal/message"
)

// RFC 5322 section 3.4 and appendix A, with the obsolete syntax of section 4.4.
func TestAddressList(t *testing.T) {
	one := func(name, local, host string) []message.Mailbox {
		return []message.Mailbox{{Name: name, Local: local, Host: host}}
	}
	for _, c := range []struct {
		in   string
		want []message.Mailbox
	}{
		{"", nil},
		{" , ,, ", nil},
		{"<>", nil},
		{"john@example.com", one("", "john", "example.com")},
		{"<john@example.com>", one("", "john", "example.com")},
		{"John Doe <john@example.com>", one("John Doe", "john", "example.com")},
		{"John  \r\n Doe<john@example.com>", one("John Doe", "john", "example.com")},
		{`"Joe Q. Public" <john.q.public@example.com>`, one("Joe Q. Public", "john.q.public", "example.com")},
		{`"Giant; \"Big\" Box" <sysservices@example.net>`, one(`Giant; "Big" Box`, "sysservices", "example.net")},
		{"John Q. Public <j@example.com>", one("John Q. Public", "j", "example.com")},
		{"J.R. Hartley <j@example.com>", one("J.R. Hartley", "j", "example.com")},
		{`Joe "the" Plumber <j@example.com>`, one("Joe the Plumber", "j", "example.com")},
		{"j@example.com (John Doe)", one("John Doe", "j", "example.com")},
		{"j@example.com (John (the (first)) \\) Doe)", one("John (the (first)) ) Doe", "j", "example.com")},
		{"Name <j@example.com> (comment)", one("Name", "j", "example.com")},
		{"Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", one("Pete", "pete", "silly.test")},
		{`"odd local"@example.com`, one("", "odd local", "example.com")},
		{`<"odd@local"@example.com>`, one("", "odd@local", "example.com")},
		{"joe . bloggs @ example . com", one("", "joe.bloggs", "example.com")},
		{"<joe . bloggs @ example . com>", one("", "joe.bloggs", "example.com")},
		{"a@[192.0.2.1]", one("", "a", "[192.0.2.1]")},
		{"a@[IPv6:2001:db8::1]", one("", "a", "[IPv6:2001:db8::1]")},
		{"<@r.example,@s.example:u@example.com>", []message.Mailbox{{Route: "@r.example,@s.example", Local: "u", Host: "example.com"}}},
		{"a@x.example <b@y.example>", one("a@x.example", "b", "y.example")},
		{"Doe, John <john@example.com>", one("Doe, John", "john", "example.com")},
		{"John Doe john@example.com", one("John Doe", "john", "example.com")},
		{"root", one("", "root", "")},
		{"root, j@example.com", []message.Mailbox{{Local: "root"}, {Local: "j", Host: "example.com"}}},
		{"a@b@c", one("", "a@b", "c")},
		{"=?utf-8?q?J=C3=B6rg?= <j@example.com>", one("=?utf-8?q?J=C3=B6rg?=", "j", "example.com")},
		{"Jörg <jörg@bücher.example>", one("Jörg", "jörg", "bücher.example")},
		{"undisclosed-recipients:;", []message.Mailbox{{Local: "undisclosed-recipients", Group: true}, {Group: true}}},
		{"A Group(x):Ed <ed@a.example>,joe@b.example,John <j@c.example>; z@d.example", []message.Mailbox{
			{Local: "A Group", Group: true}, {Name: "Ed", Local: "ed", Host: "a.example"}, {Local: "joe", Host: "b.example"},
			{Name: "John", Local: "j", Host: "c.example"}, {Group: true}, {Local: "z", Host: "d.example"},
		}},
		{"g: a@b", []message.Mailbox{{Local: "g", Group: true}, {Local: "a", Host: "b"}, {Group: true}}},
		{"a@b; c@d", []message.Mailbox{{Local: "a", Host: "b"}, {Local: "c", Host: "d"}}},
		{"Unclosed <a@b", one("Unclosed", "a", "b")},
		{`"unclosed <a@b`, one("", "unclosed <a@b", "")},
		{"(unclosed", nil},
		{"a@b (unclosed \\", one(`unclosed \`, "a", "b")},
		{"a@[unclosed", one("", "a", "[unclosed")},
	} {
		if got := message.ParseAddressList(c.in); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q:\nhave %+v\nwant %+v", c.in, got, c.want)
		}
	}
}

// RFC 2047 section 8 has the first examples; the others are seen in mail.
func TestDecodeHeader(t *testing.T) {
	for in, want := range map[string]string{
		"=?ISO-8859-1?Q?a?=":                        "a",
		"=?ISO-8859-1?Q?a?= b":                      "a b",
		"=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=":     "ab",
		"=?ISO-8859-1?Q?a?=\r\n  =?ISO-8859-1?Q?b?": "a  =?ISO-8859-1?Q?b?",
		"=?ISO-8859-1?Q?a_b?=":                      "a b",
		"=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=":    "a b",
		"plain":                                     "plain",
		"":                                          "",
		" folded\r\n text ":                         "folded text",
		"=?utf-8?B?w7w?=":                           "ü",
		"=?utf-8?B?w7w===?=":                        "ü",
		"=?utf-8?B?w?= =?utf-8?Q?x":                 " =?utf-8?Q?x",
		"=?utf-8?q?=C3?==?utf-8?q?=BC?=":            "ü",
		"=?utf-8?q?=C3?= =?gbk?q?=BC?=":             "Ã\uFFFD",
		"=?US-ASCII*EN?Q?Keith_Moore?=":             "Keith Moore",
		"=?x?Q?=E9?=":                               "é",
		"caf\xe9 \xe2\x82\xac":                      "café €",
		"=?utf-8?Q?a=00b=0D=0Ac?=":                  "a b  c",
		"=?utf-8?Q?a=E2=80=A8b?=":                   "a b",
		"=?utf-8?Q??=":                              "",
		"=??Q?x?=":                                  "=??Q?x?=",
		"=?utf-8?Q?=3?=":                            "=3",
		"a =?utf-8?Q?b?= =?utf-8?Q?c?= d":           "a bc d",
		"=?iso-2022-jp?B?GyRCJDMbKEI=?=":            "こ",
		"=?utf-8?Q?x?=)":                            "x)",
	} {
		if got := message.DecodeHeader(in); got != want {
			t.Errorf("%q: have %q, want %q", in, got, want)
		}
	}
}

// RFC 5322 section 3.3, obsolete forms of section 4.3, and what is seen.
func TestDate(t *testing.T) {
	for in, want := range map[string]string{
		"Fri, 21 Nov 1997 09:55:06 -0600":                                  "1997-11-21T09:55:06-06:00",
		"21 Nov 1997 09:55:06 -0600":                                       "1997-11-21T09:55:06-06:00",
		"Thu,\r\n 13\r\n Feb 1969\r\n 23:32\r\n -0330 (Newfoundland Time)": "1969-02-13T23:32:00-03:30",
		"21 Nov 97 09:55:06 GMT":                                           "1997-11-21T09:55:06Z",
		"Fri, 21 Nov 97 09(comment):  55  :  06 -0600":                     "1997-11-21T09:55:06-06:00",
		"1 Jan 49 00:00 EST":                                               "2049-01-01T00:00:00-05:00",
		"1 Jan 50 00:00 PDT":                                               "1950-01-01T00:00:00-07:00",
		"1 Jan 101 00:00 Z":                                                "2001-01-01T00:00:00Z",
		"Mon, 2 Mar 2026 10:15:30 XYZ":                                     "2026-03-02T10:15:30Z",
		"Mon, 2 Mar 2026 10:15:30":                                         "2026-03-02T10:15:30Z",
		"Mon Mar  2 10:15:30 2026":                                         "2026-03-02T10:15:30Z",
		"Mon Mar  2 10:15:30 CET 2026":                                     "2026-03-02T10:15:30+01:00",
		"Monday, 2 March 2026 10:15:30 +0000":                              "2026-03-02T10:15:30Z",
		"Mon, 2 Mar 2026 10.15.30 +0000":                                   "2026-03-02T10:15:30Z",
		"Mon, 2 Mar 2026 10:15:30 GMT+0100":                                "2026-03-02T10:15:30+01:00",
		"Mon, 2 Mar 2026 10:15:30+01:00":                                   "2026-03-02T10:15:30+01:00",
		"2-Mar-2026 10:15:30 -0500":                                        "2026-03-02T10:15:30-05:00",
		"Tue, 30 Jun 2015 23:59:60 +0000":                                  "2015-06-30T23:59:59Z",
		"Sun, 29 Feb 2024 1:2:3 +0000":                                     "2024-02-29T01:02:03Z",
		"29 Feb 2023 1:2:3 +0000":                                          "",
		"31 Apr 2023 1:2:3 +0000":                                          "",
		"0 Apr 2023 1:2:3 +0000":                                           "",
		"1 Apr 2023 24:00:00 +0000":                                        "",
		"1 Apr 2023":                                                       "",
		"":                                                                 "",
		"(only a comment":                                                  "",
		"99999999999999999999 Apr 2023 1:2 +0000":                          "",
	} {
		at, err := message.ParseDate(in)
		got := ""
		if err == nil {
			got = at.Format("2006-01-02T15:04:05Z07:00")
		}
		if got != want {
			t.Errorf("%q: have %q %v, want %q", in, got, err, want)
		}
	}
}

// RFC 2231 sections 3 and 4.
func TestParam(t *testing.T) {
	for field, want := range map[string]string{
		`; title=plain`:                             "plain",
		`; title="a; \"b\" \\"`:                     `a; "b" \`,
		`; TITLE = spaced`:                          "spaced",
		`; title*0="This is "; title*1="even more"`: "This is even more",
		`; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A`:                                                 "This is ***fun***",
		`; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2="isn't it!"`: "This is even more ***fun*** isn't it!",
		`; title*1=b; title*0=a`:              "ab",
		`; title*0=a; title*2=c`:              "a",
		`; title*1=a; title*2=b`:              "ab",
		`; title*0=a; title*0=b`:              "a",
		`; title=a; title=b`:                  "a",
		`; title=plain; title*=utf-8''%C3%BC`: "ü",
		`; title*=''%C3%BC`:                   "ü",
		`; title*=%C3%BC`:                     "ü",
		`; title*=gb2312''%C4%E3`:             "你",
		`; title*0*=utf-8''%C3; title*1*=%BC`: "ü",
		`; title*=utf-8''%C`:                  "%C",
		`; title*x=bad`:                       "",
		`; title*-1=bad`:                      "",
		`; title*999999999999999999999=bad`:   "",
		`; title="=?utf-8?Q?=C3=BC?="`:        "ü",
		`; title=`:                            "",
		`; title="open`:                       "open",
		`; title="a` + "\r\n" + ` b"`:         "a b",
		`; title*=utf-8''a%0D%0Ab`:            "a  b",
	} {
		m, err := message.Parse(strings.NewReader("Content-Type: text/plain"+field+"\r\n\r\n"), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Root.Param("title"); got != want {
			t.Errorf("%s: have %q, want %q", field, got, want)
		}
	}
}

// RFC 2231 section 6: servers join pieces for their clients.
func TestJoinParams(t *testing.T) {
	for field, want := range map[string]string{
		`; a=b; name=c`:                                            "a=b name=c",
		`; name*0="ab "; x=y; name*1=c`:                            "name=ab c x=y",
		`; name*1=b; x=y; name*0=a`:                                "x=y name=ab",
		`; name*=utf-8''%C3%BC`:                                    "name*=utf-8''%C3%BC",
		`; name*0*=utf-8'en'%C3; name*1*=%BC`:                      "name*=utf-8'en'%C3%BC",
		`; name*0*=utf-8''%C3%BC; name*1=" 100%"`:                  "name*=utf-8''%C3%BC%20100%25",
		`; name*0="it's "; name*1*=%C3%BC`:                         "name*=''it%27s%20%C3%BC",
		`; name*0=a; name*2=c; name*0=d; name*x=e`:                 "name=a name*2=c name*0=d name*x=e",
		`; name*1=a; name*-1=b; *0=c; name*99999999999999999999=d`: "name*1=a name*-1=b *0=c name*99999999999999999999=d",
		`; a*0=1; b*0=2; a*1=3; b*1=4`:                             "a=13 b=24",
	} {
		m, err := message.Parse(strings.NewReader("Content-Type: text/plain; charset=x"+field+"\r\n\r\n"), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range message.JoinParams(m.Root.Params[1:]) {
			got = append(got, p.Name+"="+p.Value)
		}
		if got := strings.Join(got, " "); got != want {
			t.Errorf("%s: have %s, want %s", field, got, want)
		}
	}
	m, err := message.Parse(strings.NewReader("Content-Type: multipart/mixed; boundary*1=b; boundary*0=a\r\n\r\n--ab\r\n\r\nx\r\n--ab--\r\n"), message.Limits{})
	if err != nil || len(m.Root.Children) != 1 {
		t.Errorf("of a boundary in pieces: %v, %d parts", err, len(m.Root.Children))
	}
}

// RFC 2045 sections 6.7 and 6.8.
func TestDecodeBody(t *testing.T) {
	for _, c := range []struct{ encoding, in, want string }{
		{"base64", "SGVsbG8=", "Hello"},
		{"BASE64 ", "SGVs\r\nbG8", "Hello"},
		{"base64", "SGVs*bG8=\r\nIQ==", "Hello!"},
		{"base64", "SGVsbG8=IQ", "Hello!"},
		{"base64", "A", ""},
		{"base64", "====", ""},
		{"base64", "-_-_", "\xfb\xff\xbf"},
		{"quoted-printable", "a=3Db", "a=b"},
		{"quoted-printable", "soft=\r\n break", "soft break"},
		{"quoted-printable", "soft= \t\r\nbreak", "softbreak"},
		{"quoted-printable", "soft=\nbreak", "softbreak"},
		{"quoted-printable", "trailing \t \r\nnext  \nend  ", "trailing\r\nnext\nend"},
		{"quoted-printable", "in  side\tkept", "in  side\tkept"},
		{"quoted-printable", "=ZZ=4=4G==", "=ZZ=4=4G="},
		{"quoted-printable", "=c3=BC", "ü"},
		{"quoted-printable", "=", ""},
		{"quoted-printable", "a=4", "a=4"},
		{"quoted-printable", "= x", "= x"},
		{"quoted-printable", "a\rb \rc", "a\rb \rc"},
		{"7bit", "=3D", "=3D"},
		{"x-unknown", "=3D", "=3D"},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), oneByOne{strings.NewReader(c.in)}} {
			got, err := io.ReadAll(message.DecodeBody(r, c.encoding))
			if err != nil || string(got) != c.want {
				t.Errorf("%s %q: have %q %v, want %q", c.encoding, c.in, got, err, c.want)
			}
		}
	}
	if _, err := io.ReadAll(message.DecodeBody(errReader{}, "base64")); err != io.ErrClosedPipe {
		t.Errorf("error of the reader: %v", err)
	}
	if _, err := io.ReadAll(message.DecodeBody(stuck{}, "base64")); err != io.ErrNoProgress {
		t.Errorf("error of a stuck reader: %v", err)
	}
}

// RFC 2152 section "UTF-7 Definition" has the first three.
func TestDecodeText(t *testing.T) {
	for _, c := range []struct{ charset, in, want string }{
		{"utf-7", "A+ImIDkQ.", "A≢Α."},
		{"UTF-7", "Hi Mom -+Jjo--!", "Hi Mom -☺-!"},
		{"unicode-1-1-utf-7", "+ZeVnLIqe-", "日本語"},
		{"utf-7", "1 +- 1 +AKM-1", "1 + 1 £1"},
		{"utf-7", "+2DTdHg-", "𝄞"},
		{"utf-7", "+2DQ-x +3R4-", "\uFFFDx \uFFFD"},
		{"utf-7", "+2DQ", "\uFFFD"},
		{"utf-7", "\xff+A\xff+", "\uFFFD\uFFFD"},
		{"", "gr\xfc\xc3\xbc", "grüü"},
		{"us-ascii", "\x80", "€"},
		{"nonsense", "\xe2\x82", "â‚"},
		{"utf8", "ü", "ü"},
		{"\"iso-8859-1\"", "\xfc", "ü"},
		{"Latin1", "\xfc", "ü"},
		{"ISO8859-15", "\xa4", "€"},
		{"windows-1252*en", "\x80", "€"},
		{"cp1251", "\xcf", "П"},
		{"ansi-1251", "\xcf", "П"},
		{"cp437", "\x81", "ü"},
		{"hz-gb-2312", "~{<:Ky2;~}", "己所不"},
		{"utf-16", "\xfe\xff\x00a", "a"},
		{"utf-16", "\x00a", "a"},
		{"utf-16le", "a\x00", "a"},
		{"utf-32", "\x00\x00\x00a", "a"},
		{"gb18030", "\x81", "\uFFFD"},
		{"iso-2022-kr", "abc", "abc"},
		{"x-user-defined", "a", "a"},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), oneByOne{strings.NewReader(c.in)}} {
			got, err := io.ReadAll(message.DecodeText(r, c.charset))
			if err != nil || string(got) != c.want {
				t.Errorf("%s %q: have %q %v, want %q", c.charset, c.in, got, err, c.want)
			}
		}
	}
}

func TestFields(t *testing.T) {
	header := "From x\r\nA: 1\r\nB : 2\r\n\tfolded\r\n: none\r\njunk\r\n more\r\nC:\r\nD: 4\n\r\nE: body\r\n"
	want := [][2]string{
		{"", "From x\r\n"}, {"A", "A: 1\r\n"}, {"B", "B : 2\r\n\tfolded\r\n"}, {"", ": none\r\n"},
		{"", "junk\r\n more\r\n"}, {"C", "C:\r\n"}, {"D", "D: 4\n"},
	}
	var got [][2]string
	for name, field := range message.Fields([]byte(header)) {
		got = append(got, [2]string{name, string(field)})
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("have %q\nwant %q", got, want)
	}
	for range message.Fields([]byte("A: 1\r\nB: 2\r\n")) {
		break // must not go on
	}
}

// RFC 9051 section 6.4.5.1 has this example.
func TestFind(t *testing.T) {
	raw := "Content-Type: multipart/mixed; boundary=1\r\n\r\n" +
		"--1\r\n\r\n1\r\n" +
		"--1\r\nContent-Type: application/octet-stream\r\n\r\n2\r\n" +
		"--1\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=3\r\n\r\n" +
		"--3\r\n\r\n3.1\r\n--3\r\nContent-Type: application/octet-stream\r\n\r\n3.2\r\n--3--\r\n" +
		"--1\r\nContent-Type: multipart/mixed; boundary=4\r\n\r\n" +
		"--4\r\nContent-Type: image/gif\r\n\r\n4.1\r\n" +
		"--4\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=42\r\n\r\n" +
		"--42\r\n\r\n4.2.1\r\n--42\r\nContent-Type: multipart/alternative; boundary=422\r\n\r\n" +
		"--422\r\n\r\n4.2.2.1\r\n--422\r\nContent-Type: text/richtext\r\n\r\n4.2.2.2\r\n--422--\r\n--42--\r\n--4--\r\n" +
		"--1\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n5.1\r\n--1--\r\n"
	m, err := message.Parse(strings.NewReader(raw), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path []int
		body string
	}{
		{[]int{1}, "1"}, {[]int{2}, "2"}, {[]int{3, 1}, "3.1"}, {[]int{3, 2}, "3.2"}, {[]int{4, 1}, "4.1"},
		{[]int{4, 2, 1}, "4.2.1"}, {[]int{4, 2, 2, 1}, "4.2.2.1"}, {[]int{4, 2, 2, 2}, "4.2.2.2"}, {[]int{5, 1}, "5.1"},
	} {
		p := m.Find(c.path)
		if p == nil || raw[p.Body:p.End] != c.body {
			t.Errorf("%v: %v", c.path, p)
		}
	}
	for _, path := range [][]int{{0}, {6}, {-1}, {1, 1}, {3, 3}, {5, 2}, {5, 1, 1}, {4, 2, 3}} {
		if p := m.Find(path); p != nil {
			t.Errorf("%v: %+v", path, p)
		}
	}
	if p := m.Find([]int{3}); p == nil || p.Subtype != "rfc822" || p.Embedded.Subtype != "mixed" {
		t.Errorf("3: %+v", p)
	}
	if m.Find(nil) != m.Root {
		t.Error("no root")
	}
	single, err := message.Parse(strings.NewReader("\r\nx"), message.Limits{})
	if err != nil || single.Find([]int{1}) != single.Root || single.Find([]int{1, 1}) != nil {
		t.Error("part 1 of a simple message")
	}
}
