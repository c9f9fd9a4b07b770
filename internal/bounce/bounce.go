// Package bounce tells senders what became of their messages: it turns final
// outcomes, delays and wished-for successes into delivery status notifications
// that a person understands and a program can read. It decides when none is
// due, so that no report ever answers a report.
//
// RFC 3464 (delivery status), RFC 3461 (NOTIFY, RET, ENVID, ORCPT), RFC 5321
// section 6.1 (who is told), RFC 6533 (UTF-8), RFC 3834 (Auto-Submitted).
package bounce

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"plic/internal/dsn"
	"plic/internal/mail"
	"plic/internal/message"
)

// maxQuote is how much of a message a report returns by default.
const maxQuote = 50000

// Options are what a Reporter works with. Host and Open must be set.
type Options struct {
	Host     mail.Domain // our name: the Reporting-MTA
	Now      func() time.Time
	Open     func(ctx context.Context, item *mail.Item) (mail.Body, error) // the message with its prefix
	MaxQuote int                                                           // octets of it to return, 50000 by default
	NewID    func(now time.Time) mail.ID
	Log      *slog.Logger
}

// Reporter writes the reports of one host. Its method may be called at the
// same time for different items.
type Reporter struct{ o Options }

// New makes a Reporter.
func New(o Options) *Reporter {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxQuote <= 0 {
		o.MaxQuote = maxQuote
	}
	if o.NewID == nil {
		o.NewID = mail.NewID
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Reporter{o}
}

// Report tells the sender of an item what became of recipients of its message:
// they failed for good, are late, were taken, or became others. False means
// that no report is due: there is no sender, the item is a report itself, or
// nobody asked.
func (r *Reporter) Report(item *mail.Item, fates []mail.Fate) (mail.Report, bool) {
	if item.Report || item.Envelope.From.IsNull() { // RFC 5321 section 6.1, RFC 3464 section 2
		return mail.Report{}, false
	}
	if fates = wanted(&item.Envelope, fates); len(fates) == 0 {
		return mail.Report{}, false
	}
	original := r.read(item)
	if original.report { // of a host that sends reports with a sender
		return mail.Report{}, false
	}
	now := r.o.Now()
	id := r.o.NewID(now)
	raw := r.compose(item, fates, original, id, now)
	envelope := mail.Envelope{
		ID:       id,
		To:       []mail.Recipient{{Address: item.Envelope.From, Notify: mail.NotifyNever}},
		UTF8:     item.Envelope.From.NeedsUTF8(),
		Size:     int64(len(raw)),
		Received: now,
		Priority: item.Envelope.Priority, // RFC 6710 section 4.6
		Origin:   mail.Origin{Service: "local"},

		RequireTLS: item.Envelope.RequireTLS, // RFC 8689 section 5: what must not leak, leaks by its return
	}
	if slices.ContainsFunc(raw, func(c byte) bool { return c >= 0x80 }) {
		envelope.Kind = mail.Body8Bit
	}
	return mail.Report{Envelope: envelope, Message: raw}, true
}

// rank is the order in which kinds are told: what needs doing first.
func rank(f mail.Fate) int {
	switch {
	case f.Kind == mail.NotifyFailure:
		return 0
	case f.Kind == mail.NotifyDelay:
		return 1
	case f.Expanded:
		return 3
	}
	return 2
}

// wanted are the fates that the sender wants to know, by kind.
func wanted(env *mail.Envelope, fates []mail.Fate) []mail.Fate {
	fates = slices.Clone(fates)
	fates = slices.DeleteFunc(fates, func(f mail.Fate) bool { return !f.Wanted(env) })
	slices.SortStableFunc(fates, func(a, b mail.Fate) int { return rank(a) - rank(b) })
	return fates
}

// compose writes the notification.
func (r *Reporter) compose(item *mail.Item, fates []mail.Fate, o original, id mail.ID, now time.Time) []byte {
	env := &item.Envelope
	host := r.o.Host.String()
	report := &dsn.Report{
		EnvelopeID: env.EnvelopeID, ReportingMTA: host, MessageID: idText(env.ID), Arrival: env.Received, DeliverBy: env.By.At,
	}
	if env.Origin.Account == "" { // where our own users are is not told
		report.ReceivedFrom = env.Origin.Helo
	}
	for i := range fates {
		report.Recipients = append(report.Recipients, recipient(item, &fates[i]))
	}
	subject := title(fates)
	if o.subject != "" {
		subject += ": " + clip(o.subject, 100)
	}
	header := []message.Field{
		{Name: "From", Value: message.FormatAddress("Mail Delivery System", "MAILER-DAEMON@"+host, false)},
		{Name: "To", Value: env.From.Path()},
		{Name: "Subject", Value: subject},
		{Name: "Date", Value: now.Format("Mon, 02 Jan 2006 15:04:05 -0700")},
		{Name: "Message-ID", Value: "<" + id.String() + "@" + host + ">"},
		{Name: "Auto-Submitted", Value: "auto-replied"},
	}
	if o.messageID != "" {
		header = append(header, message.Field{Name: "In-Reply-To", Value: o.messageID}, message.Field{Name: "References", Value: o.messageID})
	}
	notice := &dsn.Notice{
		Header: header, Report: report, UTF8: env.UTF8,
		Text: r.text(item, fates, o),
	}
	// Only a failure returns the message itself: RFC 3461 section 4.3.
	notice.Original, notice.Full = o.header, false
	if fates[0].Kind == mail.NotifyFailure && !strings.EqualFold(env.Ret, "HDRS") && !env.RequireTLS && // RFC 8689 section 5
		o.whole != nil {
		notice.Original, notice.Full = o.whole, true
	}
	return notice.Compose()
}

// recipient is what the report says of one recipient.
func recipient(item *mail.Item, f *mail.Fate) dsn.Recipient {
	rcpt := dsn.Recipient{
		Original:    dsn.ParseOriginal(f.Original),
		Final:       dsn.AddressOf(f.Address),
		Status:      enhanced(f.Kind, f.Last),
		RemoteMTA:   f.Host,
		LastAttempt: f.At,
	}
	if f.Last.Code != 0 {
		rcpt.Diagnostic = f.Last.String()
	}
	switch {
	case f.Kind == mail.NotifyDelay:
		rcpt.Action, rcpt.RetryUntil = dsn.Delayed, item.Expires
	case f.Kind == mail.NotifyFailure:
		rcpt.Action = dsn.Failed
	case f.Expanded:
		rcpt.Action = dsn.Expanded
	case f.Host == "":
		rcpt.Action = dsn.Delivered
	default: // nothing more will be heard from there, RFC 3461 section 5.2.2
		rcpt.Action = dsn.Relayed
	}
	return rcpt
}

// enhanced is the status code of a reply, or what stands for it if the host
// gave none, or one of another class.
func enhanced(kind mail.Notify, s mail.Status) mail.Enhanced {
	class := uint16(s.Class())
	switch {
	case s.Enhanced[0] == class && class != 0:
		return s.Enhanced
	case class == uint16(mail.Success) || kind == mail.NotifySuccess:
		return mail.Enhanced{2, 0, 0}
	case class == uint16(mail.Permanent):
		return mail.Enhanced{5, 0, 0}
	case kind == mail.NotifyFailure: // it was tried until its time was over
		return mail.Enhanced{4, 4, 7}
	}
	return mail.Enhanced{4, 0, 0}
}

func idText(id mail.ID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}

// original is what is returned and told of the message.
type original struct {
	whole     []byte // nil if it is too large, or not fit to be quoted
	header    []byte // nil if it could not be read
	subject   string // in UTF-8
	messageID string
	report    bool // it is itself a delivery status notification
}

// read gets the message, as much of it as may be quoted. A message that cannot
// be read is reported without.
func (r *Reporter) read(item *mail.Item) (o original) {
	body, err := r.o.Open(context.Background(), item)
	if err != nil {
		r.o.Log.Warn("a report goes without its message", "message", item.Envelope.ID, "error", err)
		return o
	}
	defer body.Close()
	raw := make([]byte, min(body.Size(), int64(r.o.MaxQuote)))
	n, err := body.ReadAt(raw, 0)
	if err != nil && err != io.EOF || int64(n) < min(body.Size(), int64(r.o.MaxQuote)) {
		r.o.Log.Warn("a report goes without its message", "message", item.Envelope.ID, "error", err)
		return o
	}
	return quote(raw, int64(n) == body.Size())
}

// quote takes the start of a message, or all of it, apart.
func quote(raw []byte, all bool) (o original) {
	o.header = []byte{}
	for name, field := range message.Fields(raw) {
		if len(o.header)+len(field) == len(raw) && !all {
			break // its end may be missing
		}
		o.header = append(o.header, field...)
		_, value, _ := strings.Cut(string(field), ":")
		text := message.Field{Name: name, Value: value}.Text()
		switch strings.ToLower(name) {
		case "subject":
			o.subject = message.DecodeHeader(text)
		case "message-id":
			if len(text) < 250 && strings.HasPrefix(text, "<") && strings.IndexByte(text, '>') == len(text)-1 && printable(text) {
				o.messageID = text
			}
		case "content-type":
			kind := strings.ToLower(strings.ReplaceAll(text, " ", ""))
			o.report = strings.HasPrefix(kind, "multipart/report") && strings.Contains(kind, "delivery-status")
		}
	}
	if all && quotable(raw) {
		o.whole = raw
	}
	return o
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// quotable says that a message can stand in another: lines end in CRLF, none
// is too long, and there is no NUL. Others were taken by BINARYMIME or APPEND.
func quotable(raw []byte) bool {
	start := 0
	for i, c := range raw {
		switch {
		case c == 0, c == '\r' && (i+1 == len(raw) || raw[i+1] != '\n'), i-start > 999:
			return false
		case c == '\n':
			if i == 0 || raw[i-1] != '\r' {
				return false
			}
			start = i + 1
		}
	}
	return true
}
