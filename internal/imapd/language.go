package imapd

import (
	"context"

	"plic/internal/imap"
	"plic/internal/lang"
)

// maxLanguages bounds the languages that a client may prefer.
const maxLanguages = 50

// language is LANGUAGE, RFC 5255 section 3: the languages there are, or the
// choice of one for the text of all answers from this one on.
func (c *conn) language(_ context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	var ranges []string
	for !s.Done() {
		s.SP()
		if ranges = append(ranges, s.AString()); len(ranges) > maxLanguages {
			s.Fail("more than %d languages", maxLanguages)
		}
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	told := lang.All()
	if len(ranges) > 0 {
		l, ok := lang.Choose(ranges...)
		if !ok {
			return reply{}, no("", "none of these languages is spoken here")
		}
		c.speaks = l
		told = []*lang.Language{l}
	}
	b := append(c.out.line(), "* LANGUAGE ("...)
	for i, l := range told {
		if i > 0 {
			b = append(b, ' ')
		}
		b = imap.AppendAString(b, l.Tag)
	}
	c.out.end(append(b, ")\r\n"...))
	return reply{}, nil
}

// phrase is a refusal whose text can be said in other languages.
type phrase struct {
	*refusal
	format string
	args   []any
}

// Unwrap is the refusal in English.
func (p *phrase) Unwrap() error { return p.refusal }
