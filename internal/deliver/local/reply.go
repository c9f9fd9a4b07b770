package local

import (
	"fmt"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/sieve"
	"plic/internal/store"
)

// dateLayout is the date of RFC 5322 section 3.3.
const dateLayout = "Mon, 2 Jan 2006 15:04:05 -0700"

// head is what every message of ours begins with.
func (w *work) head(to string) []message.Field {
	now := w.agent.o.Now()
	return []message.Field{
		{Name: "Date", Value: now.Format(dateLayout)},
		{Name: "Message-ID", Value: "<" + mail.NewID(now).String() + "@" + w.agent.o.Host.String() + ">"},
		{Name: "From", Value: "Mail filter <" + w.letter.To.String() + ">"},
		{Name: "To", Value: to},
		{Name: "Auto-Submitted", Value: "auto-generated"},
	}
}

// send puts a message on its way, with the null reverse-path: nothing answers
// an answer, RFC 3834 section 3.3.
func (w *work) send(to []string, text []byte) {
	now := w.agent.o.Now()
	env := mail.Envelope{
		ID: mail.NewID(now), Size: int64(len(text)), Received: now, Origin: mail.Origin{Service: "local"}, Kind: mail.Body8Bit,
	}
	for _, t := range to {
		a, err := mail.ParseAddress(t)
		if err != nil {
			continue
		}
		env.UTF8 = env.UTF8 || a.NeedsUTF8()
		env.To = append(env.To, mail.Recipient{Address: a, Notify: mail.NotifyNever})
	}
	if len(env.To) > 0 {
		w.plan.Send = append(w.plan.Send, mail.Report{Envelope: env, Message: text})
	}
}

// copy files a copy of what is sent, RFC 8580.
func (w *work) copy(c *sieve.Copy, text []byte) error {
	if c == nil {
		return nil
	}
	box, err := w.mailbox(&c.FileInto)
	if err != nil || box == nil {
		return err
	}
	w.plan.Papers = append(w.plan.Papers, Paper{File{box, store.FlagsOf(c.Flags)}, text})
	return nil
}

// answer writes the answer of vacation, RFC 5230 section 5.
func (w *work) answer(v *sieve.Vacation) error {
	root := w.msg.Root
	from := v.From
	if from == "" {
		from = w.letter.To.String()
	}
	subject := v.Subject
	if subject == "" {
		subject = "Automated reply"
		if s := message.DecodeHeader(root.Get("Subject")); s != "" {
			subject = "Auto: " + s
		}
	}
	head := w.head(v.To)
	set(head, "From", from)
	set(head, "Auto-Submitted", "auto-replied (vacation)")
	head = append(head, message.Field{Name: "Subject", Value: subject})
	head = append(head, thread(root)...)
	text := compose(head, v.Reason, v.MIME)
	w.send([]string{v.To}, text)
	return w.copy(v.Copy, text)
}

func set(head []message.Field, name, value string) {
	for i := range head {
		if head[i].Name == name {
			head[i].Value = value
		}
	}
}

// thread are the fields that tie an answer to its message, RFC 5230 section
// 5.8.
func thread(root *message.Part) []message.Field {
	id := root.Get("Message-ID")
	if id == "" {
		return nil
	}
	references := root.Get("References")
	if references == "" {
		references = root.Get("In-Reply-To")
	}
	return []message.Field{
		{Name: "In-Reply-To", Value: id},
		{Name: "References", Value: strings.TrimSpace(references + " " + id)},
	}
}

// compose writes a message of text, or of a MIME entity that a script has
// written.
func compose(head []message.Field, text string, mime bool) []byte {
	if !mime {
		return message.Compose(&message.Entity{Header: head, Text: text}, message.Allow{UTF8: true, EightBit: true})
	}
	var b []byte
	for _, f := range head {
		b = message.AppendField(b, f.Name, f.Value, true)
	}
	b = append(b, "MIME-Version: 1.0\r\n"...)
	return append(b, text...)
}

// notify writes a notice, RFC 5436 section 2.7.
func (w *work) notify(n *sieve.Notify) error {
	root := w.msg.Root
	from := n.From
	if from == "" {
		from = w.letter.To.String()
	}
	head := w.head(strings.Join(n.To, ", "))
	set(head, "From", from)
	set(head, "Auto-Submitted", fmt.Sprintf("auto-notified; owner-email=%q", w.letter.Account.Name()))
	subject := n.Message
	if subject == "" {
		subject = n.Subject
	}
	if subject == "" {
		subject = "New mail: " + message.DecodeHeader(root.Get("Subject"))
	}
	head = append(head, message.Field{Name: "Subject", Value: subject})
	if len(n.Cc) > 0 {
		head = append(head, message.Field{Name: "Cc", Value: strings.Join(n.Cc, ", ")})
	}
	if words := map[string]string{"1": "high", "3": "low"}[n.Importance]; words != "" {
		head = append(head, message.Field{Name: "Importance", Value: words}, message.Field{Name: "X-Priority", Value: map[string]string{"1": "1", "3": "5"}[n.Importance]})
	}
	head = append(head, n.Header...)
	head = append(head, thread(root)...)
	body := n.Body
	if body == "" {
		body = fmt.Sprintf("A message has come for %s.\n\nFrom: %s\nSubject: %s\nDate: %s\n", w.letter.To,
			message.DecodeHeader(root.Get("From")), message.DecodeHeader(root.Get("Subject")), root.Get("Date"))
	}
	text := compose(head, body, false)
	w.send(append(append(append([]string{}, n.To...), n.Cc...), n.Bcc...), text)
	return w.copy(n.Copy, text)
}

// faultTold is how long an owner is not told of the same fault again.
const faultTold = 30 * 24 * time.Hour
