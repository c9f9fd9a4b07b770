package imap

import (
	"strings"
	"time"
)

// SearchOp is the test of a SearchKey.
type SearchOp uint8

// The search keys of RFC 9051 section 6.4.4 and RFC 3501, brought to as few as
// will do: UNSEEN is NOT of a flag, UNDELETED too, OLD is NOT RECENT.
const (
	SearchAnd         SearchOp = iota + 1 // Keys; none is ALL
	SearchOr                              // Keys, two of them
	SearchNot                             // Keys[0]
	SearchNumbers                         // Set
	SearchUIDs                            // Set
	SearchFlag                            // Text
	SearchRecent                          // the session's own flag
	SearchBefore                          // Date: INTERNALDATE before it
	SearchSince                           // Date: on it or after
	SearchOn                              // Date
	SearchSentBefore                      // Date: the Date field's
	SearchSentSince                       // Date
	SearchSentOn                          // Date
	SearchLarger                          // Number
	SearchSmaller                         // Number
	SearchModSeq                          // Number
	SearchFrom                            // Text in the envelope, as the next four
	SearchTo                              // Text
	SearchCc                              // Text
	SearchBcc                             // Text
	SearchSubject                         // Text
	SearchHeader                          // Text in the header field Field
	SearchBody                            // Text
	SearchText                            // Text
	SearchOlder                           // Number: INTERNALDATE as many seconds ago or more, RFC 5032
	SearchYounger                         // Number: as many seconds ago or less
	SearchSavedBefore                     // Date: when it came into the mailbox, RFC 8514
	SearchSavedSince                      // Date
	SearchSavedOn                         // Date
	SearchEmailID                         // Text: an object's name, RFC 8474
	SearchThreadID                        // Text
	SearchFuzzy                           // Keys[0] as people mean it, RFC 6203
	SearchFilter                          // Text: the name of a search kept, RFC 5466
)

// SearchKey is a node of a search program.
type SearchKey struct {
	Op     SearchOp
	Keys   []SearchKey
	Set    Set
	Text   string
	Field  string
	Number int64
	Date   time.Time
}

// MaxSearchKeys bounds the nodes of a search program.
const MaxSearchKeys = 5000

// Search is a SEARCH command, or what SORT, THREAD and ESEARCH have of one.
type Search struct {
	Return  SearchReturn
	Charset string // upper case, "" if none was given
	Key     SearchKey
	ModSeq  bool // some key asks for mod-sequences
	Fuzzy   bool // some key is FUZZY
	Sorted  bool // it is that of a SORT or THREAD, which cannot do without CHARSET
}

// Search reads what follows the name of a SEARCH: RETURN, CHARSET and keys.
func (s *Scanner) Search() Search {
	var q Search
	s.SP()
	s.returnOptions(&q)
	if s.takeWord("CHARSET") {
		s.SP()
		q.Charset = strings.ToUpper(s.AString())
		s.SP()
	}
	s.searchProgram(&q)
	return q
}

// SearchProgram reads search keys that stand alone: a filter of RFC 5466.
func (s *Scanner) SearchProgram() Search {
	var q Search
	s.searchProgram(&q)
	return q
}

func (s *Scanner) searchProgram(q *Search) {
	n := 0
	q.Key.Op = SearchAnd
	for {
		q.Key.Keys = append(q.Key.Keys, s.searchKey(q, &n))
		if s.err != nil || !s.Take(' ') {
			break
		}
	}
	if q.Return.Relevancy && !q.Fuzzy {
		s.Fail("RELEVANCY is for FUZZY searches only") // RFC 6203 section 4
	}
}

// searchKey reads one key; n counts them.
func (s *Scanner) searchKey(q *Search, n *int) SearchKey {
	if *n++; *n > MaxSearchKeys {
		s.Fail("more than %d search keys", MaxSearchKeys)
		return SearchKey{}
	}
	if s.depth++; s.depth > MaxDepth {
		s.Fail("search keys nest deeper than %d", MaxDepth)
	}
	defer func() { s.depth-- }()
	switch c := s.Peek(); {
	case s.err != nil:
		return SearchKey{}
	case c == '(':
		k := SearchKey{Op: SearchAnd}
		if s.List(func() { k.Keys = append(k.Keys, s.searchKey(q, n)) }); len(k.Keys) == 0 {
			s.Fail("an empty list of search keys")
		}
		return k
	case isSetChar(c):
		return SearchKey{Op: SearchNumbers, Set: s.Set()}
	}
	word := s.word()
	switch word {
	case "NOT":
		s.SP()
		return SearchKey{Op: SearchNot, Keys: []SearchKey{s.searchKey(q, n)}}
	case "FUZZY":
		s.SP()
		q.Fuzzy = true
		return SearchKey{Op: SearchFuzzy, Keys: []SearchKey{s.searchKey(q, n)}}
	case "OR":
		k := SearchKey{Op: SearchOr, Keys: make([]SearchKey, 2)}
		s.SP()
		k.Keys[0] = s.searchKey(q, n)
		s.SP()
		k.Keys[1] = s.searchKey(q, n)
		return k
	case "MODSEQ":
		q.ModSeq = true
		return s.searchModSeq()
	case "UID":
		s.SP()
		return SearchKey{Op: SearchUIDs, Set: s.Set()}
	case "UIDAFTER", "UIDBEFORE": // RFC 9738 section 3.2
		s.SP()
		return s.uidSide(word)
	}
	if k, ok := searchFlag(word); ok {
		return k
	}
	return s.searchValue(word)
}

// uidSide reads the UID that UIDs are above or below, itself left out.
func (s *Scanner) uidSide(word string) SearchKey {
	n := s.Number()
	if n == 0 {
		s.Fail("%s wants a UID", word)
		return SearchKey{}
	}
	r := Range{Lo: 1, Hi: n - 1}
	if word == "UIDAFTER" {
		r = Range{Lo: min(n, Star-1) + 1, Hi: Star - 1} // Star would name the last message too
	}
	k := SearchKey{Op: SearchUIDs}
	if r.Lo <= r.Hi {
		k.Set.Ranges = []Range{r}
	}
	return k
}

// searchFlag gives the keys that stand alone.
func searchFlag(word string) (SearchKey, bool) {
	flag := func(name string) SearchKey { return SearchKey{Op: SearchFlag, Text: name} }
	not := func(k SearchKey) SearchKey { return SearchKey{Op: SearchNot, Keys: []SearchKey{k}} }
	recent := SearchKey{Op: SearchRecent}
	switch word {
	case "ALL", "SAVEDATESUPPORTED": // RFC 8514 section 4.3: all mailboxes keep it
		return SearchKey{Op: SearchAnd}, true
	case "ANSWERED", "DELETED", "DRAFT", "FLAGGED", "SEEN":
		return flag(`\` + word), true
	case "UNANSWERED", "UNDELETED", "UNDRAFT", "UNFLAGGED", "UNSEEN":
		return not(flag(`\` + word[2:])), true
	case "RECENT":
		return recent, true
	case "OLD":
		return not(recent), true
	case "NEW":
		return SearchKey{Op: SearchAnd, Keys: []SearchKey{recent, not(flag(`\SEEN`))}}, true
	}
	return SearchKey{}, false
}

// searchValue reads the keys that have a value.
func (s *Scanner) searchValue(word string) SearchKey {
	k := SearchKey{Op: searchOp(word)}
	if k.Op == 0 {
		s.Fail("SEARCH knows no key %.40s", word)
		return k
	}
	s.SP()
	switch k.Op {
	case SearchBefore, SearchSince, SearchOn, SearchSentBefore, SearchSentSince, SearchSentOn,
		SearchSavedBefore, SearchSavedSince, SearchSavedOn:
		k.Date = s.Date()
	case SearchOlder, SearchYounger:
		if k.Number = int64(s.Number()); k.Number == 0 {
			s.Fail("%s wants a number of seconds above 0", word)
		}
	case SearchLarger, SearchSmaller:
		k.Number = s.Number64()
	case SearchFlag:
		k.Text = s.Atom()
		if word == "UNKEYWORD" {
			return SearchKey{Op: SearchNot, Keys: []SearchKey{k}}
		}
	case SearchFilter: // RFC 5466 section 4: filter-name
		if k.Text = s.Atom(); strings.Contains(k.Text, "/") {
			s.Fail("no filter has a slash in its name")
		}
	case SearchEmailID, SearchThreadID:
		k.Text = s.objectID()
	case SearchHeader:
		k.Field = s.fieldName()
		s.SP()
		k.Text = s.searchText()
	default:
		k.Text = s.searchText()
	}
	return k
}

// searchOp names the keys that have a value.
func searchOp(word string) SearchOp {
	switch word {
	case "BEFORE":
		return SearchBefore
	case "SINCE":
		return SearchSince
	case "ON":
		return SearchOn
	case "SENTBEFORE":
		return SearchSentBefore
	case "SENTSINCE":
		return SearchSentSince
	case "SENTON":
		return SearchSentOn
	case "LARGER":
		return SearchLarger
	case "SMALLER":
		return SearchSmaller
	case "KEYWORD", "UNKEYWORD":
		return SearchFlag
	case "HEADER":
		return SearchHeader
	case "FROM":
		return SearchFrom
	case "TO":
		return SearchTo
	case "CC":
		return SearchCc
	case "BCC":
		return SearchBcc
	case "SUBJECT":
		return SearchSubject
	case "BODY":
		return SearchBody
	case "TEXT":
		return SearchText
	}
	return searchExtension(word)
}

// objectID reads the name of a message or thread, RFC 8474 section 7.
func (s *Scanner) objectID() string {
	text := s.AString()
	ok := len(text) > 0 && len(text) <= 255
	for i := range len(text) {
		c := text[i]
		ok = ok && ('a' <= lower(c) && lower(c) <= 'z' || isDigit(c) || c == '-' || c == '_')
	}
	if !ok {
		s.Fail("%.60q is no name of an object", text)
	}
	return text
}

func searchExtension(word string) SearchOp {
	switch word {
	case "OLDER":
		return SearchOlder
	case "YOUNGER":
		return SearchYounger
	case "SAVEDBEFORE":
		return SearchSavedBefore
	case "SAVEDSINCE":
		return SearchSavedSince
	case "SAVEDON":
		return SearchSavedOn
	case "FILTER":
		return SearchFilter
	case "EMAILID":
		return SearchEmailID
	case "THREADID":
		return SearchThreadID
	}
	return 0
}

// searchModSeq reads MODSEQ [entry-name SP entry-type] number, RFC 7162 section
// 3.1.5. There is one mod-sequence for a message here, whatever the entry.
func (s *Scanner) searchModSeq() SearchKey {
	s.SP()
	if s.Peek() == '"' {
		_ = s.Text()
		s.SP()
		switch word := s.word(); word {
		case "ALL", "PRIV", "SHARED":
		default:
			s.Fail("MODSEQ knows no entry type %.40s", word)
		}
		s.SP()
	}
	return SearchKey{Op: SearchModSeq, Number: int64(s.ModSeq())}
}
