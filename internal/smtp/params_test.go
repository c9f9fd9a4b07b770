package smtp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

func TestParseCommand(t *testing.T) {
	t.Parallel()
	tests := []struct {
		line string
		want Command
		bad  bool
	}{
		{"NOOP", Command{NOOP, ""}, false},
		{"mail FROM:<a@b.example>  \t", Command{MAIL, "FROM:<a@b.example>"}, false},
		{"eHlO  client", Command{EHLO, "client"}, false},
		{"STARTTLS", Command{STARTTLS, ""}, false},
		{"STARTTLSX", Command{"", ""}, false},
		{"ETRN x", Command{"", "x"}, false},
		{"", Command{}, false},
		{" NOOP", Command{"", "NOOP"}, false},
		{"NOOP\x00", Command{}, true},
		{"NOOP\r", Command{}, true},
		{"MAIL FROM:<\xff>", Command{}, true},
		{"MAIL FROM:<ü\xc3>", Command{}, true},
		{"MAIL FROM:<\u0085@x>", Command{}, true},
		{"MAIL FROM:<ü@x>", Command{MAIL, "FROM:<ü@x>"}, false},
		{"NOOP \x1b[2J", Command{}, true},
	}
	for _, test := range tests {
		got, err := ParseCommand([]byte(test.line))
		if got != test.want || (err != nil) != test.bad {
			t.Errorf("ParseCommand(%q) = %+v, %v", test.line, got, err)
		}
	}
}

func TestParseHelo(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"client.example": true, "[192.0.2.1]": true, "under_score": true, strings.Repeat("a", 255): true,
		"": false, "two words": false, strings.Repeat("a", 256): false, "ü": false, "tab\tbed": false,
	} {
		if _, err := ParseHelo(text); (err == nil) != ok {
			t.Errorf("ParseHelo(%q): %v", text, err)
		}
	}
}

func TestMendHello(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"EHLO client.example": "EHLO client.example", "ehlo  MacBook Pro \t": "ehlo MacBook-Pro",
		"HELO Jürgens-PC": "HELO J--rgens-PC", "EHLO \xcf\xca": "EHLO --", "EHLO \x1b[2J": "EHLO \x1b[2J",
		"EHLO": "EHLO", "EHLO ": "EHLO ", "LHLO a b": "LHLO a b", "MAIL FROM:<ü@x>": "MAIL FROM:<ü@x>", "": "",
	} {
		if got := string(MendHello([]byte(line))); got != want {
			t.Errorf("MendHello(%q) = %q, not %q", line, got, want)
		}
	}
}

// code is what the error answers, "" for none.
func code(err error) string {
	if err == nil {
		return ""
	}
	var st mail.Status
	if !errors.As(err, &st) {
		return "no status: " + err.Error()
	}
	return fmt.Sprintf("%d %s", st.Code, st.Enhanced)
}

func TestParseMail(t *testing.T) {
	t.Parallel()
	at := mail.MustAddress
	tests := []struct {
		args string
		want MailFrom
		code string
	}{
		{"FROM:<>", MailFrom{}, ""},
		{"from:<a@b.example>", MailFrom{From: at("a@b.example")}, ""},
		{"FROM: <a@b.example>", MailFrom{From: at("a@b.example")}, ""},
		{"FROM:<a@b.example>  SIZE=12  BODY=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb AUTH=<>",
			MailFrom{From: at("a@b.example"), Size: 12, Body: mail.Body8Bit, UTF8: true, Ret: "HDRS", EnvelopeID: "a+b", Auth: "<>"}, ""},
		{"FROM:<a@b.example> AUTH=c+3Dd@e.example", MailFrom{From: at("a@b.example"), Auth: "c=d@e.example"}, ""},
		{`FROM:<"a> b\"@"@b.example> BODY=7BIT`, MailFrom{From: at(`"a> b\"@"@b.example`), Body: mail.Body7Bit}, ""},
		{"FROM:<ü@b.example> SMTPUTF8", MailFrom{From: at("ü@b.example"), UTF8: true}, ""},
		{"FROM:<a@bücher.example> SMTPUTF8", MailFrom{From: at("a@xn--bcher-kva.example"), UTF8: true}, ""},
		{"FROM:<a@b.example> SIZE=9223372036854775807", MailFrom{From: at("a@b.example"), Size: 1<<63 - 1}, ""},
		{"FROM:<a@b.example> BODY=BINARYMIME", MailFrom{From: at("a@b.example"), Body: mail.BodyBinary}, ""},
		{"FROM:<a@b.example> MT-PRIORITY=-9 HOLDFOR=3600 BY=+60;rt",
			MailFrom{From: at("a@b.example"), Priority: -9, HoldFor: time.Hour, By: By{60, ByReturn, true}}, ""},
		{"FROM:<a@b.example> MT-PRIORITY=3 HOLDUNTIL=2026-07-01t12:00:00+02:00 BY=-5;N",
			MailFrom{From: at("a@b.example"), Priority: 3, HoldUntil: time.Date(2026, 7, 1, 10, 0, 0, 0, time.UTC), By: By{-5, ByNotify, false}}, ""},
		{"FROM:<a@b.example> MT-PRIORITY=10", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> MT-PRIORITY=+3", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> HOLDFOR=0", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> HOLDFOR=1000000000", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> HOLDUNTIL=tomorrow", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> HOLDFOR=1 HOLDUNTIL=2026-07-01T12:00:00Z", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> HOLDUNTIL=2026-07-01T12:00:00Z HOLDFOR=1", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> BY=0;R", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> BY=60;", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> BY=60;X", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> BY=1234567890;N", MailFrom{}, "501 5.5.4"},

		{"", MailFrom{}, "501 5.5.4"},
		{"<a@b.example>", MailFrom{}, "501 5.5.4"},
		{"FROM:a@b.example", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example>SIZE=1", MailFrom{}, "501 5.5.4"},
		{`FROM:<"a@b.example>`, MailFrom{}, "501 5.5.4"},
		{"FROM:<a>", MailFrom{}, "501 5.1.7"},
		{"FROM:<@x,@y:a@b.example>", MailFrom{}, "553 5.1.7"},
		{"FROM:<a@b..example>", MailFrom{}, "501 5.1.7"},
		{"FROM:<a@b.example.>", MailFrom{}, "501 5.1.7"},
		{"FROM:<ü@b.example>", MailFrom{}, "553 5.6.7"},
		{"FROM:<a@bücher.example>", MailFrom{}, "553 5.6.7"},
		{"FROM:<a@[IPv6:::]>", MailFrom{From: at("a@[IPv6:::]")}, ""},
		{"FROM:<" + strings.Repeat("a", 65) + "@b.example>", MailFrom{}, "501 5.1.7"},
		{"FROM:<a@b.example> SIZE", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> SIZE=", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> SIZE=-1", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> SIZE=+1", MailFrom{}, "501 5.5.4"},
		{`FROM:<a@b.example> SIZE="1"`, MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> SIZE=18446744073709551616", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> SIZE=1 size=2", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> BODY=9BIT", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> SMTPUTF8=yes", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> RET=BODY", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> ENVID=a+0D+0Ab", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> ENVID=a=b", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> ENVID=" + strings.Repeat("a", 101), MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> AUTH=nobody", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> -X=1", MailFrom{}, "501 5.5.4"},
		{"FROM:<a@b.example> X-Y=1", MailFrom{}, "555 5.5.4"},
	}
	for _, test := range tests {
		got, err := ParseMail(test.args)
		if code(err) != test.code || err == nil && got != test.want {
			t.Errorf("ParseMail(%q) = %+v, %v; want %+v, %q", test.args, got, err, test.want, test.code)
		}
		if err == nil {
			again, err := ParseMail(strings.TrimPrefix(string(got.Append(nil)), "MAIL "))
			if err != nil || again != got {
				t.Errorf("written as %q it reads %+v, %v", got.Append(nil), again, err)
			}
		}
	}
}

func TestParseRcpt(t *testing.T) {
	t.Parallel()
	at := mail.MustAddress
	long := strings.Repeat("a", 64) + "@" + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 53) + ".example"
	tests := []struct {
		args string
		utf8 bool
		want mail.Recipient
		code string
	}{
		{"TO:<a@b.example>", false, mail.Recipient{Address: at("a@b.example")}, ""},
		{"TO:<PostMaster>", false, mail.Recipient{Address: mail.Address{Local: "PostMaster"}}, ""},
		{"TO:<a@b.example> NOTIFY=success,DELAY ORCPT=rfc822;a+2Bc@d.example", false,
			mail.Recipient{Address: at("a@b.example"), Notify: mail.NotifySuccess | mail.NotifyDelay, Original: "rfc822;a+c@d.example"}, ""},
		{"TO:<a@b.example> NOTIFY=NEVER", false, mail.Recipient{Address: at("a@b.example"), Notify: mail.NotifyNever}, ""},
		{`TO:<a@b.example> ORCPT=utf-8;\x{FC}@b.example`, false, mail.Recipient{Address: at("a@b.example"), Original: "utf-8;ü@b.example"}, ""},
		{`TO:<ü@b.example> ORCPT=rfc822;+C3+BC+2B@b.example`, true, mail.Recipient{Address: at("ü@b.example"), Original: "utf-8;ü+@b.example"}, ""}, // as Postfix writes it
		{`TO:<ü@b.example> ORCPT=utf-8;ü@b.example`, true, mail.Recipient{Address: at("ü@b.example"), Original: "utf-8;ü@b.example"}, ""},
		{`TO:<""@b.example>`, false, mail.Recipient{Address: at(`""@b.example`)}, ""},
		{"TO:<" + long + ">", false, mail.Recipient{Address: at(long)}, ""},
		{"TO:<u%ext@b.example>", false, mail.Recipient{Address: at("u%ext@b.example")}, ""},

		{"TO:<>", false, mail.Recipient{}, "501 5.1.3"},
		{"TO:<a" + long + ">", false, mail.Recipient{}, "501 5.1.3"},
		{"TO:<x" + strings.Replace(long, "@", "@x", 1) + ">", false, mail.Recipient{}, "501 5.1.3"},
		{`TO:<"a\"@b.example>`, false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<@a,@b:u@ext.example>", false, mail.Recipient{}, "553 5.1.3"},
		{"TO:<u@ext@b.example>", false, mail.Recipient{}, "501 5.1.3"},
		{"TO:<u@ext.>", false, mail.Recipient{}, "501 5.1.3"},
		{"TO:<u>", false, mail.Recipient{}, "501 5.1.3"},
		{"TO:<ü@b.example>", false, mail.Recipient{}, "553 5.6.7"},
		{"TO:<a@b.example> ORCPT=utf-8;ü@b.example", false, mail.Recipient{}, "553 5.6.7"},
		{"TO:<a@b.example> NOTIFY=NEVER,DELAY", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> NOTIFY=DELAY,DELAY", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> NOTIFY=SOON", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> ORCPT=a@b.example", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> ORCPT=rfc822;", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> ORCPT=rfc822;a+FCb", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> ORCPT=rfc822;a+C2+85b", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> ORCPT=rfc822;a+E2+80+A8b", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> ORCPT=x400;a+C3+BC", false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> ORCPT=rfc822;a+0Ab", false, mail.Recipient{}, "501 5.5.4"},
		{`TO:<a@b.example> ORCPT=utf-8;\x{A}b`, false, mail.Recipient{}, "501 5.5.4"},
		{`TO:<a@b.example> ORCPT=utf-8;\x{2028}b`, false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> ORCPT=rfc822;" + strings.Repeat("a", 500), false, mail.Recipient{}, "501 5.5.4"},
		{"TO:<a@b.example> RRVS=now", false, mail.Recipient{}, "555 5.5.4"},
	}
	for _, test := range tests {
		got, err := ParseRcpt(test.args, test.utf8)
		if code(err) != test.code || err == nil && got != test.want {
			t.Errorf("ParseRcpt(%q) = %+v, %v; want %+v, %q", test.args, got, err, test.want, test.code)
		}
		if err == nil {
			again, err := ParseRcpt(strings.TrimPrefix(string(AppendRcpt(nil, got)), "RCPT "), true)
			if err != nil || again != got {
				t.Errorf("written as %q it reads %+v, %v", AppendRcpt(nil, got), again, err)
			}
		}
	}
}

func TestXtext(t *testing.T) {
	t.Parallel()
	for plain, encoded := range map[string]string{
		"bob@example.org": "bob@example.org", "a+b=c d": "a+2Bb+3Dc+20d", "": "",
	} {
		if got := EncodeXtext(plain); got != encoded {
			t.Errorf("EncodeXtext(%q) = %q", plain, got)
		}
		if got, err := DecodeXtext(encoded); got != plain || err != nil {
			t.Errorf("DecodeXtext(%q) = %q, %v", encoded, got, err)
		}
	}
	for _, bad := range []string{"+", "+2", "+GG", "a b", "a=b", "+0A", "+7F", "+80", "ü", "\x00"} {
		if got, err := DecodeXtext(bad); err == nil {
			t.Errorf("DecodeXtext(%q) = %q", bad, got)
		}
	}
	for plain, encoded := range map[string]string{
		"ü+=\\ a@b": `\x{FC}\x{2B}\x{3D}\x{5C}\x{20}a@b`, "𝄞": `\x{1D11E}`,
	} {
		if got := EncodeUTF8Xtext(plain); got != encoded {
			t.Errorf("EncodeUTF8Xtext(%q) = %q", plain, got)
		}
		if got, err := DecodeUTF8Xtext(encoded); got != plain || err != nil {
			t.Errorf("DecodeUTF8Xtext(%q) = %q, %v", encoded, got, err)
		}
	}
	for _, bad := range []string{`\`, `\x`, `\x{`, `\x{}`, `\x{0}`, `\x{D800}`, `\x{110000}`, `\x{0000041}`, `\u{41}`, `\x{85}`, "\xff", "+C3+BC"} {
		if got, err := DecodeUTF8Xtext(bad); err == nil {
			t.Errorf("DecodeUTF8Xtext(%q) = %q", bad, got)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{
		"MAIL FROM:<a@b.example> SIZE=1 BODY=8BITMIME", `RCPT TO:<"a\" b"@b.example> ORCPT=utf-8;\x{FC}@b`,
		"RCPT TO:<@a,@b:u@ext>", "MAIL FROM:<ü@bücher.example> SMTPUTF8 ENVID=+41", "BDAT 5 LAST", "NOOP\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		cmd, err := ParseCommand(line)
		if err != nil {
			code(err)
			return
		}
		switch cmd.Verb {
		case MAIL:
			got, err := ParseMail(cmd.Args)
			if err != nil {
				break
			}
			text := got.Append(nil)
			if !printable(text) {
				t.Fatalf("%q is written with control characters: %q", line, text)
			}
			again, err := ParseMail(string(text[5:]))
			if err != nil || again != got {
				t.Fatalf("%q reads %+v, written %q, read %+v, %v", line, got, text, again, err)
			}
		case RCPT:
			got, err := ParseRcpt(cmd.Args, true)
			if err != nil {
				break
			}
			text := AppendRcpt(nil, got)
			again, err := ParseRcpt(string(text[5:]), true)
			if err != nil || again != got {
				t.Fatalf("%q reads %+v, written %q, read %+v, %v", line, got, text, again, err)
			}
		}
	})
}

func FuzzXtext(f *testing.F) {
	f.Add("a+b=c d")
	f.Add(`\x{FC}`)
	f.Add("ü")
	f.Fuzz(func(t *testing.T, text string) {
		if plain, err := DecodeXtext(text); err == nil {
			if again, err := DecodeXtext(EncodeXtext(plain)); err != nil || again != plain {
				t.Fatalf("%q: %q, %v", plain, again, err)
			}
		}
		if plain, err := DecodeUTF8Xtext(text); err == nil {
			if again, err := DecodeUTF8Xtext(EncodeUTF8Xtext(plain)); err != nil || again != plain {
				t.Fatalf("%q: %q, %v", plain, again, err)
			}
		}
	})
}
