package imapd

import (
	"context"

	"plic/internal/imap"
)

// enable is ENABLE, RFC 9051 section 6.3.1. What is not known is passed over.
func (c *conn) enable(_ context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	var words []string
	for first := true; first || !s.Done(); first = false {
		s.SP()
		words = append(words, s.Word())
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	var enabled string
	for _, word := range words {
		if name := c.enableOne(word); name != "" {
			enabled += " " + name
		}
	}
	c.out.text("* ENABLED", enabled)
	return reply{}, nil
}

// enableOne enables an extension and gives its name; "" if it is not known, or
// enabled already.
func (c *conn) enableOne(word string) string {
	set := func(mode *bool, name string) string {
		if *mode {
			return ""
		}
		*mode = true
		return name
	}
	switch word {
	case "CONDSTORE":
		if c.condstore {
			return ""
		}
		c.learnModSeq()
		return word
	case "IMAP4REV2":
		return set(&c.rev2, "IMAP4rev2")
	case "QRESYNC": // it enables CONDSTORE, RFC 7162 section 3.2.3
		c.learnModSeq()
		return set(&c.qresync, word)
	case "UIDONLY":
		c.dropNumbers()
		return set(&c.uidOnly, word)
	case "UTF8=ACCEPT": // RFC 6855 section 3
		return set(&c.utf8, word)
	}
	return ""
}
