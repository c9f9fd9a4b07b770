package smtpd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// sequences end message data for one server or another, but not for RFC 5321.
var sequences = []string{
	"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n",
	"\r\n\x00.\r\n", "\r\n.\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n",
}

const smuggled = "MAIL FROM:<evil@b.example>\r\nRCPT TO:<bob@us.example>\r\nDATA\r\nx: smuggled\r\n\r\nevil\r\n"

// pieces are the ways to cut what is sent.
func pieces(text string, how int) []string {
	if how == 0 {
		return []string{text}
	}
	var list []string
	for len(text) > how {
		list = append(list, text[:how])
		text = text[how:]
	}
	return append(list, text)
}

// TestSmuggling is S1 of the threat table: each sequence gets exactly one
// final answer, and there is never a second envelope.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	for _, normalise := range []bool{false, true} {
		h := open(t, MX, func(o *Options) {
			o.Limits.Connections, o.Limits.PerAddress = 1<<20, 1<<20
			if normalise {
				o.Normalise = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
			}
		})
		for _, seq := range sequences {
			head := "x: y\r\n\r\nhello"
			tail := seq + smuggled + "\r\n.\r\n"
			for _, how := range []int{0, 1, 4095, 4096, 4097, 8191, 8192, 8193} {
				pads := []int{0}
				if how > 1 { // so that each octet of the sequence comes to lie at the cut
					for i := range len(seq) + 1 {
						pads = append(pads, how-len(head)-i)
					}
				}
				for _, pad := range pads {
					name := fmt.Sprintf("normalise=%v %q in pieces of %d after %d", normalise, seq, how, pad)
					smuggle(t, h, name, pieces(head+strings.Repeat("x", pad)+tail, how), normalise)
				}
			}
		}
		h.close()
	}
}

func smuggle(t *testing.T, h *house, name string, pieces []string, normalise bool) {
	t.Helper()
	before := len(h.o.messages())
	c := h.dial("198.51.100.7:4000")
	c.want("220 ")
	c.say("EHLO client", "250 ")
	c.say("MAIL FROM:<a@b.example>", "250 ")
	c.say("RCPT TO:<alice@us.example>", "250 ")
	c.say("DATA", "354 ")
	for _, piece := range pieces {
		c.send(piece)
	}
	answer := c.reply()
	c.say("QUIT", "221 ")
	c.gone()
	c.c.Close()
	got := h.o.messages()[before:]
	if !normalise {
		if answer != "550 5.6.0 "+badLines.Text || len(got) != 0 {
			t.Errorf("%s: %q and %d messages", name, answer, len(got))
		}
		return
	}
	if !strings.HasPrefix(answer, "250 ") || len(got) != 1 || got[0].env.From.String() != "a@b.example" {
		t.Errorf("%s: %q and %d messages", name, answer, len(got))
		return
	}
	body := got[0].body
	if strings.ContainsAny(strings.ReplaceAll(body, "\r\n", ""), "\r\n\x00") {
		t.Errorf("%s: kept a bare CR, LF or NUL: %q", name, body)
	}
	if !strings.Contains(body, "MAIL FROM:<evil@b.example>") {
		t.Errorf("%s: the text is lost: %q", name, body)
	}
}

// TestSmugglingBDAT sends the same as chunks: they are refused, in step.
func TestSmugglingBDAT(t *testing.T) {
	t.Parallel()
	h := open(t, MX, nil)
	defer h.close()
	for _, seq := range sequences {
		body := "x: y\r\n\r\nhello" + seq + smuggled
		for cut := range len(body) {
			if cut < len(body)-len(smuggled)-len(seq)-1 || cut > len(body)-len(smuggled)+1 {
				continue
			}
			c := h.dial("198.51.100.7:4000")
			c.want("220 ")
			c.say("EHLO client", "250 ")
			c.say("MAIL FROM:<a@b.example>", "250 ")
			c.say("RCPT TO:<alice@us.example>", "250 ")
			c.send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%sQUIT\r\n", cut, body[:cut], len(body)-cut, body[cut:]))
			first, second := c.reply(), c.reply()
			bad := "550 5.6.0 "
			if !strings.HasPrefix(first, "250 2.0.0 ") && !strings.HasPrefix(first, bad) {
				t.Errorf("%q at %d: first %q", seq, cut, first)
			}
			if strings.HasPrefix(first, bad) {
				bad = "503 "
			}
			if !strings.HasPrefix(second, bad) {
				t.Errorf("%q at %d: %q, then %q", seq, cut, first, second)
			}
			c.want("221 ")
			c.gone()
		}
	}
	if n := len(h.o.messages()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
}
