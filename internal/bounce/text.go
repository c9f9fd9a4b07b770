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
func title(fates []mail.Fate) string {
	switch f := fates[0]; {
	case f.Kind == mail.NotifyFailure:
		return "Mail could not be delivered"
	case f.Kind == mail.NotifyDelay:
		return "Mail is delayed"
	case !f.Expanded && f.Host != "":
		return "Mail was passed on"
	}
	return "Mail was delivered"
}

// text says to a person what happened and what to do.
func (r *Reporter) text(item *mail.Item, fates []mail.Fate, o original) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail system at %s.\n", r.o.Host.Unicode())
	listed := maxListed
	for left := fates; len(left) > 0; {
		same := 1
		for same < len(left) && group(left[same]) == group(left[0]) {
			same++
		}
		b.WriteString("\n" + opening(item, left[:same]))
		for i := range left[:min(same, listed)] {
			b.WriteString("\n")
			writeRecipient(&b, &left[i])
		}
		if more := same - listed; more > 0 {
			fmt.Fprintf(&b, "\nand %d more, which the attached delivery report lists.\n", more)
		}
		listed = max(listed-same, 0)
		left = left[same:]
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

// group is what the text tells together.
func group(f mail.Fate) [2]int {
	passed := 0
	if f.Kind == mail.NotifySuccess && f.Host != "" {
		passed = 1
	}
	if f.Untimed {
		passed = 2
	}
	return [2]int{rank(f), passed}
}

func day(at time.Time) string { return at.Format("Mon, 2 Jan 2006 15:04:05 -0700") }

func opening(item *mail.Item, fates []mail.Fate) string {
	whom := "the following address"
	if len(fates) > 1 {
		whom = fmt.Sprintf("the following %d addresses", len(fates))
	}
	switch f := fates[0]; {
	case f.Kind == mail.NotifyDelay:
		s := "Your message has not reached " + whom + " yet. You need not send it\nagain: it is tried further"
		if !item.Expires.IsZero() {
			s += ", until " + day(item.Expires)
		}
		return s + ".\n"
	case f.Kind == mail.NotifyFailure:
		return "Your message could not be delivered to " + whom + ".\nIt is not tried again.\n"
	case f.Expanded:
		return "As you asked to be told: your message was passed on to the members of\n" + whom + ". Nothing more is reported of them.\n"
	case f.Host == "":
		return "As you asked to be told: your message was delivered to the mailbox of\n" + whom + ".\n"
	case f.Untimed: // RFC 2852 section 4.1.4.2
		return "Your message was passed on for " + whom + ",\n" +
			"to a mail system that does not keep to the time by which you want it delivered.\n"
	}
	return "As you asked to be told: your message was passed on for " + whom + ",\n" +
		"to a mail system that will not confirm its delivery.\n"
}

func writeRecipient(b *strings.Builder, f *mail.Fate) {
	fmt.Fprintf(b, "<%s>\n", oneLine(f.Address.String()))
	_, original, _ := strings.Cut(f.Original, ";")
	written, err := mail.ParseAddress(original)
	if original = oneLine(original); original != "" && (err != nil || written.Key() != f.Address.Key()) {
		fmt.Fprintf(b, "  (you wrote to %s)\n", original)
	}
	if f.Last.Code != 0 {
		said := oneLine(f.Last.String())
		if f.Host != "" {
			fmt.Fprintf(b, "  The mail server %s said:\n    %s\n", oneLine(f.Host), said)
		} else {
			fmt.Fprintf(b, "  %s\n", said)
		}
	}
	if f.Kind == mail.NotifyFailure {
		fmt.Fprintf(b, "  What to do: %s\n", advice(f.Last, f.Fault))
	}
}

// advice says what the sender can do about a failure: by what it is about, as
// far as that is known, or else by the code, RFC 3463 section 3.
func advice(s mail.Status, about mail.Fault) string {
	if s.Temporary() {
		return "the trouble lasted until the time for trying was over. Send the\n" +
			"  message again later, or reach the recipient in another way."
	}
	subject, detail := s.Enhanced[1], s.Enhanced[2]
	switch {
	case subject == 1 && (detail == 7 || detail == 8):
		return "your own address was refused. Show this to your postmaster."
	case subject == 4 && detail == 7:
		return "the time that you gave for the delivery was over. Send the message\n  again, with more time."
	case subject == 2 && (detail == 0 || detail == 1) && about != mail.FaultFull:
		return "the mailbox takes no mail now. Ask the recipient in another way."
	}
	if about == "" {
		about = faultOf(s)
	}
	switch about {
	case mail.FaultDNS:
		return "check what is behind the @ for a typing mistake. There is no such\n  domain, or it takes no mail."
	case mail.FaultMailbox:
		return "check the address for a typing mistake. If it is right, the mailbox\n  does not exist any more; ask the recipient in another way."
	case mail.FaultFull:
		return "the mailbox is full. Tell the recipient in another way, and send the\n  message again later."
	case mail.FaultSize:
		return "the message is too large there. Send it without its attachments, or\n  in parts."
	case mail.FaultReputation:
		return "the other side takes nothing from this mail server now. It is not\n  your message: show this to your postmaster."
	case mail.FaultPolicy:
		return "the other side refuses the message by its rules, for what is in it or\n  where it comes from. Show this to your postmaster, or to the recipient's."
	case mail.FaultContent:
		if subject == 6 {
			return "the other side cannot handle the form of the message. Send it as plain\n  text, to an address without special characters."
		}
		return "the other side takes the message for spam, or dislikes an attachment.\n  Write it in other words, without attachments or links."
	case mail.FaultTLS:
		return "the way to the other side is not as safe as it has to be. Show this\n  to your postmaster."
	}
	return "show this to your postmaster, or reach the recipient in another way."
}

// faultOf is what a status of our own is about, or one that nobody has
// classified.
func faultOf(s mail.Status) mail.Fault {
	subject, detail := s.Enhanced[1], s.Enhanced[2]
	switch {
	case s.Enhanced == (mail.Enhanced{}) && (s.Code == 550 || s.Code == 551 || s.Code == 553): // RFC 5321 section 4.2.3
		return mail.FaultMailbox
	case s.Enhanced == (mail.Enhanced{}) && s.Code == 552, subject == 2 && detail == 2:
		return mail.FaultFull
	case subject == 1 && (detail == 2 || detail == 10), subject == 4 && detail == 4:
		return mail.FaultDNS
	case subject == 1:
		return mail.FaultMailbox
	case subject == 2 && detail == 3, subject == 3 && detail == 4:
		return mail.FaultSize
	case subject == 6:
		return mail.FaultContent
	case subject == 7:
		return mail.FaultPolicy
	}
	return mail.FaultOther
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
