package imap

import "plic/internal/message"

// ParseEnvelope reads what AppendEnvelope wrote.
func ParseEnvelope(text []byte) (*message.Envelope, error) {
	s := NewScanner(text, true)
	e := new(message.Envelope)
	s.Need('(')
	e.Date, e.HasDate = s.NString()
	s.SP()
	e.Subject, e.HasSubject = s.NString()
	for _, list := range [...]*[]message.Mailbox{&e.From, &e.Sender, &e.ReplyTo, &e.To, &e.Cc, &e.Bcc} {
		s.SP()
		*list = s.addresses()
	}
	s.SP()
	e.InReplyTo, e.HasInReplyTo = s.NString()
	s.SP()
	e.MessageID, e.HasMessageID = s.NString()
	s.Need(')')
	return e, s.End()
}

func (s *Scanner) addresses() []message.Mailbox {
	if s.Peek() != '(' {
		if _, ok := s.NString(); ok {
			s.Fail("an address list expected after %s", s.before())
		}
		return nil
	}
	var list []message.Mailbox
	s.Need('(')
	for s.err == nil && !s.Take(')') {
		s.Need('(')
		var m message.Mailbox
		var local, host bool
		m.Name, _ = s.NString()
		s.SP()
		m.Route, _ = s.NString()
		s.SP()
		m.Local, local = s.NString()
		s.SP()
		m.Host, host = s.NString()
		s.Need(')')
		m.Group = !local || !host
		list = append(list, m)
	}
	return list
}
