package content

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plic/internal/message"
)

func read(t testing.TB, text string) *Content {
	t.Helper()
	m, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return Read(m, strings.NewReader(text))
}

func page1(html string) string {
	return "Content-Type: text/html; charset=utf-8\r\n\r\n" + html
}

// TestHTML reads what is seen, what is hidden and what links say.
func TestHTML(t *testing.T) {
	c := read(t, page1(`<html><head><title>no</title><style>p{}</style></head><body>
<p>Dear <b>cust</b>omer</p><script>var no</script><div style="display: none">hid<br>den <span>words</span></div>
<a href="https://EVIL.example/login?x=1">https://bank.example</a><a href='mailto:x@y'>write</a>
<img src="cid:1"><img src="https://track.example/p.gif" width="1" height="1"><form action="http://post.example/"></form>`))
	if got := strings.Join(strings.Fields(c.Text), " "); got != "Dear customer https://bank.examplewrite" {
		t.Errorf("text: %q", got)
	}
	if got := strings.Join(strings.Fields(c.Hidden), " "); got != "hid den words" {
		t.Errorf("hidden: %q", got)
	}
	if len(c.Links) != 2 || c.Links[0].Host != "evil.example" || c.Links[0].Text != "https://bank.example" || c.Links[1].Host != "post.example" {
		t.Errorf("links: %+v", c.Links)
	}
	if c.Images != 1 || c.Forms != 1 || c.Scripts != 1 || !c.HTML || c.Plain {
		t.Errorf("%+v", c)
	}
}

// TestPlainLinks finds URLs in text as people write them.
func TestPlainLinks(t *testing.T) {
	c := read(t, "\r\nSee (https://a.example/x?y=1), www.b.example. HTTP://C.example!\nxhttp:// notwww.d.example <http://e.example>\n")
	var hosts []string
	for _, l := range c.Links {
		hosts = append(hosts, l.Host)
	}
	if want := "a.example www.b.example c.example e.example"; strings.Join(hosts, " ") != want {
		t.Errorf("%v", hosts)
	}
}

// TestWeb reads URLs as browsers do.
func TestWeb(t *testing.T) {
	for text, want := range map[string]string{
		"https://example.org/": "example.org", "HTTP://Example.ORG:8080?x": "example.org", "http://bank.example@evil.example/": "evil.example",
		`http:\\evil.example\x`: "evil.example", "http:///evil.example": "evil.example", "http://ev%69l.example/": "evil.example",
		"http://b\u00fccher.example": "xn--bcher-kva.example", "http://[2001:db8::1]/": "2001:db8::1", "http://ex\r\nample.org": "example.org",
		"ftp://x.example": "", "javascript:alert(1)": "", "http://": "", "": "",
	} {
		l, ok := Web(text)
		if l.Host != want || ok != (want != "") {
			t.Errorf("%q: %q", text, l.Host)
		}
	}
	for host, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "3221225985": "192.0.2.1", "0xc0.0.2.1": "192.0.2.1", "0300.0.0x2.01": "192.0.2.1", "192.513": "192.0.2.1",
		"2001:db8::1": "2001:db8::1",
	} {
		if l, _ := Web("http://" + strings.NewReplacer("2001:db8::1", "[2001:db8::1]").Replace(host) + "/"); l.Addr.String() != want {
			t.Errorf("%q: %v", host, l.Addr)
		}
	}
	for _, host := range []string{"example.org", "1.2.3.4.5", "256.1.1.1.example", "08.1.1.1", "1.2.3.400"} {
		if l, _ := Web("http://" + host + "/"); l.Addr.IsValid() {
			t.Errorf("%q: %v", host, l.Addr)
		}
	}
	for host, want := range map[string]string{"a.b.example.co.uk": "example.co.uk", "co.uk": "", "x.example": "x.example", "www.example.org.": "example.org"} {
		if got := Registered(host); got != want {
			t.Errorf("%q: %q", host, got)
		}
	}
}

func zipped(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(f, "MZ inside ", name)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func attached(name string, data []byte) string {
	return "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: application/octet-stream; name=\"" + name +
		"\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(data) + "\r\n--b--\r\n"
}

// TestFiles says what files are, and what is inside.
func TestFiles(t *testing.T) {
	locked := zipped(t, "a.exe")
	locked[bytes.LastIndex(locked, []byte("PK\x01\x02"))+8] |= 1
	for name, x := range map[string]struct {
		data           []byte
		kind           Kind
		inner          string
		locked, macros bool
	}{
		"program":      {[]byte("MZ\x90\x00"), Program, "", false, false},
		"zip":          {zipped(t, "a.txt", "b/c.exe"), Zip, "a.txt b/c.exe", false, false},
		"behind other": {append([]byte("PK\x03\x04 something else"), zipped(t, "a.scr")...), Zip, "a.scr", false, false},
		"locked":       {locked, Zip, "a.exe", true, false},
		"macros":       {zipped(t, "[Content_Types].xml", "word/vbaProject.bin"), Zip, "[Content_Types].xml word/vbaProject.bin", false, true},
		"old macros":   {append([]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), wide("Root _VBA_PROJECT")...), Office, "", false, true},
		"old document": {[]byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 plain"), Office, "", false, false},
		"broken zip":   {[]byte("PK\x03\x04 nothing"), Zip, "", false, false},
		"page":         {[]byte("\xef\xbb\xbf <HTML>"), Markup, "", false, false},
		"text":         {[]byte("hello"), "", "", false, false},
		"empty":        {nil, "", "", false, false},
	} {
		c := read(t, attached("x", x.data))
		if len(c.Files) != 1 {
			t.Errorf("%s: %d files", name, len(c.Files))
			continue
		}
		f := c.Files[0]
		if f.Kind != x.kind || strings.Join(f.Inner, " ") != x.inner || f.Locked != x.locked || f.Macros != x.macros {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestBounds keeps little of what is much.
func TestBounds(t *testing.T) {
	var b strings.Builder
	b.WriteString("Content-Type: text/html\r\n\r\n")
	for i := range 100000 {
		fmt.Fprintf(&b, `<div hidden><a href="http://h%d.example/">word%d</a>`, i, i)
	}
	c := read(t, b.String())
	if len(c.Links) > maxLinks || len(c.Text)+len(c.Hidden) > 2*maxText || !c.Cut {
		t.Errorf("%d links, %d octets", len(c.Links), len(c.Text))
	}
}

func FuzzRead(f *testing.F) {
	f.Add(page1(`<a href="http://x.example">y</a><div style="display:none">z`))
	f.Add(attached("a.zip", zipped(f, "a", "b.exe")))
	f.Add("\r\nhttp://a.example/ www.b.example")
	f.Fuzz(func(t *testing.T, text string) {
		c := read(t, text)
		if len(c.Text) > maxText || len(c.Links) > maxLinks || slices.ContainsFunc(c.Links, func(l Link) bool { return l.Host == "" }) {
			t.Errorf("%+v", c)
		}
	})
}
