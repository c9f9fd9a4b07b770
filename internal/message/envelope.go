package message

import "strings"

// Envelope is what IMAP calls so: the fields that people sort and answer by,
// as they stand but unfolded. Decode with DecodeHeader and ParseDate.
type Envelope struct {
	Date, Subject         string
	From, Sender, ReplyTo []Mailbox
	To, Cc, Bcc           []Mailbox
	InReplyTo, MessageID  string

	// Which of the fields of text there are: one may be there and empty.
	HasDate, HasSubject, HasInReplyTo, HasMessageID bool
}

// Envelope reads the envelope from the header of a message. Of several fields
// of one name the first counts, but the lists of To, Cc and Bcc go on in all of
// them. Sender and ReplyTo are empty if there is no such field.
func (p *Part) Envelope() *Envelope {
	e := new(Envelope)
	text := func(dst *string, has *bool, value string) {
		if *dst == "" {
			*dst, *has = unfold(value), true
		}
	}
	list := func(dst *[]Mailbox, value string) {
		if len(*dst) == 0 {
			*dst = ParseAddressList(value)
		}
	}
	more := func(dst *[]Mailbox, value string) {
		if len(*dst) < maxMailboxes {
			*dst = append(*dst, ParseAddressList(value)...)
		}
	}
	for _, f := range p.Header {
		switch strings.ToLower(f.Name) {
		case "date":
			text(&e.Date, &e.HasDate, f.Value)
		case "subject":
			text(&e.Subject, &e.HasSubject, f.Value)
		case "from":
			list(&e.From, f.Value)
		case "sender":
			list(&e.Sender, f.Value)
		case "reply-to":
			list(&e.ReplyTo, f.Value)
		case "to":
			more(&e.To, f.Value)
		case "cc":
			more(&e.Cc, f.Value)
		case "bcc":
			more(&e.Bcc, f.Value)
		case "in-reply-to":
			text(&e.InReplyTo, &e.HasInReplyTo, f.Value)
		case "message-id":
			text(&e.MessageID, &e.HasMessageID, f.Value)
		}
	}
	return e
}
