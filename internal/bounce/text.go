package bounce

import (
	"fmt"
	"strings"
	"time"

	"plic/internal/mail"
)

// maxListed is how many recipients the text names; the report names all.
const maxListed = 100

// title begins the subject.
func title(kind mail.Notify, rcpts []mail.ItemRcpt) string {
	switch kind {
	case mail.NotifyDelay:
		return "Mail is delayed"
	case mail.NotifySuccess:
		if rcpts[0].Host == "" {
			return "Mail was delivered"
		}
		return "Mail was passed on"
	}
	return "Mail could not be delivered"
}

// text says to a person what happened and what to do.
func (r *Reporter) text(item *mail.Item, kind mail.Notify, rcpts []mail.ItemRcpt, o original) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail system at %s.\n\n", r.o.Host.Unicode())
	b.WriteString(opening(item, kind, rcpts))
	for i := range rcpts[:min(len(rcpts), maxListed)] {
		b.WriteString("\n")
		writeRecipient(&b, kind, &rcpts[i], rcpts[i].Host != "")
	}
	if n := len(rcpts) - maxListed; n > 0 {
		fmt.Fprintf(&b, "\nand %d more, which the attached delivery report lists.\n", n)
	}
	b.WriteString("\nYour message:\n")
	if o.header != nil {
		subject := clip(o.subject, 200)
		if subject == "" {
			subject = "(none)"
		}
		fmt.Fprintf(&b, "  Subject: %s\n", subject)
	}
	if !item.Envelope.Received.IsZero() {
		fmt.Fprintf(&b, "  Accepted: %s\n", day(item.Envelope.Received))
	}
	if !item.Envelope.ID.IsZero() {
		fmt.Fprintf(&b, "  Number: %s (if you ask the postmaster of %s about it)\n", item.Envelope.ID, r.o.Host.Unicode())
	}
	if o.header == nil {
		b.WriteString("\nThe message itself could not be read to be returned.\n")
	}
	return b.String()
}

func day(at time.Time) string { return at.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

func opening(item *mail.Item, kind mail.Notify, rcpts []mail.ItemRcpt) string {
	whom := "the following address"
	if len(rcpts) > 1 {
		whom = fmt.Sprintf("the following %d addresses", len(rcpts))
	}
	switch kind {
	case mail.NotifyDelay:
		s := "Your message has not reached " + whom + " yet. You need not send it\nagain: it is tried further"
		if !item.Expires.IsZero() {
			s += ", until " + day(item.Expires)
		}
		return s + ".\n"
	case mail.NotifySuccess:
		if rcpts[0].Host == "" {
			return "As you asked to be told: your message was delivered to the mailbox of\n" + whom + ".\n"
		}
		return "As you asked to be told: your message was passed on for " + whom + ",\n" +
			"to a mail system that will not confirm its delivery.\n"
	}
	return "Your message could not be delivered to " + whom + ".\nIt is not tried again.\n"
}

func writeRecipient(b *strings.Builder, kind mail.Notify, to *mail.ItemRcpt, remote bool) {
	fmt.Fprintf(b, "<%s>\n", oneLine(to.Address.String()))
	_, original, _ := strings.Cut(to.Original, ";")
	written, err := mail.ParseAddress(original)
	if original = oneLine(original); original != "" && (err != nil || written.Key() != to.Address.Key()) {
		fmt.Fprintf(b, "  (you wrote to %s)\n", original)
	}
	if to.Last.Code != 0 {
		said := oneLine(to.Last.String())
		if remote {
			fmt.Fprintf(b, "  The mail server %s said:\n    %s\n", oneLine(to.Host), said)
		} else {
			fmt.Fprintf(b, "  %s\n", said)
		}
	}
	if kind == mail.NotifyFailure {
		fmt.Fprintf(b, "  What to do: %s\n", advice(to.Last))
	}
}

// advice says what the sender can do about a failure, by the subject and
// detail of the code: RFC 3463 section 3.
func advice(s mail.Status) string {
	if s.Temporary() {
		return "the trouble lasted until the time for trying was over. Send the\n" +
			"  message again later, or reach the recipient in another way."
	}
	detail := s.Enhanced
	if detail == (mail.Enhanced{}) {
		switch s.Code { // RFC 5321 section 4.2.3
		case 550, 551, 553:
			detail = mail.Enhanced{5, 1, 1}
		case 552:
			detail = mail.Enhanced{5, 2, 2}
		}
	}
	switch {
	case detail[1] == 1 && detail[2] == 2, detail[1] == 1 && detail[2] == 10, detail[1] == 4 && detail[2] == 4:
		return "check what is behind the @ for a typing mistake. There is no such\n  domain, or it takes no mail."
	case detail[1] == 1 && (detail[2] == 7 || detail[2] == 8):
		return "your own address was refused. Show this to your postmaster."
	case detail[1] == 1:
		return "check the address for a typing mistake. If it is right, the mailbox\n  does not exist any more; ask the recipient in another way."
	case detail[1] == 2 && detail[2] == 2:
		return "the mailbox is full. Tell the recipient in another way, and send the\n  message again later."
	case detail[1] == 2 && detail[2] == 3, detail[1] == 3 && detail[2] == 4:
		return "the message is too large there. Send it without its attachments, or\n  in parts."
	case detail[1] == 2:
		return "the mailbox takes no mail now. Ask the recipient in another way."
	case detail[1] == 7:
		return "the other side refuses the message by its rules, for what is in it or\n  where it comes from. Show this to your postmaster, or to the recipient's."
	case detail[1] == 6:
		return "the other side cannot handle the form of the message. Send it as plain\n  text, to an address without special characters."
	}
	return "show this to your postmaster, or reach the recipient in another way."
}

// clip gives at most n characters of a text on one line.
func clip(s string, n int) string {
	runes := []rune(oneLine(s))
	if len(runes) > n {
		return string(runes[:n]) + "…"
	}
	return string(runes)
}

// oneLine gives the words of strangers without control characters, in UTF-8, at
// a length that a person can read.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r == '\u2028', r == '\u2029':
			return ' '
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1 // they would turn the order of what follows round
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 2000 {
		s = string(runes[:2000]) + "…"
	}
	return s
}
