package maildrop

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
)

// Draft is what a program gives to the sendmail command.
type Draft struct {
	Text   []byte           // with any line ends
	From   mail.Address     // the envelope's sender
	Name   string           // of the sender, for a From field that is missing
	To     []mail.Recipient // as far as the command line names them
	Header bool             // recipients are also in the header, as -t says
	Origin mail.Domain      // of addresses without a domain
	Author mail.Address     // of a From field that is missing
	Now    time.Time
}

// ErrNoRecipients says that a draft is for nobody.
var ErrNoRecipients = errors.New("no recipients: name them, or give -t and a To, Cc or Bcc field")

// Compose makes a draft a message that can be sent: line ends become CRLF, a From
// line of an mbox is left out, From, Date and Message-ID are added where they are
// missing (RFC 6409 section 8), Bcc fields are taken out. It gives the letter
// without its token.
func (d *Draft) Compose() (*Letter, []byte, error) {
	text := lineEnds(d.Text)
	if bytes.HasPrefix(text, []byte("From ")) || bytes.HasPrefix(text, []byte(">From ")) {
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	l := &Letter{From: d.From, To: d.To}
	fields := map[string]string{}
	var header bytes.Buffer
	seen := 0
	for name, field := range message.Fields(text) {
		if name == "" {
			break // the body begins without an empty line
		}
		seen += len(field)
		key := strings.ToLower(name)
		if _, twice := fields[key]; twice {
			fields[key] += ","
		}
		fields[key] += strings.NewReplacer("\r\n", "").Replace(string(field[len(name)+1:]))
		if key != "bcc" && key != "resent-bcc" && key != "return-path" {
			header.Write(field)
		}
	}
	body := text[seen:]
	if !bytes.HasPrefix(body, []byte("\r\n")) {
		body = append([]byte("\r\n"), body...)
	}
	if d.Header {
		if err := d.recipients(l, fields); err != nil {
			return nil, nil, err
		}
	}
	if len(l.To) == 0 {
		return nil, nil, ErrNoRecipients
	}
	l.Token = mail.NewID(d.Now)
	d.complete(&header, fields, l)
	whole := append(header.Bytes(), body...)
	if bytes.ContainsFunc(whole, func(r rune) bool { return r >= 0x80 }) {
		l.Kind = mail.Body8Bit
	}
	l.UTF8 = l.From.NeedsUTF8()
	for _, to := range l.To {
		l.UTF8 = l.UTF8 || to.Address.NeedsUTF8()
	}
	return l, whole, nil
}

// complete adds the fields that a message must have, RFC 5322 section 3.6.
func (d *Draft) complete(header *bytes.Buffer, fields map[string]string, l *Letter) {
	prefix := ""
	for name := range fields {
		if strings.HasPrefix(name, "resent-") { // RFC 5322 section 3.6.6
			prefix = "resent-"
		}
	}
	add := func(name, value string) {
		if _, ok := fields[prefix+strings.ToLower(name)]; !ok {
			if prefix != "" {
				name = "Resent-" + name
			}
			header.WriteString(name + ": " + value + "\r\n")
		}
	}
	add("From", message.FormatAddress(d.Name, d.Author.String(), false))
	add("Date", d.Now.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	add("Message-ID", "<"+l.Token.String()+"@"+d.Origin.String()+">")
}

// recipients adds those of the header: of the Resent fields if there are any.
func (d *Draft) recipients(l *Letter, fields map[string]string) error {
	names := []string{"to", "cc", "bcc"}
	for _, name := range names {
		if _, ok := fields["resent-"+name]; ok {
			names = []string{"resent-to", "resent-cc", "resent-bcc"}
			break
		}
	}
	known := map[string]bool{}
	for _, to := range l.To {
		known[to.Address.Key()] = true
	}
	for _, name := range names {
		for _, box := range message.ParseAddressList(fields[name]) {
			if box.Group || box.Local == "" {
				continue
			}
			a, err := d.Address(box)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if !known[a.Key()] {
				known[a.Key()] = true
				l.To = append(l.To, mail.Recipient{Address: a})
			}
		}
	}
	return nil
}

// Address makes an address of what was read; one without a domain is at home
// here.
func (d *Draft) Address(box message.Mailbox) (mail.Address, error) {
	a := mail.Address{Local: box.Local, Domain: d.Origin}
	if box.Host != "" {
		var err error
		if a.Domain, err = mail.ParseDomain(box.Host); err != nil {
			return a, err
		}
	}
	return mail.ParseAddress(a.String())
}

// lineEnds makes every line end CRLF: LF, CRLF and a CR that stands alone, by
// which mail would be smuggled.
func lineEnds(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/32+2)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\r':
			if i+1 < len(text) && text[i+1] == '\n' {
				i++
			}
			out = append(out, '\r', '\n')
		case '\n':
			out = append(out, '\r', '\n')
		default:
			out = append(out, c)
		}
	}
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\r', '\n')
	}
	return out
}
