package tlsrpt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
)

// Letter is what a report's mail says beside the report.
type Letter struct {
	From, To  mail.Address
	Submitter string // our domain
	Domain    string // the policy domain
	Date      time.Time
	MessageID string // without angle brackets
}

// Message writes the mail that carries a report, RFC 8460 section 5.3.
func (r *Report) Message(l Letter) ([]byte, error) {
	packed, err := r.Gzip()
	if err != nil {
		return nil, err
	}
	name := r.FileName(l.Submitter, l.Domain)
	day := r.Range.Start.UTC().Format(time.DateOnly)
	return message.Compose(&message.Entity{
		Header: []message.Field{
			{Name: "From", Value: message.FormatAddress("", l.From.String(), false)},
			{Name: "To", Value: message.FormatAddress("", l.To.String(), false)},
			{Name: "Date", Value: l.Date.Format(time.RFC1123Z)},
			{Name: "Message-ID", Value: "<" + l.MessageID + ">"},
			{Name: "Subject", Value: fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", l.Domain, l.Submitter, r.ID)},
			{Name: "TLS-Report-Domain", Value: l.Domain},
			{Name: "TLS-Report-Submitter", Value: l.Submitter},
			{Name: "TLS-Required", Value: "No"}, // RFC 8460 section 3: what fails must not keep the report of it
			{Name: "Auto-Submitted", Value: "auto-generated"},
			{Name: "Content-Type", Value: "multipart/report; report-type=\"tlsrpt\""},
		},
		Parts: []message.Entity{
			{Text: fmt.Sprintf("This is a report of how %s reached the mail hosts of %s by TLS\non %s (UTC), as RFC 8460 describes it.\n", l.Submitter, l.Domain, day)},
			{
				Header: []message.Field{
					{Name: "Content-Type", Value: "application/tlsrpt+gzip" + message.FormatParam("name", name)},
					{Name: "Content-Disposition", Value: "attachment" + message.FormatParam("filename", name)},
				},
				Data: packed,
			},
		},
	}, message.Allow{}), nil
}

// ErrNoReport says that a message carries no report.
var ErrNoReport = errors.New("no TLS report in this message")

// Read finds the report in what people have of one: a mail that carries it, or
// its file, packed or not.
func Read(in io.Reader) (*Report, error) {
	text, err := io.ReadAll(io.LimitReader(in, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("the file has more than %d octets", MaxSize)
	}
	if start := bytes.TrimLeft(text, " \t\r\n\ufeff"); len(start) > 0 && (start[0] == '{' || bytes.HasPrefix(text, []byte{0x1f, 0x8b})) {
		if start[0] == '{' {
			text = start
		}
		return Parse(bytes.NewReader(text))
	}
	m, err := message.Parse(bytes.NewReader(text), message.Limits{})
	if err != nil {
		return nil, err
	}
	var found *message.Part
	m.Walk(func(part *message.Part) bool {
		if carries(part) {
			found = part
		}
		return found == nil
	})
	if found != nil {
		body := io.NewSectionReader(bytes.NewReader(text), found.Body, found.Size())
		return Parse(message.DecodeBody(body, found.Encoding))
	}
	return nil, ErrNoReport
}

// carries says whether a part is a report. Some send one as any packed file.
func carries(p *message.Part) bool {
	switch p.Type + "/" + p.Subtype {
	case "application/tlsrpt+gzip", "application/tlsrpt+json", "application/gzip", "application/x-gzip", "application/json":
		return true
	}
	return false
}
