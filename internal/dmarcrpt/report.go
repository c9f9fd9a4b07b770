// Package dmarcrpt reads and writes aggregate reports of DMARC, and the mail that
// carries one. It sends nothing.
//
// RFC 9990 (and RFC 7489 appendix C, whose form most reports have).
package dmarcrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/wrapped"
)

// MaxSize bounds a report once it is unpacked, and MaxRecords its records.
const (
	MaxSize    = 10 << 20
	MaxRecords = 50000
)

// Report is what one receiver saw of one domain in one span of time.
type Report struct {
	XMLName  xml.Name `xml:"feedback" json:"-"`
	Version  string   `xml:"version,omitempty" json:"version,omitempty"`
	Metadata Metadata `xml:"report_metadata" json:"metadata"`
	Policy   Policy   `xml:"policy_published" json:"policy"`
	Records  []Record `xml:"record" json:"records"`
}

// Metadata says whose report it is, and of which time.
type Metadata struct {
	Organization string   `xml:"org_name" json:"organization"`
	Email        string   `xml:"email" json:"email"`
	Contact      string   `xml:"extra_contact_info,omitempty" json:"contact,omitempty"`
	ID           string   `xml:"report_id" json:"id"`
	Begin        int64    `xml:"date_range>begin" json:"begin"`
	End          int64    `xml:"date_range>end" json:"end"`
	Errors       []string `xml:"error,omitempty" json:"errors,omitempty"`
	Generator    string   `xml:"generator,omitempty" json:"generator,omitempty"`
}

// Policy is what the domain had published.
type Policy struct {
	Domain     string `xml:"domain" json:"domain"`
	Policy     string `xml:"p" json:"p"`
	Subdomains string `xml:"sp,omitempty" json:"sp,omitempty"`
	Absent     string `xml:"np,omitempty" json:"np,omitempty"`
	DKIM       string `xml:"adkim,omitempty" json:"adkim,omitempty"`
	SPF        string `xml:"aspf,omitempty" json:"aspf,omitempty"`
	Discovery  string `xml:"discovery_method,omitempty" json:"discovery,omitempty"`
	Options    string `xml:"fo,omitempty" json:"fo,omitempty"`
	Testing    string `xml:"testing,omitempty" json:"testing,omitempty"`
}

// Record counts messages of which all was alike.
type Record struct {
	Row         Row         `xml:"row" json:"row"`
	Identifiers Identifiers `xml:"identifiers" json:"identifiers"`
	Results     Results     `xml:"auth_results" json:"results"`
}

// Row is where they came from, how many they were, and what became of them.
type Row struct {
	Source    string    `xml:"source_ip" json:"source"`
	Count     int64     `xml:"count" json:"count"`
	Evaluated Evaluated `xml:"policy_evaluated" json:"evaluated"`
}

// Evaluated is what was done.
type Evaluated struct {
	Disposition string   `xml:"disposition" json:"disposition"`
	DKIM        string   `xml:"dkim" json:"dkim"`
	SPF         string   `xml:"spf" json:"spf"`
	Reasons     []Reason `xml:"reason,omitempty" json:"reasons,omitempty"`
}

// Reason is why something else was done than the policy asks for.
type Reason struct {
	Type    string `xml:"type" json:"type"`
	Comment string `xml:"comment,omitempty" json:"comment,omitempty"`
}

// Identifiers are in whose name they came.
type Identifiers struct {
	HeaderFrom   string `xml:"header_from" json:"headerFrom"`
	EnvelopeFrom string `xml:"envelope_from,omitempty" json:"envelopeFrom,omitempty"`
	EnvelopeTo   string `xml:"envelope_to,omitempty" json:"envelopeTo,omitempty"`
}

// Results are those of DKIM and SPF.
type Results struct {
	DKIM []DKIM `xml:"dkim,omitempty" json:"dkim,omitempty"`
	SPF  []SPF  `xml:"spf,omitempty" json:"spf,omitempty"`
}

// DKIM is the result of one signature.
type DKIM struct {
	Domain   string `xml:"domain" json:"domain"`
	Selector string `xml:"selector,omitempty" json:"selector,omitempty"`
	Result   string `xml:"result" json:"result"`
	Human    string `xml:"human_result,omitempty" json:"human,omitempty"`
}

// SPF is the result for one identity.
type SPF struct {
	Domain string `xml:"domain" json:"domain"`
	Scope  string `xml:"scope,omitempty" json:"scope,omitempty"`
	Result string `xml:"result" json:"result"`
}

// Gzip writes the report as it is sent.
func (r *Report) Gzip() ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, xml.Header)
	e := xml.NewEncoder(z)
	e.Indent("", " ")
	out := *r
	out.XMLName = xml.Name{Space: "urn:ietf:params:xml:ns:dmarc-2.0", Local: "feedback"}
	if err := errors.Join(e.Encode(&out), z.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Letter is what a report's mail says beside the report.
type Letter struct {
	From, To  mail.Address
	Submitter string // our name
	Date      time.Time
	MessageID string // without angle brackets
}

// Message writes the mail that carries a report, RFC 9990 section 3.5.
func (r *Report) Message(l Letter) ([]byte, error) {
	packed, err := r.Gzip()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s!%s!%d!%d.xml.gz", l.Submitter, r.Policy.Domain, r.Metadata.Begin, r.Metadata.End)
	day := time.Unix(r.Metadata.Begin, 0).UTC().Format(time.DateOnly)
	return message.Compose(&message.Entity{
		Header: []message.Field{
			{Name: "From", Value: message.FormatAddress("", l.From.String(), false)},
			{Name: "To", Value: message.FormatAddress("", l.To.String(), false)},
			{Name: "Date", Value: l.Date.Format(time.RFC1123Z)},
			{Name: "Message-ID", Value: "<" + l.MessageID + ">"},
			{Name: "Subject", Value: fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", r.Policy.Domain, l.Submitter, r.Metadata.ID)},
			{Name: "Auto-Submitted", Value: "auto-generated"},
			{Name: "Content-Type", Value: "multipart/mixed"},
		},
		Parts: []message.Entity{
			{Text: fmt.Sprintf("This is a report of the mail that came to %s in the name of %s\non %s (UTC), by the rules of DMARC.\n", l.Submitter, r.Policy.Domain, day)},
			{
				Header: []message.Field{
					{Name: "Content-Type", Value: "application/gzip" + message.FormatParam("name", name)},
					{Name: "Content-Disposition", Value: "attachment" + message.FormatParam("filename", name)},
				},
				Data: packed,
			},
		},
	}, message.Allow{}), nil
}

// Read finds the report in what people have of one: a mail that carries it, or its
// file, packed or not. What it says is a stranger's: it has the form of a report and
// no more octets than MaxSize, and may still be untrue.
func Read(in io.Reader) (*Report, error) {
	kind := wrapped.Kind{Name: "a DMARC report", Max: MaxSize, First: '<', Types: []string{
		"application/gzip", "application/x-gzip", "application/zip", "application/x-zip-compressed", "application/xml", "text/xml", "application/octet-stream",
	}}
	text, err := kind.Read(in)
	if err != nil {
		return nil, err
	}
	var r Report
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(charset string, in io.Reader) (io.Reader, error) { return message.DecodeText(in, charset), nil }
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("this is no DMARC report: %w", err)
	}
	if r.Policy.Domain == "" || r.Metadata.Organization == "" && r.Metadata.Email == "" {
		return nil, errors.New("this is no DMARC report: it names no domain, or nobody who wrote it")
	}
	if len(r.Records) > MaxRecords {
		return nil, fmt.Errorf("the report has more than %d records", MaxRecords)
	}
	r.XMLName = xml.Name{}
	return &r, nil
}
