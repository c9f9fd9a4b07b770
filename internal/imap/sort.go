package imap

import "strings"

// SearchReturn says what a search shall give, RFC 9051 section 6.4.4, RFC 5267
// (UPDATE, CONTEXT), RFC 9394 (PARTIAL) and RFC 6203 (RELEVANCY).
type SearchReturn struct {
	Extended             bool // RETURN was given
	Min, Max, All, Count bool
	Save                 bool
	Update, Context      bool
	Relevancy            bool
	Partial              *Partial
}

// returnOptions reads RETURN and its options, if they are there.
func (s *Scanner) returnOptions(q *Search) {
	if !s.takeWord("RETURN") {
		return
	}
	s.SP()
	q.Return = s.searchReturn()
	s.SP()
}

func (s *Scanner) searchReturn() SearchReturn {
	r := SearchReturn{Extended: true}
	any := false
	s.List(func() {
		any = true
		switch word := s.Word(); word {
		case "MIN":
			r.Min = true
		case "MAX":
			r.Max = true
		case "ALL":
			r.All = true
		case "COUNT":
			r.Count = true
		case "SAVE":
			r.Save = true
		case "UPDATE":
			r.Update = true
		case "CONTEXT":
			r.Context = true
		case "RELEVANCY":
			r.Relevancy = true
		case "PARTIAL":
			if r.Partial != nil {
				s.Fail("more than one PARTIAL")
			}
			r.Partial = s.Partial()
		default:
			s.Fail("SEARCH RETURN knows no %.40s", word)
		}
	})
	if r.All && r.Partial != nil { // RFC 9394 section 3.1
		s.Fail("ALL and PARTIAL do not go together")
	}
	if !any {
		r.All = true // "an empty list means ALL", RFC 9051 section 6.4.4
	}
	return r
}

// SortBy is a sort key of RFC 5256 section 3, RFC 5957 or RFC 6203 section 6.
type SortBy uint8

// The sort keys.
const (
	SortArrival SortBy = iota + 1
	SortCc
	SortDate
	SortFrom
	SortSize
	SortSubject
	SortTo
	SortDisplayFrom
	SortDisplayTo
	SortRelevancy
)

// SortKey is one of the keys to sort by.
type SortKey struct {
	By      SortBy
	Reverse bool
}

// MaxSortKeys bounds the keys to sort by.
const MaxSortKeys = 40

// Sort reads what follows the name of a SORT: RETURN, sort keys, a charset and
// search keys, RFC 5256 and RFC 5267 section 3.
func (s *Scanner) Sort() (keys []SortKey, q Search) {
	s.SP()
	s.returnOptions(&q)
	fuzzy := false
	s.List(func() {
		k := s.sortKey()
		fuzzy = fuzzy || k.By == SortRelevancy
		if keys = append(keys, k); len(keys) > MaxSortKeys {
			s.Fail("more than %d sort keys", MaxSortKeys)
		}
	})
	if len(keys) == 0 {
		s.Fail("an empty list of sort keys")
	}
	s.charsetAndKeys(&q)
	if fuzzy && !q.Fuzzy { // RFC 6203 section 6
		s.Fail("RELEVANCY is for FUZZY searches only")
	}
	return keys, q
}

func (s *Scanner) charsetAndKeys(q *Search) {
	s.SP()
	q.Sorted = true
	q.Charset = strings.ToUpper(s.AString())
	s.SP()
	s.searchProgram(q)
}

func (s *Scanner) sortKey() (k SortKey) {
	word := s.Word()
	if k.Reverse = word == "REVERSE"; k.Reverse {
		s.SP()
		word = s.Word()
	}
	by, ok := map[string]SortBy{
		"ARRIVAL": SortArrival, "CC": SortCc, "DATE": SortDate, "FROM": SortFrom, "SIZE": SortSize, "SUBJECT": SortSubject,
		"TO": SortTo, "DISPLAYFROM": SortDisplayFrom, "DISPLAYTO": SortDisplayTo, "RELEVANCY": SortRelevancy,
	}[word]
	if !ok {
		s.Fail("SORT knows no key %.40s", word)
	}
	k.By = by
	return k
}

// Thread reads what follows the name of a THREAD: the algorithm in upper case, a
// charset and search keys, RFC 5256 section 4.
func (s *Scanner) Thread() (algorithm string, q Search) {
	s.SP()
	algorithm = s.Word()
	s.charsetAndKeys(&q)
	return algorithm, q
}

// SourceKind says which mailboxes an ESEARCH names.
type SourceKind uint8

// The mailbox filters of RFC 5465 section 6 that RFC 7377 takes over.
const (
	SourceSelected SourceKind = iota + 1
	SourceInboxes
	SourcePersonal
	SourceSubscribed
	SourceSubtree
	SourceSubtreeOne
	SourceMailboxes
)

// SearchSource is some of the mailboxes that an ESEARCH searches.
type SearchSource struct {
	Kind  SourceKind
	Names []string // of SourceSubtree, SourceSubtreeOne and SourceMailboxes
}

// MaxSources bounds the mailboxes that an ESEARCH names.
const MaxSources = 1000

// ESearch reads what follows the name of an ESEARCH: IN with its sources, RETURN,
// CHARSET and keys, RFC 7377 section 3.
func (s *Scanner) ESearch() (sources []SearchSource, q Search) {
	at := s.pos
	s.SP()
	if !s.takeWord("IN") {
		s.pos = at
		return nil, s.Search()
	}
	s.SP()
	names := 0
	s.List(func() {
		source := s.source()
		if names += 1 + len(source.Names); names > MaxSources {
			s.Fail("more than %d mailboxes", MaxSources)
		}
		sources = append(sources, source)
	})
	if len(sources) == 0 {
		s.Fail("an empty list of mailboxes")
	}
	return sources, s.Search()
}

func (s *Scanner) source() SearchSource {
	kind, named := SourceKind(0), false
	switch word := s.Word(); word {
	case "SELECTED":
		kind = SourceSelected
	case "INBOXES":
		kind = SourceInboxes
	case "PERSONAL":
		kind = SourcePersonal
	case "SUBSCRIBED":
		kind = SourceSubscribed
	case "SUBTREE":
		kind, named = SourceSubtree, true
	case "SUBTREE-ONE":
		kind, named = SourceSubtreeOne, true
	case "MAILBOXES":
		kind, named = SourceMailboxes, true
	default:
		s.Fail("ESEARCH knows no mailboxes %.40s", word)
	}
	source := SearchSource{Kind: kind}
	if !named {
		return source
	}
	s.SP()
	if s.Peek() != '(' {
		source.Names = []string{s.Mailbox()}
		return source
	}
	s.List(func() {
		if source.Names = append(source.Names, s.Mailbox()); len(source.Names) > MaxSources {
			s.Fail("more than %d mailboxes", MaxSources)
		}
	})
	return source
}
