package smtpd

import (
	"bufio"
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"

	"plic/internal/mail"
	"plic/internal/smtp"
)

// FuzzSession says anything at all to a live server and looks at what holds
// whatever is said: no panic, every draft ended, replies that can be read, no
// message with bare CR or LF, none to strangers' domains.
func FuzzSession(f *testing.F) {
	const begin = "EHLO client\r\n"
	const tx = "MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@us.example>\r\n"
	for _, seed := range []struct {
		kind uint8
		text string
	}{
		{0, "HELO client\r\n" + tx + "DATA\r\n"},
		{0, "HELO client\r\n" + tx + "BDAT 6\r\nx: y\r\nBDAT 0 LAST\r\nQUIT\r\n"},
		{0, "HELO client\r\n" + tx + "BDAT 9223372036854775807 LAST\r\n"},
		{0, begin + "STARTTLS\r\n"},
		{0, "HELO client\r\nMAIL FROM:<> SIZE=5 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x\r\nRCPT TO:<ü@us.example> NOTIFY=NEVER ORCPT=utf-8;\\x{FC}\r\nRSET\r\n"},
		{1, "HELO client\r\nAUTH LOGIN\r\nYWxpY2VAdXMuZXhhbXBsZQ==\r\nc2VjcmV0\r\n" + strings.ReplaceAll(tx, "a@b", "alice@us") + "DATA\r\n"},
		{1, "HELO client\r\nAUTH PLAIN AGFsaWNlQHVzLmV4YW1wbGUAc2VjcmV0\r\nMAIL FROM:<alice@us.example>\r\nRCPT TO:<u@ext.example>\r\nBDAT 2 LAST\r\n\r\n"},
		{2, "LHLO client\r\n"},
		{2, "LHLO client\r\nNOOP\r\nVRFY x\r\nEXPN x\r\nHELP\r\nRSET\r\n"},
		{0, "GET / HTTP/1.1\r\n"}, {0, "\x16\x03\x01\r\n"}, {0, "\r\n\n\r"},
	} {
		f.Add(seed.kind, []byte(seed.text), []byte("x: y\r\n\r\n..\r\n.\r\nQUIT\r\n"))
	}
	f.Fuzz(func(t *testing.T, which uint8, text, more []byte) {
		kind := []Kind{MX, Submission, LMTP}[which%3]
		from := outside
		if kind != MX {
			from = "127.0.0.1:4000"
		}
		h := open(t, kind, func(o *Options) {
			withTLS(o)
			o.Limits.Message = 1000
			o.Limits.Hops = 2
			if which >= 128 {
				o.Normalise = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
			}
		})
		c := h.ring(from)
		replies := make(chan string)
		go func() {
			var all bytes.Buffer
			io.Copy(&all, c)
			replies <- all.String()
		}()
		c.Write(text)
		c.Write(more) // in a read of its own, as after 354
		c.Close()
		checkReplies(t, <-replies)
		h.close()
		if h.server.Panics() != 0 {
			t.Fatal("panic")
		}
		for _, m := range h.o.messages() {
			checkMessage(t, &m)
		}
	})
}

func checkReplies(t *testing.T, text string) {
	r := bufio.NewReader(strings.NewReader(text))
	for {
		reply, err := smtp.ReadReply(r)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return
		}
		if err != nil {
			if bytes.IndexByte([]byte(text), 0x15) >= 0 || strings.Contains(text, "220 2.0.0") {
				return // the rest is TLS
			}
			t.Fatalf("%v in %q", err, text)
		}
		switch reply.Code {
		case 211, 214, 220, 221, 235, 250, 252, 334, 354, 421, 451, 452, 454, 500, 501, 502, 503, 504, 530, 535, 538, 550, 552, 553, 554, 555:
		default:
			t.Fatalf("%+v", reply)
		}
	}
}

func checkMessage(t *testing.T, m *taken) {
	for _, part := range []string{m.trace, m.body} {
		if strings.ContainsAny(strings.ReplaceAll(part, "\r\n", ""), "\r\n\x00") {
			t.Fatalf("a bare CR, LF or NUL in %q", part)
		}
	}
	if !strings.HasPrefix(m.trace, "Received: from ") || !strings.HasSuffix(m.trace, "\r\n") {
		t.Fatalf("trace %q", m.trace)
	}
	if len(m.body) > 2000 || len(m.env.To) == 0 {
		t.Fatalf("%d octets for %d", len(m.body), len(m.env.To))
	}
	for _, to := range m.env.To {
		if d := to.Address.Domain; m.env.Origin.Account == "" && d != mail.MustDomain("us.example") && !d.IsZero() {
			t.Fatalf("relayed to %v", to.Address)
		}
	}
	if m.env.Origin.Service == "submission" && m.env.Origin.Account == "" {
		t.Fatal("submitted by nobody")
	}
}
