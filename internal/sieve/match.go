package sieve

import (
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
	compiled []expression // of constant keys for regex
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
	return m, c.expressions(m)
}

// any says whether one of the values matches one of the keys.
func (mt *matching) any(m *machine, values []string) (bool, error) {
	keys := expandAll(m, mt.keys)
	if err := m.spend(mt.Pos, 1+len(keys)/16); err != nil {
		return false, err
	}
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
		groups, ok, err := glob(key, value, mt.cmp, func(octets int) error { return m.spend(mt.Pos, octets/64) })
		if ok {
			m.captured(groups)
		}
		return ok, err
	case "regex":
		re := mt.compiled[i]
		if re.Regexp == nil {
			var err error
			if re, err = mt.regex(key); err != nil {
				return false, errorAt(mt.Pos, "%.200q is no regular expression", key)
			}
			m.charge(re.weight)
		}
		// Linear, but a hundred times what a comparison takes.
		if err := m.spend(mt.Pos, len(value)*(1+re.weight/32)/2); err != nil {
			return false, err
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
// of the lengths; spend is told of the octets that were compared, and may end it.
func glob(pattern, value string, cmp comparator, spend func(octets int) error) (groups []string, ok bool, err error) {
	elements := wilds(pattern, cmp)
	groups = make([]string, 1, 10)
	groups[0] = value
	// Where to go on if what follows the last star does not fit.
	star, from, resume, kept := -1, 0, 0, 0
	i, at := 0, 0
	for work := 0; ; work++ {
		if work > 1<<12 {
			if err := spend(work); err != nil {
				return nil, false, err
			}
			work = 0
		}
		switch {
		case i == len(elements) && at == len(value):
			return groups, true, nil
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
			n, ok := prefix(value[at:], elements[i].text, cmp)
			if work += n; ok {
				i, at = i+1, at+n
				continue
			}
		}
		if star < 0 || resume == len(value) {
			return nil, false, nil
		}
		_, n := utf8.DecodeRuneInString(value[resume:])
		resume += n
		groups = groups[:kept]
		groups[kept-1] = value[from:resume]
		i, at = star+1, resume
	}
}

// prefix says whether a value begins with a folded text, and how many octets of it
// match.
func prefix(value, folded string, cmp comparator) (at int, ok bool) {
	for folded != "" {
		if at == len(value) {
			return at, false
		}
		if c := value[at]; c < utf8.RuneSelf && folded[0] < utf8.RuneSelf {
			if cmp != octet && 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			if c != folded[0] {
				return at, false
			}
			folded, at = folded[1:], at+1
			continue
		}
		_, n := utf8.DecodeRuneInString(value[at:])
		f := cmp.fold(value[at : at+n])
		if !strings.HasPrefix(folded, f) {
			return at, false
		}
		folded, at = folded[len(f):], at+n
	}
	return at, true
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
