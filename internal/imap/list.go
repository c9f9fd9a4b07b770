package imap

// StatusItem is an item of STATUS.
type StatusItem uint8

// The items of RFC 9051 section 6.3.11, RFC 3501, RFC 7162 and RFC 8438.
const (
	StatusMessages StatusItem = iota + 1
	StatusRecent
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusDeleted
	StatusSize
	StatusHighestModSeq
	StatusDeletedStorage // RFC 9208
	StatusMailboxID      // RFC 8474
	StatusAppendLimit    // RFC 7889
)

// String is the item's name.
func (i StatusItem) String() string {
	return [...]string{"", "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE", "HIGHESTMODSEQ",
		"DELETED-STORAGE", "MAILBOXID", "APPENDLIMIT"}[i]
}

// StatusItems reads the items of STATUS in parentheses.
func (s *Scanner) StatusItems() []StatusItem {
	var items []StatusItem
	s.List(func() {
		word := s.word()
		for i := StatusMessages; i <= StatusAppendLimit; i++ {
			if i.String() == word {
				items = append(items, i)
				return
			}
		}
		s.Fail("STATUS knows no item %.40s", word)
	})
	if len(items) == 0 || len(items) > 50 {
		s.Fail("STATUS of no items, or of too many")
	}
	return items
}

// List is a LIST command, RFC 9051 section 6.3.9.
type List struct {
	Extended                        bool // it has options or several patterns
	Subscribed, Remote, SpecialOnly bool // selection options
	Recursive                       bool
	Reference                       string
	Patterns                        []string
	ReturnSubscribed                bool
	ReturnChildren                  bool
	ReturnSpecialUse                bool
	ReturnMyRights                  bool     // RFC 8440
	Metadata                        []string // entries, RFC 9590
	Status                          []StatusItem
}

// maxPatterns bounds the patterns of a LIST.
const maxPatterns = 20

// ListCommand reads what follows the name of a LIST.
func (s *Scanner) ListCommand() List {
	var l List
	s.SP()
	if s.Peek() == '(' {
		l.Extended = true
		s.listSelection(&l)
		s.SP()
	}
	l.Reference = s.Pattern()
	s.SP()
	if s.Peek() == '(' {
		l.Extended = true
		s.List(func() {
			if l.Patterns = append(l.Patterns, s.Pattern()); len(l.Patterns) > maxPatterns {
				s.Fail("more than %d patterns", maxPatterns)
			}
		})
	} else {
		l.Patterns = []string{s.Pattern()}
	}
	if !s.Done() {
		s.SP()
		if word := s.Word(); word != "RETURN" {
			s.Fail("RETURN expected, not %.40s", word)
		}
		s.SP()
		l.Extended = true
		s.listReturn(&l)
	}
	return l
}

func (s *Scanner) listSelection(l *List) {
	s.List(func() {
		switch word := s.Word(); word {
		case "SUBSCRIBED":
			l.Subscribed = true
		case "REMOTE":
			l.Remote = true
		case "SPECIAL-USE":
			l.SpecialOnly = true
		case "RECURSIVEMATCH":
			l.Recursive = true
		default:
			s.Fail("LIST knows no selection option %.40s", word)
		}
	})
	if l.Recursive && !l.Subscribed {
		s.Fail("RECURSIVEMATCH needs SUBSCRIBED") // RFC 5258 section 3
	}
}

func (s *Scanner) listReturn(l *List) {
	s.List(func() {
		switch word := s.Word(); word {
		case "SUBSCRIBED":
			l.ReturnSubscribed = true
		case "CHILDREN":
			l.ReturnChildren = true
		case "SPECIAL-USE":
			l.ReturnSpecialUse = true
		case "METADATA":
			s.SP()
			l.Metadata = s.Entries()
		case "MYRIGHTS":
			l.ReturnMyRights = true
		case "STATUS":
			s.SP()
			l.Status = s.StatusItems()
		default:
			s.Fail("LIST knows no return option %.40s", word)
		}
	})
}
