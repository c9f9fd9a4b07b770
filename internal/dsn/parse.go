package dsn

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"plic/internal/mail"
	"plic/internal/message"
)

// maxRecipients bounds what is read of a report from a stranger.
const maxRecipients = 10000

// errNotStatus says that nothing of a report was found.
var errNotStatus = errors.New("not a delivery status: no recipient with an action")

// Part finds the delivery status of a message that is a report; nil if it is
// none.
func Part(m *message.Message) *message.Part {
	if m.Root.Type != "multipart" || m.Root.Subtype != "report" {
		return nil
	}
	for _, p := range m.Root.Children {
		if p.Type == "message" && (p.Subtype == "delivery-status" || p.Subtype == "global-delivery-status") {
			return p
		}
	}
	return nil
}

// Parse reads the body of a delivery status, RFC 3464 section 2.1, decoded. A
// group of fields that names no recipient is skipped; fields that are missing
// or broken are left zero.
func Parse(body []byte) (*Report, error) {
	r := new(Report)
	for first := true; len(body) > 0 && len(r.Recipients) < maxRecipients; first = false {
		var group fields
		group, body = cutGroup(body)
		if first {
			r.EnvelopeID = group.get("Original-Envelope-Id")
			r.ReportingMTA = group.typed("Reporting-MTA")
			r.ReceivedFrom = group.typed("Received-From-MTA")
			r.MessageID = group.get("X-Plic-Message")
			r.Arrival, _ = message.ParseDate(group.get("Arrival-Date"))
			r.DeliverBy, _ = message.ParseDate(group.get("Deliver-By-Date"))
		}
		if rcpt, ok := parseRecipient(group); ok {
			r.Recipients = append(r.Recipients, rcpt)
		}
	}
	if len(r.Recipients) == 0 {
		return nil, errNotStatus
	}
	return r, nil
}

func parseRecipient(group fields) (rcpt Recipient, ok bool) {
	rcpt = Recipient{
		Original:   parseAddress(group.get("Original-Recipient")),
		Final:      parseAddress(group.get("Final-Recipient")),
		Action:     Action(strings.ToLower(group.get("Action"))),
		Status:     parseStatus(group.get("Status")),
		RemoteMTA:  group.typed("Remote-MTA"),
		Diagnostic: group.typed("Diagnostic-Code"),
	}
	rcpt.LastAttempt, _ = message.ParseDate(group.get("Last-Attempt-Date"))
	rcpt.RetryUntil, _ = message.ParseDate(group.get("Will-Retry-Until"))
	return rcpt, rcpt.Action != "" && (rcpt.Final.Text != "" || rcpt.Original.Text != "")
}

// fields are the fields of one group; the first of a name counts.
type fields []message.Field

// cutGroup takes the fields up to the next blank line.
func cutGroup(body []byte) (group fields, rest []byte) {
	size := 0
	for name, raw := range message.Fields(body) {
		size += len(raw)
		if name != "" && len(group) < 100 {
			_, value, _ := bytes.Cut(raw, []byte{':'})
			group = append(group, message.Field{Name: name, Value: string(value)})
		}
	}
	return group, bytes.TrimLeft(body[size:], "\r\n")
}

func (f fields) get(name string) string {
	for _, field := range f {
		if strings.EqualFold(field.Name, name) {
			return field.Text()
		}
	}
	return ""
}

// typed gives the value without its type: "dns; host".
func (f fields) typed(name string) string {
	_, value, _ := strings.Cut(f.get(name), ";")
	return strings.TrimSpace(value)
}

func parseAddress(value string) Address {
	a := ParseOriginal(value)
	if a.Type == "utf-8" {
		a.Text = unescape(a.Text)
	}
	return a
}

// unescape reads utf-8-addr-xtext and utf-8-addr-unitext, RFC 6533 section 3.
// What is no escape stays.
func unescape(text string) string {
	var b strings.Builder
	for text != "" {
		before, rest, ok := strings.Cut(text, `\x{`)
		b.WriteString(before)
		if !ok {
			break
		}
		end := strings.IndexByte(rest[:min(len(rest), 8)], '}')
		code, err := strconv.ParseUint(rest[:max(end, 0)], 16, 21)
		if end < 0 || err != nil {
			b.WriteString(`\x{`)
			text = rest
			continue
		}
		b.WriteRune(rune(code))
		text = rest[end+1:]
	}
	return b.String()
}

// parseStatus reads a status code of RFC 3463, which a comment may follow.
func parseStatus(value string) (e mail.Enhanced) {
	value, _, _ = strings.Cut(value, " ")
	value, _, _ = strings.Cut(value, "(")
	digits := strings.SplitN(value, ".", 3)
	if len(digits) != 3 {
		return mail.Enhanced{}
	}
	for i, d := range digits {
		n, err := strconv.ParseUint(strings.TrimSpace(d), 10, 16)
		if err != nil || n > 999 {
			return mail.Enhanced{}
		}
		e[i] = uint16(n)
	}
	return e
}
