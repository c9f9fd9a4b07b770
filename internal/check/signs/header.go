package signs

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"plic/internal/content"
	"plic/internal/mail"
	"plic/internal/message"
)

// once are the fields that a header has once at most, RFC 5322 section 3.6, with
// those of RFC 2045.
func once() []string {
	return []string{"from", "sender", "reply-to", "to", "cc", "message-id", "date", "subject", "in-reply-to", "references",
		"mime-version", "content-type", "content-transfer-encoding"}
}

// header looks at what RFC 5322 wants of a header.
func (l *look) header() {
	for _, name := range once() {
		if n := len(l.fields[name]); n > 1 {
			l.hit("TWICE", fmt.Sprintf("%d %s fields", n, name))
		}
	}
	l.date()
	switch id := l.first("message-id"); {
	case !l.has("message-id"):
		l.hit("NO_MESSAGE_ID", "")
	case len(message.MessageIDs(id)) != 1 || !strings.Contains(id, "@"):
		l.hit("BAD_MESSAGE_ID", id)
	}
	l.when(!l.has("to") && !l.has("cc"), "NO_TO", "")
	if p := strings.ToLower(l.first("precedence")); (p == "bulk" || p == "junk") && !l.has("list-unsubscribe") && !l.has("auto-submitted") {
		l.hit("BULK_NO_WAY_OUT", "Precedence: "+p)
	}
	for _, name := range []string{"x-php-originating-script", "x-php-script", "x-source-args"} {
		l.when(l.has(name), "BY_SCRIPT", l.first(name))
	}
	if len(l.authors) == 0 || !likely(l.authors[0]) {
		l.when(!l.m.Envelope.From.IsNull(), "BAD_FROM", l.first("from"))
	}
	for _, name := range []string{"from", "to", "subject", "reply-to"} {
		l.when(!utf8.ValidString(l.first(name)), "RAW_HEADER", name)
		raw := l.first(name)
		if name != "to" && strings.Contains(raw, "=?") && ascii(message.DecodeHeader(raw)) && !strings.Contains(strings.ToLower(raw), "=?us-ascii") {
			l.hit("CODED_NEEDLESSLY", name+": "+raw)
		}
	}
	l.replies()
}

func (l *look) date() {
	text := l.first("date")
	if !l.has("date") {
		l.hit("NO_DATE", "")
		return
	}
	at, err := message.ParseDate(text)
	now := l.o.Now()
	switch {
	case err != nil:
		l.hit("BAD_DATE", text)
	case at.Sub(now) > 26*time.Hour:
		l.hit("DATE_AHEAD", text)
	case now.Sub(at) > 14*24*time.Hour:
		l.hit("DATE_OLD", text)
	}
}

// likely says that a mailbox may be one.
func likely(box message.Mailbox) bool {
	a, err := mail.ParseAddress(box.Local + "@" + box.Host)
	if err != nil {
		return false
	}
	_, literal := a.Domain.Literal()
	return literal || strings.Contains(a.Domain.String(), ".")
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}

// replies looks at where answers would go.
func (l *look) replies() {
	for _, box := range message.ParseAddressList(l.first("reply-to")) {
		if host := content.Host(box.Host); free(host) && host != content.Host(l.authorHost()) {
			l.hit("REPLY_ELSEWHERE", box.Local+"@"+box.Host)
		}
	}
}

func (l *look) authorHost() string {
	if len(l.authors) == 0 {
		return ""
	}
	return l.authors[0].Host
}

// free says that anybody gets a mailbox at a domain.
func free(host string) bool {
	switch host {
	case "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "msn.com", "yahoo.com", "yahoo.co.uk", "ymail.com",
		"aol.com", "icloud.com", "me.com", "proton.me", "protonmail.com", "gmx.com", "gmx.net", "gmx.de", "web.de", "mail.ru", "yandex.ru", "yandex.com",
		"bk.ru", "inbox.ru", "list.ru", "qq.com", "163.com", "126.com", "sina.com", "mail.com", "zoho.com", "tutanota.com", "libero.it",
		"laposte.net", "orange.fr", "free.fr", "t-online.de", "freenet.de", "wp.pl", "o2.pl", "seznam.cz", "naver.com", "rediffmail.com", "uol.com.br":
		return true
	}
	return false
}

// subject looks at how the subject is written; what it says is for those who have
// learnt it.
func (l *look) subject() {
	text := strings.TrimSpace(message.DecodeHeader(l.first("subject")))
	if text == "" {
		l.hit("NO_SUBJECT", "")
		return
	}
	upper, lower, signs := 0, 0, 0
	for _, r := range text {
		switch {
		case unicode.IsUpper(r):
			upper++
		case unicode.IsLower(r):
			lower++
		case strings.ContainsRune("!?$€£💰🎁🔥⚠", r):
			signs++
		}
	}
	l.when(upper >= 12 && lower*10 < upper, "SUBJECT_CAPITALS", text)
	l.when(signs >= 3, "SUBJECT_SHOUTS", text)
	l.when(spaced(text), "SUBJECT_SPACED", text)
	_, reply := message.BaseSubject(text)
	if reply && !l.has("in-reply-to") && !l.has("references") && !l.has("thread-index") && !strings.HasPrefix(strings.ToLower(text), "fw") {
		l.hit("FALSE_REPLY", text)
	}
}

// spaced says that a text is written like t h i s, or t.h.i.s.
func spaced(text string) bool {
	run, last := 0, false // last: a letter that stands alone came before
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '.' || r == '-' || r == '_' || r == '*' }) {
		r, n := utf8.DecodeRuneInString(word)
		if n == len(word) && unicode.IsLetter(r) && r < 0x3000 {
			if last {
				run++
			}
			last = true
			if run >= 4 {
				return true
			}
			continue
		}
		run, last = 0, false
	}
	return false
}

// trace looks at the way of the message.
func (l *look) trace() {
	all := l.fields["received"]
	if len(all) == 0 {
		l.when(!l.has("dkim-signature"), "RECEIVED_NONE", "")
		return
	}
	now := l.o.Now()
	for _, text := range all[:min(len(all), 50)] {
		fields := strings.Fields(strings.ToLower(text))
		for i, word := range fields {
			if word == "by" && i+1 < len(fields) && l.o.Host != "" && strings.TrimSuffix(fields[i+1], ";") == strings.ToLower(l.o.Host) {
				l.hit("RECEIVED_OURS", text)
			}
		}
		if i := strings.LastIndexByte(text, ';'); i >= 0 {
			if at, err := message.ParseDate(text[i+1:]); err == nil && at.Sub(now) > 26*time.Hour {
				l.hit("RECEIVED_AHEAD", text[i+1:])
			}
		}
	}
}
