package post

import (
	"strings"
	"testing"

	"plic/internal/mail"
	"plic/internal/message"
)

// The name of an author stays readable in that of ours, and forges neither fields nor
// addresses.
func TestReaddressed(t *testing.T) {
	t.Parallel()
	at := mail.MustAddress("fwd@here.test")
	for from, want := range map[string]string{
		"Ann <ann@strict.test>":                                            "Ann via here.test",
		"Us: Ann <ann@strict.test>;":                                       "Ann via here.test",
		"ann@strict.test":                                                  "ann via here.test",
		"=?utf-8?Q?Ann_=C3=96?= <ann@strict.test>":                         "Ann Ö via here.test",
		"=?utf-8?Q?boss=40bank.test?= <ann@strict.test>":                   "boss at bank.test via here.test",
		"=?utf-8?Q?x=0D=0ABcc=3A_eve=40bad.test?= <ann@strict.test>":       "x  Bcc: eve at bad.test via here.test",
		`"Ann \"x\" <boss@bank.test>,\r\n eve@bad.test" <ann@strict.test>`: `Ann "x" <boss at bank.test>, eve at bad.test via here.test`,
	} {
		from = strings.ReplaceAll(from, `\r\n`, "\r\n")
		const before, after = "Received: x\r\n", "Subject: x\r\n\r\n"
		text := string(readdressed([]byte(before+"From: "+from+"\r\n"+after), at))
		if !strings.HasPrefix(text, before+"From: ") || !strings.HasSuffix(text, "\r\nX-Original-From: "+from+"\r\nReply-To: "+from+"\r\n"+after) {
			t.Errorf("%s: %q", from, text)
		}
		var names []string
		for name, field := range message.Fields([]byte(text)) {
			if names = append(names, name); name != "From" {
				continue
			}
			_, value, _ := strings.Cut(string(field), ":")
			list := message.ParseAddressList(unfolded([]byte(value)))
			if len(list) != 1 || list[0].Address() != at.String() || strings.Join(strings.Fields(message.DecodeHeader(list[0].Name)), " ") != strings.Join(strings.Fields(want), " ") {
				t.Errorf("%s: %q is %+v", from, field, list)
			}
		}
		if got := strings.Join(names, " "); got != "Received From X-Original-From Reply-To Subject" {
			t.Errorf("%s: fields %s", from, got)
		}
	}
}
