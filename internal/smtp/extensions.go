package smtp

import (
	"strconv"
	"strings"
	"time"
)

// Extensions are what a server offers in its answer to EHLO or LHLO: keywords
// in upper case, each with its parameters as they were written.
type Extensions map[string]string

// ParseExtensions reads the lines after the first of an answer to EHLO, RFC
// 5321 section 4.1.1.1. A line that is no ehlo-line is passed over.
func ParseExtensions(r Reply) Extensions {
	e := Extensions{}
	for i, line := range r.Lines {
		if i == 0 {
			continue
		}
		keyword, params, _ := strings.Cut(line, " ")
		keyword = strings.ToUpper(keyword)
		if old, ok := strings.CutPrefix(keyword, "AUTH="); ok { // before RFC 2554
			keyword, params = "AUTH", old+" "+params
		}
		if !isKeyword(keyword) {
			continue
		}
		params = strings.Join(strings.Fields(params), " ")
		if before := e[keyword]; before != "" {
			params = before + " " + params
		}
		e[keyword] = params
	}
	return e
}

// Has says whether a keyword, in upper case, was offered.
func (e Extensions) Has(keyword string) bool {
	_, ok := e[keyword]
	return ok
}

// Size is the largest message the server takes, RFC 1870; 0 when it does not
// say or has no limit.
func (e Extensions) Size() int64 {
	word, _, _ := strings.Cut(e["SIZE"], " ")
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Mechanisms are the SASL mechanisms offered, in upper case, RFC 4954.
func (e Extensions) Mechanisms() []string {
	return strings.Fields(strings.ToUpper(e["AUTH"]))
}

// Limit is a number offered in LIMITS, RFC 9422, as "RCPTMAX"; 0 for none.
func (e Extensions) Limit(name string) int {
	for word := range strings.SplitSeq(e["LIMITS"], " ") {
		key, value, _ := strings.Cut(word, "=")
		if strings.EqualFold(key, name) {
			if n, err := strconv.Atoi(value); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

// DeliverBy is the shortest time that the server takes with BY in mode R, RFC
// 2852 section 3; 0 when it does not say.
func (e Extensions) DeliverBy() time.Duration {
	n, err := strconv.ParseUint(e["DELIVERBY"], 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
