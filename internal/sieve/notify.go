package sieve

import (
	"fmt"
	"net/url"
	"strings"

	"plic/internal/message"
)

// notify tells somebody of the message, RFC 5435, by mail, RFC 5436.
func (c *compiler) notify(a *args) (node, error) {
	n := &notifyNode{args: a}
	var err error
	for _, x := range []struct {
		tag string
		to  **text
	}{{"from", &n.from}, {"message", &n.message}, {"importance", &n.importance}} {
		if *x.to, err = c.tagText(a, x.tag); err != nil {
			return nil, err
		}
	}
	if n.method, err = c.text(a.pos[0]); err != nil {
		return nil, err
	}
	if n.method.parts == nil {
		if _, err := parseMailto(n.method.plain); err != nil {
			return nil, errorAt(n.method.Pos, "%v", err)
		}
	}
	n.copy, err = c.fcc(a)
	return n, err
}

type notifyNode struct {
	*args
	from, message, importance, method *text
	copy                              func(*machine) *Copy
}

func (n *notifyNode) run(m *machine) error {
	out, err := parseMailto(n.method.expand(m))
	if err != nil {
		return errorAt(n.Pos, "%v", err)
	}
	out.At, out.From, out.Message, out.Importance = n.Pos, n.from.expand(m), n.message.expand(m), "2"
	if n.importance != nil {
		if out.Importance = n.importance.expand(m); !strings.Contains("123", out.Importance) || len(out.Importance) != 1 {
			return errorAt(n.Pos, "the importance is 1, 2 or 3")
		}
	}
	if from := out.From; from != "" {
		if _, ok := address(from); !ok {
			return errorAt(n.Pos, "%q is no address", from)
		}
	}
	m.charge(len(m.header.fields) / 16)
	for _, f := range m.header.list() { // no answers to answers, RFC 5436 section 2.7.1
		if strings.EqualFold(f.Name, "Auto-Submitted") && strings.HasPrefix(strings.ToLower(f.Text()), "auto-notified") {
			m.trace(n.Pos, "no notice: the message is one")
			return nil
		}
	}
	out.Copy = n.copy(m)
	m.trace(n.Pos, "tell %s", strings.Join(out.To, ", "))
	return m.add(n.Pos, out)
}

// maxNotified is how many people one notice may go to.
const maxNotified = 8

// notMailto is an error about a method.
type notMailto string

func (e notMailto) Error() string { return string(e) }

// parseMailto reads a URI of RFC 6068 as RFC 5436 section 2.2 allows it.
func parseMailto(uri string) (*Notify, error) {
	if len(uri) < len("mailto:") || !strings.EqualFold(uri[:len("mailto:")], "mailto:") {
		return nil, notMailto("the only way to notify is mailto:")
	}
	addresses, query, _ := strings.Cut(uri[len("mailto:"):], "?")
	n := &Notify{}
	if err := n.addresses(&n.To, addresses); err != nil {
		return nil, err
	}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name)
		text, err2 := url.PathUnescape(value)
		if err != nil || err2 != nil {
			return nil, notMailto("the URI is not well formed")
		}
		if err := n.field(strings.ToLower(name), name, value, text); err != nil {
			return nil, err
		}
	}
	switch all := len(n.To) + len(n.Cc) + len(n.Bcc); {
	case all == 0:
		return nil, notMailto("the URI names nobody")
	case all > maxNotified:
		return nil, notMailto(fmt.Sprintf("the URI names more than %d people", maxNotified))
	}
	return n, nil
}

// field takes a header field of the URI; those that matter for delivery or
// trace are passed over, RFC 5436 section 2.7.
func (n *Notify) field(key, name, raw, text string) error {
	switch key {
	case "to":
		return n.addresses(&n.To, raw)
	case "cc":
		return n.addresses(&n.Cc, raw)
	case "bcc":
		return n.addresses(&n.Bcc, raw)
	case "subject":
		n.Subject = oneLine(text)
	case "body":
		n.Body = text
	case "from", "received", "auto-submitted", "message-id", "date", "importance", "priority", "x-priority",
		"content-type", "content-transfer-encoding", "mime-version", "return-path", "sender":
	default:
		if validFieldName(name) && !strings.HasPrefix(key, "resent-") {
			n.Header = append(n.Header, message.Field{Name: name, Value: oneLine(text)})
		}
	}
	return nil
}

func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\r' || r == '\n' }), " ")
}

func (n *Notify) addresses(to *[]string, list string) error {
	for a := range strings.SplitSeq(list, ",") {
		if a == "" {
			continue
		}
		text, err := url.PathUnescape(a)
		if err != nil {
			return notMailto("the URI is not well formed")
		}
		addr, ok := address(text)
		if !ok {
			return notMailto(text + " is no address")
		}
		*to = append(*to, addr.String())
	}
	return nil
}

func (c *compiler) validNotifyMethod(a *args) (test, error) {
	methods, err := c.texts(a.pos[0])
	return every(methods, 1, func(_ *machine, s string) bool {
		_, err := parseMailto(s)
		return err == nil
	}), err
}

// notifyMethodCapability knows that mail does not say whether anybody reads it,
// RFC 5436 section 2.3.
func (c *compiler) notifyMethodCapability(a *args) (test, error) {
	match, err := c.matching(a, a.pos[2])
	if err != nil {
		return nil, err
	}
	method, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	name, err := c.text(a.pos[1])
	return &lookup{match: match, values: func(m *machine) ([]string, error) {
		if _, err := parseMailto(method.expand(m)); err != nil || !strings.EqualFold(name.expand(m), "online") {
			return nil, nil
		}
		return []string{"maybe"}, nil
	}}, err
}
