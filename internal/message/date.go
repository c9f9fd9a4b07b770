package message

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// zones are the obsolete zones of RFC 5322 section 4.3, in hours, and some that
// are often seen and mean one thing only. Others count as UTC.
var zones = map[string]int{
	"ut": 0, "utc": 0, "gmt": 0, "z": 0,
	"edt": -4, "est": -5, "cdt": -5, "cst": -6, "mdt": -6, "mst": -7, "pdt": -7, "pst": -8,
	"wet": 0, "west": 1, "cet": 1, "met": 1, "cest": 2, "mest": 2, "eet": 2, "eest": 3, "msk": 3, "jst": 9, "kst": 9,
}

// ParseDate reads a date-time of RFC 5322 section 3.3 with its obsolete forms:
// comments, two-digit years, zone names. It also reads what is commonly seen: no
// seconds, no zone (UTC), month before day, full names of months, dots in times.
func ParseDate(value string) (time.Time, error) {
	var d dateParts
	d.day, d.month, d.year = -1, 0, -1
	tokens := dateTokens(value)
	for _, token := range tokens {
		d.take(token)
	}
	if d.day < 0 || d.month == 0 || d.year < 0 || !d.clock {
		return time.Time{}, fmt.Errorf("%.80q is no date like %q", value, "21 Nov 1997 09:55:06 -0600")
	}
	at := time.Date(d.year, d.month, d.day, d.hour, d.minute, min(d.second, 59), 0, time.FixedZone("", d.zone))
	if d.day < 1 || at.Day() != d.day {
		return time.Time{}, fmt.Errorf("%.80q: there is no such day", value)
	}
	return at, nil
}

// dateTokens splits at white space, commas and comments, but not around the
// colons of a time: RFC 5322 appendix A.6.3. A date has few tokens.
func dateTokens(value string) []string {
	lx := lexer{s: value}
	tokens := make([]string, 0, 8)
	for range 24 {
		for lx.space(); lx.i < len(lx.s) && lx.s[lx.i] == ','; lx.space() {
			lx.i++
		}
		start := lx.i
		for lx.i < len(lx.s) && strings.IndexByte(" \t\r\n,(", lx.s[lx.i]) < 0 {
			lx.i++
		}
		token, last := lx.s[start:lx.i], len(tokens)-1
		switch {
		case token == "":
			return tokens
		case last >= 0 && (token[0] == ':' || strings.HasSuffix(tokens[last], ":")):
			tokens[last] += token
		default:
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// dateParts is what was found of a date.
type dateParts struct {
	day, year            int
	month                time.Month
	hour, minute, second int
	zone                 int // seconds east of UTC
	clock, zoned         bool
}

func (d *dateParts) take(token string) {
	switch c := token[0]; {
	case c == '+' || c == '-':
		if d.clock && !d.zoned {
			d.zoned = d.offset(token)
		}
	case c >= '0' && c <= '9':
		d.number(token)
	default:
		d.name(strings.ToLower(token))
	}
}

// offset reads "+hhmm" and "+hh:mm".
func (d *dateParts) offset(token string) bool {
	digits := strings.Replace(token[1:], ":", "", 1)
	n, err := strconv.Atoi(digits)
	if err != nil || len(digits) != 4 || digits[0] == '-' || digits[0] == '+' || n%100 > 59 {
		return false
	}
	d.zone = (n/100*60 + n%100) * 60
	if token[0] == '-' {
		d.zone = -d.zone
	}
	return true
}

func (d *dateParts) number(token string) {
	if !d.clock && strings.ContainsAny(token, ":.") && d.time(token) {
		return
	}
	if strings.Count(token, "-") == 2 { // 21-Nov-97
		for part := range strings.SplitSeq(token, "-") {
			if part != "" {
				d.take(part)
			}
		}
		return
	}
	n, err := strconv.Atoi(token)
	switch {
	case err != nil || n < 0 || len(token) > 5:
	case d.day < 0 && len(token) <= 2:
		d.day = n
	case d.year < 0:
		switch { // RFC 5322 section 4.3
		case len(token) <= 2 && n < 50:
			n += 2000
		case len(token) <= 3:
			n += 1900
		}
		d.year = n
	}
}

// time reads "hh:mm" and "hh:mm:ss", the zone perhaps right behind.
func (d *dateParts) time(token string) bool {
	zone := ""
	if i := strings.IndexAny(token, "+-"); i > 0 {
		token, zone = token[:i], token[i:]
	}
	var n [3]int
	field := 0
	for part := range strings.FieldsFuncSeq(token, func(r rune) bool { return r == ':' || r == '.' }) {
		v, err := strconv.Atoi(part)
		if err != nil || v < 0 || len(part) > 2 && field < 2 {
			return false
		}
		if field < 3 {
			n[field] = v
		}
		field++
	}
	if field < 2 || n[0] > 23 || n[1] > 59 || n[2] > 60 {
		return false
	}
	d.hour, d.minute, d.second, d.clock = n[0], n[1], n[2], true
	if zone != "" {
		d.zoned = d.offset(zone)
	}
	return true
}

func (d *dateParts) name(token string) {
	if hours, ok := zones[token]; ok && d.clock {
		if !d.zoned {
			d.zone, d.zoned = hours*3600, true
		}
		return
	}
	switch {
	case d.clock && !d.zoned && len(token) == 8 && token[:3] == "gmt": // GMT+0100
		d.zoned = d.offset(token[3:])
	case d.month == 0 && len(token) >= 3:
		for m := time.January; m <= time.December; m++ {
			full := strings.ToLower(m.String())
			if strings.HasPrefix(full, strings.TrimRight(token, ".")) || token == "sept" && m == time.September {
				d.month = m
				return
			}
		}
	}
}
