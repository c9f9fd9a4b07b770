package imap

// Select is what SELECT and EXAMINE ask for besides the mailbox.
type Select struct {
	CondStore bool
	Resync    *Resync // nil for none
}

// Resync is the QRESYNC parameter of RFC 7162 section 3.2.5: what a client knows
// of a mailbox from the time before.
type Resync struct {
	UIDValidity uint32
	ModSeq      uint64
	Known       Set     // UIDs; no ranges if it was left out
	Numbers     []Range // some message numbers, rising,
	UIDs        []Range // and the UIDs they had, as many
}

// SelectParams reads the parameters that may follow the name.
func (s *Scanner) SelectParams() Select {
	var p Select
	if !s.Take(' ') {
		return p
	}
	s.List(func() {
		switch word := s.Word(); word {
		case "CONDSTORE":
			p.CondStore = true
		case "QRESYNC":
			s.SP()
			p.Resync = s.resync()
		default:
			s.Fail("SELECT knows no parameter %.40s", word)
		}
	})
	return p
}

func (s *Scanner) resync() *Resync {
	r := &Resync{}
	s.Need('(')
	r.UIDValidity = s.Number()
	s.SP()
	if r.ModSeq = s.ModSeq(); r.UIDValidity == 0 || r.ModSeq == 0 {
		s.Fail("a UIDVALIDITY or a mod-sequence is 0")
	}
	if s.Take(' ') {
		if s.Peek() != '(' {
			r.Known.Ranges = s.known()
			if !s.Take(' ') {
				s.Need(')')
				return r
			}
		}
		s.Need('(')
		r.Numbers = s.known()
		s.SP()
		r.UIDs = s.known()
		s.Need(')')
		if !rises(r.Numbers) || !rises(r.UIDs) || Numbers(r.Numbers) != Numbers(r.UIDs) {
			s.Fail("the message numbers and UIDs that are known do not rise, or are not as many")
		}
	}
	s.Need(')')
	return r
}

// known reads a set in which "*" has no meaning.
func (s *Scanner) known() []Range {
	set := s.Set()
	for _, r := range set.Ranges {
		if r.Hi == Star {
			s.Fail(`"*" in a set of what is known`)
		}
	}
	if set.Saved {
		s.Fail(`"$" in a set of what is known`)
	}
	return set.Ranges
}

func rises(ranges []Range) bool {
	for i := 1; i < len(ranges); i++ {
		if ranges[i].Lo <= ranges[i-1].Hi {
			return false
		}
	}
	return true
}
