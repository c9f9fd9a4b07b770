// Package dsn writes and reads delivery status notifications: the report that
// programs read, and the message that carries it to people.
//
// RFC 3464 (delivery status), RFC 6522 (multipart/report), RFC 6533 (addresses
// and messages in UTF-8), RFC 3461 section 6 (what goes into a report).
package dsn

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"plic/internal/mail"
	"plic/internal/message"
)

// Action is what was done about a recipient, RFC 3464 section 2.3.3.
type Action string

// The actions.
const (
	Failed    Action = "failed"
	Delayed   Action = "delayed"
	Delivered Action = "delivered"
	Relayed   Action = "relayed"
	Expanded  Action = "expanded"
)

// Report is what a delivery status says of one message.
type Report struct {
	EnvelopeID   string // ENVID decoded, "" if the sender gave none
	ReportingMTA string // domain name
	ReceivedFrom string // name of the client that it came from, "" if it is not told
	MessageID    string // our own name of the message, in X-Plic-Message
	Arrival      time.Time
	DeliverBy    time.Time // when its sender wanted it to be there, RFC 2852
	Recipients   []Recipient
}

// Recipient is what became of one recipient.
type Recipient struct {
	Original    Address // as the sender wrote it, the zero value if that is not known
	Final       Address
	Action      Action
	Status      mail.Enhanced
	RemoteMTA   string // domain name of the host that said it, "" if none did
	Diagnostic  string // the reply, "550 5.1.1 no such user"
	LastAttempt time.Time
	RetryUntil  time.Time // of Delayed
}

// Address is an address with its type: "rfc822", or "utf-8" (RFC 6533).
type Address struct{ Type, Text string }

// AddressOf gives an address its type.
func AddressOf(a mail.Address) Address {
	if a.NeedsUTF8() {
		return Address{"utf-8", a.String()}
	}
	return Address{"rfc822", a.String()}
}

// ParseOriginal reads an ORCPT parameter, already decoded: "type;address".
func ParseOriginal(text string) Address {
	kind, address, ok := strings.Cut(text, ";")
	kind = strings.ToLower(strings.TrimSpace(kind))
	if !ok || strings.ContainsFunc(kind, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return Address{}
	}
	return Address{kind, strings.TrimSpace(address)}
}

// String is the form of RFC 3464 section 2.1.2 in ASCII; UTF-8 is escaped as
// RFC 6533 section 3 has it.
func (a Address) String() string { return a.format(false) }

func (a Address) format(utf8Allowed bool) string {
	if a.Type == "utf-8" && !utf8Allowed {
		return a.Type + "; " + escape(a.Text)
	}
	return a.Type + "; " + a.Text
}

// escape writes an address as utf-8-addr-xtext, RFC 6533 section 3.
func escape(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r > ' ' && r < 0x7f && r != '\\' && r != '+' && r != '=' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}

// Append writes the fields of message/delivery-status; with utf8Allowed those
// of message/global-delivery-status.
func (r *Report) Append(dst []byte, utf8Allowed bool) []byte {
	field := func(name, value string) {
		if value != "" {
			dst = message.AppendStructured(dst, name, value, utf8Allowed)
		}
	}
	field("Original-Envelope-Id", r.EnvelopeID)
	field("Reporting-MTA", prefixed("dns; ", r.ReportingMTA))
	field("Received-From-MTA", prefixed("dns; ", r.ReceivedFrom))
	field("Arrival-Date", date(r.Arrival))
	field("Deliver-By-Date", date(r.DeliverBy))
	field("X-Plic-Message", r.MessageID)
	for _, rcpt := range r.Recipients {
		dst = append(dst, "\r\n"...)
		if rcpt.Original.Type != "" {
			field("Original-Recipient", rcpt.Original.format(utf8Allowed))
		}
		field("Final-Recipient", rcpt.Final.format(utf8Allowed))
		field("Action", string(rcpt.Action))
		field("Status", rcpt.Status.String())
		field("Remote-MTA", prefixed("dns; ", rcpt.RemoteMTA))
		kind := "smtp; "
		if rcpt.RemoteMTA == "" { // nobody else's words: RFC 3464 section 2.3.6
			kind = "X-Plic; "
		}
		field("Diagnostic-Code", prefixed(kind, rcpt.Diagnostic))
		field("Last-Attempt-Date", date(rcpt.LastAttempt))
		field("Will-Retry-Until", date(rcpt.RetryUntil))
	}
	return dst
}

func prefixed(prefix, value string) string {
	if value == "" {
		return ""
	}
	return prefix + value
}

func date(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.Format("Mon, 02 Jan 2006 15:04:05 -0700")
}

// Notice is a whole notification.
type Notice struct {
	Header   []message.Field // of the message, without those of MIME
	Text     string          // for people
	Report   *Report         // for programs
	Original []byte          // the message returned, or its header; nil for none
	Full     bool            // Original is a whole message with CRLF line ends
	UTF8     bool            // the original had SMTPUTF8: its sender reads RFC 6533
}

// Compose writes the notification as a multipart/report, RFC 6522 section 3, in
// seven bits if it can be: a report has no sender to tell that it cannot pass.
func (n *Notice) Compose() []byte {
	status, whole, headers := "message/delivery-status", "message/rfc822", "text/rfc822-headers"
	if n.UTF8 { // RFC 6533 sections 4 to 6
		status, whole, headers = "message/global-delivery-status", "message/global", "message/global-headers"
	}
	part := func(typ, description string) []message.Field {
		return []message.Field{{Name: "Content-Description", Value: description}, {Name: "Content-Type", Value: typ}}
	}
	parts := []message.Entity{
		{Header: part("text/plain; charset=utf-8", "Notification"), Text: n.Text},
		{Header: part(status, "Delivery report"), Raw: n.Report.Append([]byte{}, n.UTF8)},
	}
	switch {
	case n.Original == nil:
	case n.Full:
		parts = append(parts, message.Entity{Header: part(whole, "Undelivered message"), Raw: n.Original})
	default:
		parts = append(parts, message.Entity{Header: part(headers, "Header of the message"), Text: string(n.Original)})
	}
	header := append(n.Header[:len(n.Header):len(n.Header)], message.Field{
		Name: "Content-Type", Value: "multipart/report; report-type=delivery-status",
	})
	utf8Header, eightBit := false, n.UTF8
	if n.Full && !isASCII(string(n.Original)) { // a message in a message cannot be encoded
		eightBit = true
	}
	for _, f := range n.Header {
		if f.Name == "To" && !isASCII(f.Value) { // an address that has no other form
			utf8Header = true
		}
	}
	return message.Compose(&message.Entity{Header: header, Parts: parts}, message.Allow{UTF8: utf8Header, EightBit: eightBit})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
