package imap

import (
	"strconv"
	"strings"
)

// FetchKind is what a FetchItem asks for.
type FetchKind uint8

// The items of FETCH, RFC 9051 section 6.4.5, with those of RFC 3501, 7162, 8514
// and 8970.
const (
	FetchUID FetchKind = iota + 1
	FetchFlags
	FetchInternalDate
	FetchSize
	FetchModSeq
	FetchSaveDate
	FetchEmailID // RFC 8474, as FetchThreadID
	FetchEnvelope
	FetchBody          // BODY without a section
	FetchBodyStructure // BODYSTRUCTURE
	FetchThreadID
	FetchPreview
	FetchSection    // BODY[…]
	FetchBinary     // BINARY[…]
	FetchBinarySize // BINARY.SIZE[…]
	FetchRFC822     // RFC822, RFC822.HEADER, RFC822.TEXT: Label says which
)

// FetchItem is one item of a FETCH.
type FetchItem struct {
	Kind    FetchKind
	Label   string // as the response names it, "BODY[1.TEXT]<0>"
	Section Section
	Peek    bool // does not set \Seen
	Partial bool
	Offset  int64
	Count   int64 // of a partial fetch, at least 1
}

// Reads says that the item needs the message's octets.
func (i FetchItem) Reads() bool { return i.Kind >= FetchSection }

// Details says that the item needs what the store has found out about the
// message when it came.
func (i FetchItem) Details() bool {
	return FetchEnvelope <= i.Kind && i.Kind <= FetchPreview
}

// Text is the part of what Section names that is wanted.
type Text uint8

// The section-text of RFC 9051 section 9; SectionAll is none.
const (
	SectionAll Text = iota
	SectionHeader
	SectionFields
	SectionFieldsNot
	SectionText
	SectionMIME
)

// Section is what stands in brackets: a part number and what of the part.
type Section struct {
	Path   []int
	Text   Text
	Fields []string
}

// The limits of one FETCH: distinct reads of a message, and names of fields.
const (
	MaxFetchItems = 100
	maxFields     = 200
)

// FetchModifiers are the modifiers of FETCH, RFC 7162 sections 3.1.4.1 and 3.2.6,
// RFC 9394 section 3.3.
type FetchModifiers struct {
	ChangedSince uint64
	Since        bool // CHANGEDSINCE was given
	Vanished     bool
	Partial      *Partial // nil for all
}

// FetchItems reads the items of a FETCH: a macro, one item, or a list.
func (s *Scanner) FetchItems() []FetchItem {
	var items []FetchItem
	add := func() {
		if items = append(items, s.fetchItem()); len(items) > MaxFetchItems {
			s.Fail("more than %d items in one FETCH", MaxFetchItems)
		}
	}
	if s.Peek() == '(' {
		if s.List(add); len(items) == 0 {
			s.Fail("FETCH of no items")
		}
		return items
	}
	at := s.pos
	switch s.word() {
	case "ALL":
		return fetchMacro(FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope)
	case "FAST":
		return fetchMacro(FetchFlags, FetchInternalDate, FetchSize)
	case "FULL":
		return fetchMacro(FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope, FetchBody)
	}
	s.pos = at
	add()
	return items
}

func fetchMacro(kinds ...FetchKind) []FetchItem {
	items := make([]FetchItem, len(kinds))
	for i, k := range kinds {
		items[i] = FetchItem{Kind: k, Peek: true}
	}
	return items
}

func (s *Scanner) fetchItem() FetchItem {
	i := FetchItem{Peek: true}
	switch word := s.word(); word {
	case "UID":
		i.Kind = FetchUID
	case "FLAGS":
		i.Kind = FetchFlags
	case "INTERNALDATE":
		i.Kind = FetchInternalDate
	case "RFC822.SIZE":
		i.Kind = FetchSize
	case "MODSEQ":
		i.Kind = FetchModSeq
	case "SAVEDATE":
		i.Kind = FetchSaveDate
	case "EMAILID":
		i.Kind = FetchEmailID
	case "THREADID":
		i.Kind = FetchThreadID
	case "PREVIEW":
		i.Kind = FetchPreview
		// LAZY makes no difference: previews are made when messages come.
		if at := s.pos; !s.Take(' ') || !s.Take('(') || !s.takeWord("LAZY") || !s.Take(')') {
			s.pos = at // another item, or the modifiers of the FETCH
		}
	case "ENVELOPE":
		i.Kind = FetchEnvelope
	case "BODYSTRUCTURE":
		i.Kind = FetchBodyStructure
	case "BODY", "BODY.PEEK":
		if s.Peek() == '[' {
			s.fetchSection(&i, FetchSection, "BODY")
		} else if word == "BODY" {
			i.Kind = FetchBody
		} else {
			s.Need('[')
		}
		i.Peek = i.Kind == FetchBody || word == "BODY.PEEK"
	case "BINARY", "BINARY.PEEK":
		s.fetchSection(&i, FetchBinary, "BINARY")
		i.Peek = word == "BINARY.PEEK"
	case "BINARY.SIZE":
		s.fetchSection(&i, FetchBinarySize, "BINARY.SIZE")
	case "RFC822":
		i = FetchItem{Kind: FetchRFC822, Label: word}
	case "RFC822.HEADER":
		i = FetchItem{Kind: FetchRFC822, Label: word, Section: Section{Text: SectionHeader}, Peek: true}
	case "RFC822.TEXT":
		i = FetchItem{Kind: FetchRFC822, Label: word, Section: Section{Text: SectionText}}
	default:
		s.Fail("FETCH knows no item %.40s", word)
	}
	return i
}

// fetchSection reads "[1.TEXT]<0.100>" and makes the label.
func (s *Scanner) fetchSection(i *FetchItem, kind FetchKind, label string) {
	i.Kind = kind
	s.Need('[')
	i.Section = s.section(kind == FetchSection)
	s.Need(']')
	b := append([]byte(label), '[')
	b = i.Section.append(b)
	b = append(b, ']')
	if kind != FetchBinarySize && s.Take('<') {
		i.Partial = true
		i.Offset = s.Number64()
		s.Need('.')
		if i.Count = s.Number64(); i.Count == 0 {
			s.Fail("a partial FETCH of no octets")
		}
		s.Need('>')
		b = strconv.AppendInt(append(b, '<'), i.Offset, 10)
		b = append(b, '>')
	}
	i.Label = string(b)
}

// section reads what is between the brackets; BINARY takes part numbers only.
func (s *Scanner) section(text bool) Section {
	var sec Section
	for isDigit(s.Peek()) {
		n := s.Number()
		if n == 0 || len(sec.Path) == 2*MaxDepth {
			s.Fail("bad part number")
		}
		sec.Path = append(sec.Path, int(n))
		if !s.Take('.') {
			return sec
		}
	}
	if s.Peek() == ']' && len(sec.Path) == 0 {
		return sec
	}
	if !text {
		s.Fail("a part number expected after %s", s.before())
		return sec
	}
	switch word := s.word(); word {
	case "HEADER":
		sec.Text = SectionHeader
	case "TEXT":
		sec.Text = SectionText
	case "MIME":
		if sec.Text = SectionMIME; len(sec.Path) == 0 {
			s.Fail("MIME needs a part number")
		}
	case "HEADER.FIELDS", "HEADER.FIELDS.NOT":
		sec.Text = SectionFields
		if word == "HEADER.FIELDS.NOT" {
			sec.Text = SectionFieldsNot
		}
		s.SP()
		s.List(func() {
			if sec.Fields = append(sec.Fields, s.fieldName()); len(sec.Fields) > maxFields {
				s.Fail("more than %d header fields", maxFields)
			}
		})
		if len(sec.Fields) == 0 {
			s.Fail("no header fields")
		}
	default:
		s.Fail("bad section %.40s", word)
	}
	return sec
}

// fieldName reads the name of a header field. It comes back in responses, so
// that only what a field name can hold is taken, RFC 5322 section 2.2.
func (s *Scanner) fieldName() string {
	name := s.AString()
	for i := range len(name) {
		if name[i] <= ' ' || name[i] >= 0x7f || name[i] == ':' {
			s.Fail("bad header field name %.40q", name)
			return ""
		}
	}
	if name == "" {
		s.Fail("empty header field name")
	}
	return name
}

func (sec Section) append(b []byte) []byte {
	for i, n := range sec.Path {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	if sec.Text == SectionAll {
		return b
	}
	if len(sec.Path) > 0 {
		b = append(b, '.')
	}
	switch sec.Text {
	case SectionHeader:
		return append(b, "HEADER"...)
	case SectionText:
		return append(b, "TEXT"...)
	case SectionMIME:
		return append(b, "MIME"...)
	case SectionFields:
		b = append(b, "HEADER.FIELDS ("...)
	default:
		b = append(b, "HEADER.FIELDS.NOT ("...)
	}
	for i, f := range sec.Fields {
		if i > 0 {
			b = append(b, ' ')
		}
		b = AppendAString(b, strings.ToUpper(f))
	}
	return append(b, ')')
}

// FetchModifiers reads the modifiers that may follow the items.
func (s *Scanner) FetchModifiers() FetchModifiers {
	var m FetchModifiers
	if s.Err() != nil || !s.Take(' ') {
		return m
	}
	any := false
	s.List(func() {
		any = true
		switch word := s.Word(); word {
		case "CHANGEDSINCE":
			s.SP()
			m.ChangedSince, m.Since = s.ModSeq(), true
		case "VANISHED":
			m.Vanished = true
		case "PARTIAL":
			m.Partial = s.Partial()
		default:
			s.Fail("FETCH knows no modifier %.40s", word)
		}
	})
	if !any {
		s.Fail("an empty list of modifiers")
	}
	if m.Vanished && !m.Since {
		s.Fail("VANISHED needs CHANGEDSINCE")
	}
	return m
}
