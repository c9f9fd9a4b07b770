// Package failrpt writes reports of single messages that failed authentication, and
// hides in them what is nobody's business but ours. It sends nothing.
//
// RFC 9991 (for DMARC), RFC 6591 (auth-failure), RFC 5965 (the format), RFC 6590
// (redaction), RFC 6692 (Source-Port), RFC 6522 (multipart/report).
package failrpt

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
)

// The kinds of failure, RFC 6591 section 3.3 and RFC 9991.
const (
	DMARC     = "dmarc"
	Signature = "signature"
	SPF       = "spf"
)

// What became of the message, RFC 6591 section 3.2.2.
const (
	Delivered = "delivered"
	Spam      = "spam"
	Reject    = "reject"
)

// Report is what is told of one message.
type Report struct {
	UserAgent string
	Failure   string // a kind
	Delivery  string
	MailFrom  string // the reverse-path without brackets
	Arrival   time.Time
	Source    netip.AddrPort
	Domain    string   // of the author
	Results   string   // as Authentication-Results has them, with our name
	Unaligned []string // mechanisms that do not speak for the author
	Signed    *Signed  // a signature that failed; nil for none
	Records   []Record // of SPF, as they were found
	Incidents int      // how many messages it stands for
	Header    []byte   // of the message, as it came
}

// Signed is a signature of DKIM.
type Signed struct{ Domain, Identity, Selector string }

// Record is an SPF record.
type Record struct{ Domain, Text string }

// Letter is what a report's mail says beside the report.
type Letter struct {
	From, To  mail.Address
	Submitter string // our name
	Date      time.Time
	MessageID string // without angle brackets
}

// Message writes the mail that carries a report, RFC 5965 section 2. Of the message it
// has the header and never the body.
func (r *Report) Message(l Letter) []byte {
	part := func(typ string) []message.Field { return []message.Field{{Name: "Content-Type", Value: typ}} }
	return message.Compose(&message.Entity{
		Header: []message.Field{
			{Name: "From", Value: message.FormatAddress("", l.From.String(), false)},
			{Name: "To", Value: message.FormatAddress("", l.To.String(), false)},
			{Name: "Date", Value: l.Date.Format(time.RFC1123Z)},
			{Name: "Message-ID", Value: "<" + l.MessageID + ">"},
			{Name: "Subject", Value: fmt.Sprintf("DMARC failure report for %s from %s", r.Domain, l.Submitter)},
			{Name: "Auto-Submitted", Value: "auto-generated"},
			{Name: "Content-Type", Value: "multipart/report; report-type=feedback-report"},
		},
		Parts: []message.Entity{
			{Header: part("text/plain; charset=utf-8"), Text: r.words(l.Submitter)},
			{Header: part("message/feedback-report"), Raw: r.fields()},
			{Header: part("text/rfc822-headers"), Text: string(r.Header)},
		},
	}, message.Allow{})
}

func (r *Report) words(by string) string {
	text := fmt.Sprintf("A message in the name of %s came to %s from %s at\n%s and failed its checks (%s).\n", r.Domain, by, r.Source.Addr(), r.Arrival.Format(time.RFC1123Z), r.Failure)
	if r.Incidents > 1 {
		text += fmt.Sprintf("%d messages more that failed are not reported one by one.\n", r.Incidents-1)
	}
	return text + "\nThis is what the DMARC record of the domain asks for (ruf). Of the message its header is\nattached, in which addresses may be made unknowable.\n"
}

// fields are those for machines, RFC 6591 section 3.1.
func (r *Report) fields() []byte {
	var out []byte
	add := func(name, value string) {
		if value != "" {
			out = message.AppendField(out, name, strings.Join(strings.Fields(value), " "), false)
		}
	}
	add("Feedback-Type", "auth-failure")
	add("User-Agent", r.UserAgent)
	add("Version", "1")
	add("Original-Mail-From", "<"+r.MailFrom+">")
	add("Arrival-Date", r.Arrival.Format(time.RFC1123Z))
	add("Source-IP", r.Source.Addr().Unmap().WithZone("").String())
	if port := r.Source.Port(); port != 0 {
		add("Source-Port", strconv.Itoa(int(port)))
	}
	add("Reported-Domain", r.Domain)
	add("Authentication-Results", r.Results)
	add("Auth-Failure", r.Failure)
	add("Delivery-Result", r.Delivery)
	aligned := "none"
	if len(r.Unaligned) > 0 {
		aligned = strings.Join(r.Unaligned, ",")
	}
	add("Identity-Alignment", aligned)
	if s := r.Signed; s != nil {
		add("DKIM-Domain", s.Domain)
		add("DKIM-Identity", s.Identity)
		add("DKIM-Selector", s.Selector)
	}
	for _, x := range r.Records {
		add("SPF-DNS", fmt.Sprintf("txt : %s : \"%s\"", x.Domain, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(x.Text)))
	}
	if r.Incidents > 1 {
		add("Incidents", strconv.Itoa(r.Incidents))
	}
	return out
}
