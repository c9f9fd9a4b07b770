package sieve

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"plic/internal/message"
)

// date is the test of that name, RFC 5260 section 4.
func (c *compiler) date(a *args) (test, error) {
	if err := a.only("zone", "originalzone"); err != nil {
		return nil, err
	}
	match, err := c.matching(a, a.pos[2])
	if err != nil {
		return nil, err
	}
	n, last, err := index(a)
	if err != nil {
		return nil, err
	}
	name, err := c.text(a.pos[0])
	if err != nil {
		return nil, err
	}
	tell, err := c.moment(a, a.pos[1])
	return &lookup{match: match, values: func(m *machine) (out []string, err error) {
		for _, v := range indexed(m.named(m.in.Message.Root, name.expand(m)), n, last) {
			// Received has its date behind the last semicolon.
			if i := strings.LastIndexByte(v, ';'); i >= 0 {
				v = v[i+1:]
			}
			at, err := message.ParseDate(v)
			if err != nil {
				continue
			}
			if text, ok := tell(m, at, a.has("originalzone")); ok {
				out = append(out, text)
			}
		}
		return out, nil
	}}, err
}

func (c *compiler) currentdate(a *args) (test, error) {
	match, err := c.matching(a, a.pos[1])
	if err != nil {
		return nil, err
	}
	tell, err := c.moment(a, a.pos[0])
	return &lookup{match: match, values: func(m *machine) ([]string, error) {
		text, ok := tell(m, m.in.Now, false)
		if !ok {
			return nil, nil
		}
		return []string{text}, nil
	}}, err
}

// moment compiles the zone and the part of a date to a function that tells it.
func (c *compiler) moment(a *args, part *argument) (func(m *machine, at time.Time, original bool) (string, bool), error) {
	what, err := c.text(part)
	if err != nil {
		return nil, err
	}
	if what.parts == nil {
		if _, ok := datePart(strings.ToLower(what.plain), time.Time{}); !ok {
			return nil, errorAt(what.Pos, "a date has no part %q", what.plain)
		}
	}
	zone, err := c.tagText(a, "zone")
	if err == nil && zone != nil && zone.parts == nil {
		_, err = parseZone(zone.Pos, zone.plain)
	}
	return func(m *machine, at time.Time, original bool) (string, bool) {
		switch {
		case zone != nil:
			loc, err := parseZone(zone.Pos, zone.expand(m))
			if err != nil {
				return "", false
			}
			at = at.In(loc)
		case !original:
			at = at.In(m.in.Now.Location())
		}
		return datePart(strings.ToLower(what.expand(m)), at)
	}, err
}

// parseZone reads an offset such as "+0100".
func parseZone(p Pos, text string) (*time.Location, error) {
	if len(text) == 5 && (text[0] == '+' || text[0] == '-') {
		if n, err := strconv.Atoi(text[1:]); err == nil && n%100 < 60 && n < 2400 {
			offset := (n/100*60 + n%100) * 60
			if text[0] == '-' {
				offset = -offset
			}
			return time.FixedZone("", offset), nil
		}
	}
	return nil, errorAt(p, "%q is no zone: write it as +0100", text)
}

// datePart gives a part of a date, RFC 5260 section 4.2.
func datePart(part string, t time.Time) (string, bool) {
	layouts := map[string]string{
		"year": "2006", "month": "01", "day": "02", "date": "2006-01-02", "hour": "15", "minute": "04", "second": "05",
		"time": "15:04:05", "iso8601": "2006-01-02T15:04:05Z07:00", "std11": "Mon, 02 Jan 2006 15:04:05 -0700", "zone": "-0700",
	}
	if layout, ok := layouts[part]; ok {
		return t.Format(layout), true
	}
	switch part {
	case "julian": // modified Julian day: days since 1858-11-17
		days := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400
		if t.Year() < 1970 {
			days = int64(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Sub(time.Unix(0, 0)) / (24 * time.Hour))
		}
		return strconv.FormatInt(days+40587, 10), true
	case "weekday":
		return fmt.Sprint(int(t.Weekday())), true
	}
	return "", false
}
