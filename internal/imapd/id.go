package imapd

import (
	"context"
	"log/slog"

	"plic/internal/imap"
)

// The limits of RFC 2971 section 3.3.
const (
	maxIDFields = 30
	maxIDField  = 30
	maxIDValue  = 1024
)

// identify is ID, RFC 2971.
func (c *conn) identify(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	var fields []any
	if s.Peek() == '(' {
		n := 0
		s.List(func() {
			name := s.Text()
			s.SP()
			value, _ := s.NString()
			if n++; n > maxIDFields || len(name) > maxIDField || len(value) > maxIDValue {
				s.Fail("ID has too much to say")
			}
			fields = append(fields, slog.String(name, value[:min(len(value), 64)]))
		})
	} else if text, ok := s.NString(); ok {
		s.Fail("ID takes NIL or a list, not %.30q", text)
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	c.server.o.Log.Debug("imap: id", "conn", c.id, slog.Group("client", fields...))
	b := append(c.out.line(), `* ID ("name" "plic" "version" `...)
	b = imap.AppendString(b, c.server.o.Version)
	c.out.end(append(b, ")\r\n"...))
	return reply{}, nil
}
