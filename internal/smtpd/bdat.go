package smtpd

import (
	"strconv"
	"strings"

	"plic/internal/mail"
)

var (
	badChunk  = mail.Reply(501, "5.5.4", "write BDAT and a number of octets, and LAST with the last of them; closing")
	badFailed = mail.Reply(503, "5.5.1", "the message was refused, say RSET")
)

// bdat is BDAT, RFC 3030 section 2. The chunk follows whatever we think of the
// command, and is read before the answer. Where its size is not known, what
// follows cannot be told from commands, and the connection must end.
func (s *session) bdat(args string) {
	size, last, ok := parseChunk(args)
	if !ok {
		s.bye(badChunk)
		return
	}
	err := s.mayChunk(size)
	if err != nil && size > s.s.o.Limits.Message {
		s.bye(mail.StatusOf(err)) // too much to read for nothing
		return
	}
	if !s.chunk(size, err == nil) {
		return
	}
	if err == nil {
		err = s.tx.in.err
	}
	switch {
	case err != nil:
		s.failChunk(err, last)
	case last:
		s.finish()
	default:
		s.say(mail.Status{Code: 250, Enhanced: mail.Enhanced{2, 0, 0}, Text: strconv.FormatInt(size, 10) + " octets received"})
	}
}

// parseChunk reads "size [LAST]". A size too large for a number is the largest.
func parseChunk(args string) (size int64, last, ok bool) {
	word, rest, more := strings.Cut(args, " ")
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return 0, false, false
		}
	}
	size, _ = strconv.ParseInt(word, 10, 64) // of digits: the largest if out of range
	last = more && strings.EqualFold(strings.TrimLeft(rest, " "), "LAST")
	return size, last, word != "" && more == last
}

// mayChunk says why a chunk is not wanted; if it is, there is a receiver.
func (s *session) mayChunk(size int64) error {
	switch {
	case s.tx.env == nil:
		return badNoMail
	case s.tx.failed:
		return badFailed
	case len(s.tx.env.To) == 0:
		return badNoRcpt
	}
	had := int64(0)
	if s.tx.in != nil {
		had = s.tx.in.size
	}
	if size > s.s.o.Limits.Message-had {
		return badTooLarge
	}
	if s.tx.in == nil {
		return s.begin()
	}
	return nil
}

// chunk reads a chunk, and takes it if it is wanted.
func (s *session) chunk(size int64, wanted bool) bool {
	s.receiving(true)
	defer s.receiving(false)
	for size > 0 {
		if _, err := s.r.Peek(1); err != nil {
			s.lineError(nil, err)
			return false
		}
		n := int(min(size, int64(s.r.Buffered())))
		piece, _ := s.r.Peek(n) // it is there
		if wanted {
			s.tx.in.take(piece)
		}
		s.r.Discard(n)
		size -= int64(n)
	}
	return true
}

// failChunk refuses a chunk, and with it the message: what follows of it is
// refused too until the transaction ends. LAST ends it even so.
func (s *session) failChunk(err error, last bool) {
	if last {
		s.refuseAll(err)
		s.reset()
		return
	}
	if s.tx.in != nil {
		s.tx.in.abort()
		s.tx.in = nil
	}
	s.tx.failed = s.tx.env != nil
	s.refuse(err)
}
