package imap

// Partial is a page of a result: results First to Last, counted from 1, or from
// the end if it is Backward, RFC 9394.
type Partial struct {
	First, Last uint32
	Backward    bool
	Text        string // as the client wrote it
}

// Of gives the page of n results as a range of indexes, the end excluded.
func (p *Partial) Of(n int) (from, to int) {
	from, to = min(int(p.First)-1, n), min(int(p.Last), n)
	if p.Backward {
		return n - to, n - from
	}
	return from, to
}

// Partial reads a space and a partial-range, RFC 9394 section 4.
func (s *Scanner) Partial() *Partial {
	s.SP()
	p := new(Partial)
	from := s.pos
	p.Backward = s.Take('-')
	p.First = s.Number()
	s.Need(':')
	if p.Backward {
		s.Need('-')
	}
	p.Last = s.Number()
	if s.err != nil {
		return p
	}
	p.Text = string(s.text[from:s.pos])
	if p.First == 0 || p.Last == 0 {
		s.Fail("PARTIAL counts from 1")
	}
	p.First, p.Last = min(p.First, p.Last), max(p.First, p.Last)
	return p
}
