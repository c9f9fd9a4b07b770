package sieve

import (
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"plic/internal/casemap"
)

// comparator is how strings are compared, RFC 4790.
type comparator string

// The comparators: RFC 4790 section 9, RFC 5051.
const (
	octet    comparator = "i;octet"
	ascii    comparator = "i;ascii-casemap"
	numeric  comparator = "i;ascii-numeric"
	unicoded comparator = "i;unicode-casemap"
)

// fold makes equal what the comparator calls equal.
func (c comparator) fold(s string) string {
	switch c {
	case ascii:
		return strings.Map(func(r rune) rune {
			if 'a' <= r && r <= 'z' {
				return r - 'a' + 'A'
			}
			return r
		}, s)
	case unicoded:
		return string(casemap.Fold(s))
	}
	return s
}

// numberOf is a value for i;ascii-numeric: the digits at the beginning; without
// any it is above all numbers.
func numberOf(s string) (digits string, infinite bool) {
	n := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if n == 0 {
		return "", true
	}
	return strings.TrimLeft(s[:n], "0"), false
}

// compare is negative, zero or positive.
func (c comparator) compare(a, b string) int {
	if c != numeric {
		return strings.Compare(c.fold(a), c.fold(b))
	}
	x, xInf := numberOf(a)
	y, yInf := numberOf(b)
	switch {
	case xInf && yInf:
		return 0
	case xInf:
		return 1
	case yInf:
		return -1
	case len(x) != len(y):
		return len(x) - len(y)
	}
	return strings.Compare(x, y)
}

// matching is the match type of a test with its comparator and keys.
type matching struct {
	Pos
	kind     string // "is", "contains", "matches", "regex", "value", "count", "list"
	relation string // of value and count
	cmp      comparator
	keys     []*text
	compiled []*regexp.Regexp // of constant keys for regex
}

const (
	matchTags   = "is contains matches regex@regex value=s@relational count=s@relational list@extlists comparator=s "
	addressTags = "all localpart domain user@subaddress detail@subaddress "
	indexTags   = "index=n@index last@index "
	mimeTags    = "mime@mime anychild@mime type@mime subtype@mime contenttype@mime param=l@mime "
)

// matching compiles the match type of a test.
func (c *compiler) matching(a *args, keys *argument) (*matching, error) {
	kinds := []string{"is", "contains", "matches", "regex", "value", "count", "list"}
	if err := a.only(kinds...); err != nil {
		return nil, err
	}
	m := &matching{Pos: a.Pos, kind: "is", cmp: ascii}
	for _, k := range kinds {
		if a.has(k) {
			m.kind = k
		}
	}
	if m.kind == "value" || m.kind == "count" {
		m.relation = strings.ToLower(a.tags[m.kind].strings[0])
		if !strings.Contains(" gt ge lt le eq ne ", " "+m.relation+" ") {
			return nil, errorAt(a.tags[m.kind].Pos, "%q is no relation", m.relation)
		}
	}
	if cmp := a.tags["comparator"]; cmp != nil {
		m.cmp = comparator(strings.ToLower(cmp.strings[0]))
		switch m.cmp {
		case octet, ascii:
		case numeric, unicoded:
			if err := c.need(cmp.Pos, "comparator-"+string(m.cmp), "the comparator"); err != nil {
				return nil, err
			}
		default:
			return nil, errorAt(cmp.Pos, "the comparator %q is not supported", m.cmp)
		}
	}
	if m.cmp == numeric && strings.Contains(" contains matches regex ", " "+m.kind+" ") {
		return nil, errorAt(a.Pos, "%s knows no :%s", m.cmp, m.kind)
	}
	var err error
	if m.keys, err = c.texts(keys); err != nil {
		return nil, err
	}
	return m, m.compile()
}

// compile compiles the expressions that are known.
func (mt *matching) compile() error {
	if mt.kind != "regex" {
		return nil
	}
	for _, k := range mt.keys {
		if k.parts != nil {
			mt.compiled = append(mt.compiled, nil)
			continue
		}
		re, err := mt.regex(k.plain)
		if err != nil {
			return errorAt(mt.Pos, "%q is no regular expression: %v", k.plain, err)
		}
		mt.compiled = append(mt.compiled, re)
	}
	return nil
}

// maxRegex bounds an expression. Go's take linear time, whatever they are.
const maxRegex = 4096

func (mt *matching) regex(expr string) (*regexp.Regexp, error) {
	if len(expr) > maxRegex {
		expr = "(" // refused below
	}
	if mt.cmp != octet {
		expr = "(?i)" + expr
	}
	return regexp.Compile(expr)
}

// any says whether one of the values matches one of the keys.
func (mt *matching) any(m *machine, values []string) (bool, error) {
	keys := expandAll(m, mt.keys)
	if mt.kind == "count" {
		count := strconv.Itoa(len(values))
		for _, k := range keys {
			if related(numeric.compare(count, k), mt.relation) {
				return true, nil
			}
		}
		return false, nil
	}
	for _, v := range values {
		if err := m.spend(mt.Pos, 1+len(keys)*(1+len(v)/64)); err != nil {
			return false, err
		}
		for i, k := range keys {
			ok, err := mt.one(m, v, k, i)
			if ok || err != nil {
				return ok, err
			}
		}
	}
	return false, nil
}

func (mt *matching) one(m *machine, value, key string, i int) (bool, error) {
	switch mt.kind {
	case "contains":
		return strings.Contains(mt.cmp.fold(value), mt.cmp.fold(key)), nil
	case "matches":
		if err := m.spend(mt.Pos, len(value)/16); err != nil {
			return false, err
		}
		groups, ok := glob(key, value, mt.cmp)
		if ok {
			m.captured(groups)
		}
		return ok, nil
	case "regex":
		// Linear, but a hundred times what a comparison takes.
		if err := m.spend(mt.Pos, len(value)*(1+len(key)/64)/2); err != nil {
			return false, err
		}
		re := mt.compiled[i]
		if re == nil {
			var err error
			if re, err = mt.regex(key); err != nil {
				return false, errorAt(mt.Pos, "%q is no regular expression", key)
			}
		}
		groups := re.FindStringSubmatch(value)
		if groups != nil {
			m.captured(groups)
		}
		return groups != nil, nil
	case "value":
		return related(mt.cmp.compare(value, key), mt.relation), nil
	case "list":
		return m.inList(value, key)
	}
	return mt.cmp.compare(value, key) == 0, nil
}

// related says whether a comparison is what a relation asks for, RFC 5231.
func related(order int, relation string) bool {
	switch relation {
	case "gt":
		return order > 0
	case "ge":
		return order >= 0
	case "lt":
		return order < 0
	case "le":
		return order <= 0
	case "ne":
		return order != 0
	}
	return order == 0
}

// wild is one element of a pattern of :matches.
type wild struct {
	text string // to be there; "" for a wildcard
	star bool   // any text, the shortest; else one character
}

// glob matches a value against a pattern with * and ?, and gives the whole value
// and what each of them stands for, RFC 5228 section 2.7.1 and RFC 5229 section
// 3.2. Only the last star ever moves, so that it takes no more than the product
// of the lengths.
func glob(pattern, value string, cmp comparator) (groups []string, ok bool) {
	elements := wilds(pattern, cmp)
	groups = make([]string, 1, 10)
	groups[0] = value
	// Where to go on if what follows the last star does not fit.
	star, from, resume, kept := -1, 0, 0, 0
	i, at := 0, 0
	for {
		switch {
		case i == len(elements) && at == len(value):
			return groups, true
		case i < len(elements) && elements[i].star:
			groups = append(groups, "")
			star, from, resume, kept = i, at, at, len(groups)
			i++
			continue
		case i < len(elements) && elements[i].text == "" && at < len(value):
			_, n := utf8.DecodeRuneInString(value[at:])
			groups = append(groups, value[at:at+n])
			i, at = i+1, at+n
			continue
		case i < len(elements) && elements[i].text != "":
			if n := prefix(value[at:], elements[i].text, cmp); n >= 0 {
				i, at = i+1, at+n
				continue
			}
		}
		if star < 0 || resume == len(value) {
			return nil, false
		}
		_, n := utf8.DecodeRuneInString(value[resume:])
		resume += n
		groups = groups[:kept]
		groups[kept-1] = value[from:resume]
		i, at = star+1, resume
	}
}

// prefix is how many octets of a value match a folded text, or -1.
func prefix(value, folded string, cmp comparator) int {
	at := 0
	for folded != "" {
		if at == len(value) {
			return -1
		}
		if c := value[at]; c < utf8.RuneSelf && folded[0] < utf8.RuneSelf {
			if cmp != octet && 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			if c != folded[0] {
				return -1
			}
			folded, at = folded[1:], at+1
			continue
		}
		_, n := utf8.DecodeRuneInString(value[at:])
		f := cmp.fold(value[at : at+n])
		if !strings.HasPrefix(folded, f) {
			return -1
		}
		folded, at = folded[len(f):], at+n
	}
	return at
}

// wilds takes a pattern apart; a backslash takes the meaning from what follows.
func wilds(pattern string, cmp comparator) (out []wild) {
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			out = append(out, wild{text: cmp.fold(b.String())})
			b.Reset()
		}
	}
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteByte(pattern[i])
		case c == '*' || c == '?':
			flush()
			out = append(out, wild{star: c == '*'})
		default:
			b.WriteByte(c)
		}
	}
	flush()
	return out
}
