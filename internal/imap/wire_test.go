package imap

import (
	"bytes"
	"strings"
	"testing"

	"plic/internal/message"
)

// structures are messages of all kinds of parts.
var structures = []string{
	"Subject: x\r\n\r\nhello\r\n",
	"Content-Type: text/plain; charset=utf-8; name=\"a)b\\\"(c\"\r\nContent-ID: <x@y>\r\nContent-Description: a {5} b\r\nContent-Language: de, en\r\nContent-Disposition: inline; filename=\"()\"\r\nContent-Location: http://x/\r\nContent-MD5: abc\r\n\r\nx\r\n",
	"Content-Type: text/plain; name*=utf-8''%C3%A9%0A\r\nContent-Description: \xc3\xa9\xff\r\n\r\nx\r\n",
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pdf; name=x\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=x\r\n\r\nAAAA\r\n--b--\r\n",
	"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/related; boundary=c\r\n\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>\r\n--c\r\nContent-Type: image/png\r\n\r\nx\r\n--c--\r\n--b\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\nFrom: a@b\r\nSubject: (\r\nContent-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: in\r\n\r\nx\r\n--d--\r\n--b--\r\n",
	"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nRnJvbTogYQ==\r\n",
	"Content-Type: message/global\r\n\r\nSubject: \xc3\xa9\r\n\r\nx\r\n",
	"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n",
}

func TestAppendBody(t *testing.T) {
	t.Parallel()
	for _, text := range structures {
		checkBody(t, text)
	}
	whole := AppendStructure(nil, message.ParseBytes([]byte(structures[5]), message.Limits{}).Root, true)
	for n := range whole {
		if b, err := AppendBody([]byte("x"), whole[:n]); err == nil || string(b) != "x" {
			t.Errorf("%q is taken: %q", whole[:n], b)
		}
	}
	if _, err := AppendBody(nil, bytes.Repeat([]byte{'('}, 1<<20)); err == nil {
		t.Error("any depth is taken")
	}
}

func checkBody(t *testing.T, text string) {
	t.Helper()
	root := message.ParseBytes([]byte(text), message.Limits{}).Root
	got, err := AppendBody(nil, AppendStructure(nil, root, true))
	if want := AppendStructure(nil, root, false); err != nil || !bytes.Equal(got, want) {
		t.Errorf("of %q:\n%s (%v)\nwant\n%s", text, got, err, want)
	}
}

// FuzzAppendBody: BODY of any message is that of its BODYSTRUCTURE, and no text
// makes reading it panic.
func FuzzAppendBody(f *testing.F) {
	for _, text := range structures {
		f.Add(text)
		f.Add(string(AppendStructure(nil, message.ParseBytes([]byte(text), message.Limits{}).Root, true)))
	}
	f.Add("({99999999999999999999}\r\n)")
	f.Add("({2}\r\n)")
	f.Fuzz(func(t *testing.T, text string) {
		checkBody(t, text)
		AppendBody(nil, []byte(text))
		if at, n := SameSenders([]byte(text)); at < 0 || n < 0 || at+3*n+2*len(" ") > len(text) && n > 0 {
			t.Fatalf("%d octets at %d of %d", n, at, len(text))
		}
	})
}

func TestSameSenders(t *testing.T) {
	t.Parallel()
	me := []message.Mailbox{{Name: "I (me) \"\\", Local: "i", Host: "here.test"}, {Name: "\xc3\xa9\r\n", Local: "j", Host: "here.test"}}
	you := []message.Mailbox{{Local: "you", Host: "there.test"}}
	for name, c := range map[string]struct {
		e    message.Envelope
		same bool
	}{
		"from alone":  {message.Envelope{Date: "now", Subject: "a \" b", From: me, To: you}, true},
		"nobody":      {message.Envelope{}, true},
		"a sender":    {message.Envelope{From: me, Sender: you}, false},
		"a reply-to":  {message.Envelope{From: me, ReplyTo: you}, false},
		"the same":    {message.Envelope{From: me, Sender: me, ReplyTo: me}, true},
		"all in UTF8": {message.Envelope{Subject: "\xc3\xa9 {3}\r\n", From: me}, true},
	} {
		text := string(AppendEnvelope(nil, &c.e))
		at, n := SameSenders([]byte(text))
		if (n > 0) != c.same {
			t.Errorf("%s: %d octets in %q", name, n, text)
		} else if from := text[at : at+n]; c.same && !strings.HasPrefix(text[at:], from+" "+from+" "+from+" ") {
			t.Errorf("%s: %q in %q", name, from, text)
		}
	}
	for _, text := range []string{"", "(", "(NIL NIL NIL NIL", `("a" "b" ((NIL NIL "c" "d"`} {
		if at, n := SameSenders([]byte(text)); n != 0 {
			t.Errorf("%q: %d at %d", text, n, at)
		}
	}
}
