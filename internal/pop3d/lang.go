package pop3d

import (
	"strings"

	"plic/internal/lang"
)

// lang is LANG, RFC 6856 section 3: the languages there are, or the choice of
// one for the text of all replies from this one on.
func (s *session) lang(args string) error {
	if args == "" {
		s.ok("languages follow")
		for _, l := range lang.All() {
			s.out.WriteString(l.Tag + " " + l.Name + "\r\n")
		}
		s.out.WriteString(".\r\n")
		return nil
	}
	l, ok := lang.Choose(strings.TrimSpace(args))
	if !ok {
		return errorf("none of these languages is spoken here")
	}
	s.speaks = l
	s.conn.reply("+OK "+l.Tag+" ", "English is spoken from here on", nil)
	return nil
}

// utf8Command is UTF8, RFC 6856 section 2. Messages come as they are with it and
// without: a client that cannot read a header in UTF-8 is better served by the
// header than by a refusal.
func (s *session) utf8Command(args string) error {
	if args != "" {
		return errorf("UTF8 takes nothing behind it")
	}
	s.utf8 = true
	s.ok("UTF-8 from here on")
	return nil
}
