package lists

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"plic/internal/mail"
)

// List is a list that is asked by DNS, and what its answers mean.
type List struct {
	Zone    string
	Client  bool // it knows addresses, and is asked for that of the client
	Domains bool // it knows domains, and is asked for those of the message
	Refuse  bool // clients that it lists are refused at the door
	answers []meaning
}

// meaning is the weight of answers that fit a pattern.
type meaning struct {
	pattern [4]octets
	weight  float64
}

// octets are those that fit one place of a pattern: from low to high, or with a bit
// of mask.
type octets struct{ low, high, mask byte }

func (o octets) fit(b byte) bool {
	if o.mask != 0 {
		return b&o.mask != 0
	}
	return b >= o.low && b <= o.high
}

// Parse reads a list as settings have it: its zone, what it is asked for, and
// weights, such as
//
//	bl.example.org client 3
//	bl.example.org client refuse 127.0.0.2=3 127.0.0.4-7=5
//	wl.example.org client 127.0.*.1=-1 127.0.*.2-3=-3
//	dl.example.org domains 127.0.0.&2=4
func Parse(text string) (List, error) {
	fail := func(format string, args ...any) (List, error) {
		return List{}, fmt.Errorf("list %q: %s", text, fmt.Sprintf(format, args...))
	}
	words := strings.Fields(text)
	if len(words) == 0 {
		return fail("write its zone, `client` or `domains`, and weights")
	}
	zone, err := mail.ParseDomain(words[0])
	if err != nil || !strings.Contains(words[0], ".") {
		return fail("%s is no zone", words[0])
	}
	l := List{Zone: zone.String()}
	for _, word := range words[1:] {
		switch word {
		case "client":
			l.Client = true
		case "domains":
			l.Domains = true
		case "refuse":
			l.Refuse = true
		default:
			m, err := parseMeaning(word)
			if err != nil {
				return fail("%v", err)
			}
			l.answers = append(l.answers, m)
		}
	}
	switch {
	case !l.Client && !l.Domains:
		return fail("say whether it is asked for the `client` or for `domains`")
	case l.Refuse && !l.Client:
		return fail("only clients can be refused at the door")
	case len(l.answers) == 0:
		return fail("it has no weight")
	}
	return l, nil
}

func parseMeaning(word string) (m meaning, err error) {
	pattern, weight, ok := strings.Cut(word, "=")
	if !ok {
		pattern, weight = "127.*.*.*", word
	}
	m.weight, err = strconv.ParseFloat(weight, 64)
	if err != nil || math.IsNaN(m.weight) || math.Abs(m.weight) > 1000 {
		return m, fmt.Errorf("%q is neither a weight nor `client`, `domains` or `refuse`", word)
	}
	parts := strings.Split(pattern, ".")
	if len(parts) != 4 || parts[0] != "127" {
		return m, fmt.Errorf("%q is no answer of a list: write 127.0.0.2", pattern)
	}
	for i, part := range parts {
		if m.pattern[i], err = parseOctets(part); err != nil {
			return m, fmt.Errorf("%q is no answer of a list: %w", pattern, err)
		}
	}
	return m, nil
}

func parseOctets(part string) (o octets, err error) {
	number := func(s string) (byte, error) {
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return 0, fmt.Errorf("%q is not 0 to 255", s)
		}
		return byte(n), nil
	}
	if part == "*" {
		return octets{0, 255, 0}, nil
	}
	if bit, ok := strings.CutPrefix(part, "&"); ok {
		o.mask, err = number(bit)
		if err == nil && o.mask == 0 {
			err = fmt.Errorf("&0 fits nothing")
		}
		return o, err
	}
	low, high, isRange := strings.Cut(part, "-")
	if !isRange {
		high = low
	}
	if o.low, err = number(low); err == nil {
		o.high, err = number(high)
	}
	if err == nil && o.low > o.high {
		err = fmt.Errorf("%s runs backwards", part)
	}
	return o, err
}

// weigh is the weight of an answer; listed is false for what is none.
func (l *List) weigh(a netip.Addr) (weight float64, listed bool) {
	if !a.Is4() {
		return 0, false
	}
	b := a.As4()
	// 127.255.255.x says that the list will not answer us; other networks are those
	// of somebody who took over the name: RFC 5782 section 2.1.
	if b[0] != 127 || b[1] == 255 && b[2] == 255 {
		return 0, false
	}
	for _, m := range l.answers {
		if m.pattern[1].fit(b[1]) && m.pattern[2].fit(b[2]) && m.pattern[3].fit(b[3]) {
			return m.weight, true
		}
	}
	return 0, false
}

// symbol is the name of what the list says.
func (l *List) symbol() string {
	return "LIST_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(l.Zone))
}
