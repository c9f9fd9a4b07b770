package journal

import (
	"log/slog"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"plic/internal/mail"
)

// The kinds of event.
const (
	Connect    = "connect"
	Disconnect = "disconnect"
	TLS        = "tls"
	Auth       = "auth"      // somebody logged in
	AuthFail   = "auth-fail" // or did not
	Mail       = "mail"
	Rcpt       = "rcpt"
	Reject     = "reject"  // refused in the session, with Status and Reason
	Accept     = "accept"  // we answer for the message from here on
	Deliver    = "deliver" // it is in Mailbox as UID
	Queue      = "queue"   // it is in the queue
	Attempt    = "attempt" // of the queue, to Host
	Defer      = "defer"
	Bounce     = "bounce"
	Delay      = "delay" // the sender was told of a delay
	Expire     = "expire"
	Relayed    = "relayed" // Host has taken it
	Hold       = "hold"
	Redirect   = "redirect" // sent on by the filter of an account
	Onward     = "onward"   // how it is sent on, by the DMARC policy of its author's domain
	Discard    = "discard"  // thrown away, as a table wants it
	Rule       = "rule"     // a header rule had something to say
	Sender     = "sender"   // what was found of who sent it
	Spam       = "spam"     // what its score is, and why
	Reroute    = "reroute"
	Remove     = "remove"
	Read       = "read" // a mail reader's session
	Panic      = "panic"
	Error      = "error"
)

// Event is one thing that happened. Only Kind is needed; the time is set when
// it is zero. It must hold no secrets.
type Event struct {
	Time      time.Time     `json:"time"`
	Kind      string        `json:"kind"`
	Service   string        `json:"service,omitempty"` // "smtp", "imap", "queue"…
	Conn      mail.ID       `json:"conn,omitzero"`
	Message   mail.ID       `json:"message,omitzero"`
	MessageID string        `json:"messageid,omitempty"` // the header field
	From      string        `json:"from,omitempty"`
	To        []string      `json:"to,omitempty"`
	Remote    string        `json:"remote,omitempty"`
	Name      string        `json:"name,omitempty"` // reverse name
	Helo      string        `json:"helo,omitempty"`
	TLS       string        `json:"tls,omitempty"`
	Account   string        `json:"account,omitempty"`
	Policy    string        `json:"policy,omitempty"` // of TLS, that held for Host
	Status    string        `json:"status,omitempty"` // what the peer was told, or told us
	Fault     mail.Fault    `json:"fault,omitempty"`  // what the trouble is about
	Reason    string        `json:"reason,omitempty"` // what only we know
	Host      string        `json:"host,omitempty"`   // where it went
	Mailbox   string        `json:"mailbox,omitempty"`
	UID       uint32        `json:"uid,omitempty"`
	Size      int64         `json:"size,omitempty"`
	Attempt   int           `json:"attempt,omitempty"`
	Action    string        `json:"action,omitempty"` // what Found leads to
	Found     []string      `json:"found,omitempty"`  // for a replay: of Sender and Spam
	Took      time.Duration `json:"took,omitempty"`   // nanoseconds
}

// maxText is how much of a text is kept, in octets; enough for any address.
const maxText = 1024

// maxTo is how many recipients, or findings, are kept of one event.
const maxTo = 1000

// append adds the event as one line of JSON without its line end. It gives
// what encoding/json would, at a tenth of the cost, and escapes all that is
// not for the eye: a line of the journal can be shown on a terminal.
func (e *Event) append(b []byte) []byte {
	b = append(b, `{"time":"`...)
	b = e.Time.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","kind":`...)
	b = appendText(b, e.Kind)
	b = appendField(b, "service", e.Service)
	b = appendID(b, "conn", e.Conn)
	b = appendID(b, "message", e.Message)
	b = appendField(b, "messageid", e.MessageID)
	b = appendField(b, "from", e.From)
	b = appendList(b, "to", e.To)
	b = appendField(b, "remote", e.Remote)
	b = appendField(b, "name", e.Name)
	b = appendField(b, "helo", e.Helo)
	b = appendField(b, "tls", e.TLS)
	b = appendField(b, "account", e.Account)
	b = appendField(b, "policy", e.Policy)
	b = appendField(b, "status", e.Status)
	b = appendField(b, "fault", string(e.Fault))
	b = appendField(b, "reason", e.Reason)
	b = appendField(b, "host", e.Host)
	b = appendField(b, "mailbox", e.Mailbox)
	b = appendNumber(b, "uid", int64(e.UID))
	b = appendNumber(b, "size", e.Size)
	b = appendNumber(b, "attempt", int64(e.Attempt))
	b = appendField(b, "action", e.Action)
	b = appendList(b, "found", e.Found)
	b = appendNumber(b, "took", int64(e.Took))
	return append(b, '}')
}

func appendKey(b []byte, key string) []byte {
	b = append(b, ',', '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

func appendField(b []byte, key, text string) []byte {
	if text == "" {
		return b
	}
	return appendText(appendKey(b, key), text)
}

func appendList(b []byte, key string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(appendKey(b, key), '[')
	for i, text := range list[:min(len(list), maxTo)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, text)
	}
	return append(b, ']')
}

func appendID(b []byte, key string, id mail.ID) []byte {
	if id.IsZero() {
		return b
	}
	return appendText(appendKey(b, key), id.String())
}

func appendNumber(b []byte, key string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), n, 10)
}

// appendText adds a JSON string of visible characters only.
func appendText(b []byte, text string) []byte {
	if len(text) > maxText {
		text = text[:maxText]
		for i := 0; i < utf8.UTFMax && !utf8.RuneStart(text[len(text)-1]); i++ {
			text = text[:len(text)-1]
		}
		if r, size := utf8.DecodeLastRuneInString(text); r == utf8.RuneError && size <= 1 {
			text = text[:len(text)-1] // the cut went through a character
		}
	}
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
				b = appendEscape(append(b, text[start:i]...), rune(c))
				start = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			b = appendEscape(append(b, text[start:i]...), r)
			start = i + size
		}
		i += size
	}
	return append(append(b, text[start:]...), '"')
}

func appendEscape(b []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case r > 0xffff: // as a surrogate pair, RFC 8259 section 7
		r -= 0x10000
		return appendEscape(appendEscape(b, 0xd800|r>>10), 0xdc00|r&0x3ff)
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// levelOf: what becomes of mail is worth a line in the log, each step of a
// session is not.
func levelOf(kind string) slog.Level {
	switch kind {
	case Connect, Disconnect, TLS, Auth, Mail, Rcpt, Attempt, Read:
		return slog.LevelDebug
	case Panic, Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (e *Event) attrs() []slog.Attr {
	attrs := make([]slog.Attr, 0, 12)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	id := func(key string, id mail.ID) {
		if !id.IsZero() {
			attrs = append(attrs, slog.String(key, id.String()))
		}
	}
	number := func(key string, n int64) {
		if n != 0 {
			attrs = append(attrs, slog.Int64(key, n))
		}
	}
	text("service", e.Service)
	id("conn", e.Conn)
	id("message", e.Message)
	text("messageid", e.MessageID)
	text("from", e.From)
	if len(e.To) > 0 {
		attrs = append(attrs, slog.Any("to", e.To))
	}
	text("remote", e.Remote)
	text("name", e.Name)
	text("helo", e.Helo)
	text("tls", e.TLS)
	text("account", e.Account)
	text("status", e.Status)
	text("reason", e.Reason)
	text("host", e.Host)
	text("mailbox", e.Mailbox)
	number("uid", int64(e.UID))
	number("size", e.Size)
	number("attempt", int64(e.Attempt))
	if e.Took != 0 {
		attrs = append(attrs, slog.Duration("took", e.Took))
	}
	return attrs
}
