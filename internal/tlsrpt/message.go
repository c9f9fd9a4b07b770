package tlsrpt

import (
	"fmt"
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
