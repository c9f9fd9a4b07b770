package mbox

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// maxFrom bounds a From_ line.
const maxFrom = 1000

// parseFrom reads a From_ line: a sender, who may be missing or hold spaces, and
// a date as asctime writes it or in one of the many other ways; zone is that of
// dates that name none.
func parseFrom(line []byte, zone *time.Location) (sender string, date time.Time, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte("From "))
	if !ok || len(line) > maxFrom {
		return "", time.Time{}, false
	}
	words := strings.Fields(string(rest))
	for i := 0; i < len(words) && i < 8; i++ {
		if date, ok := parseDate(words[i:], zone); ok {
			return strings.Join(words[:i], " "), date, true
		}
	}
	return "", time.Time{}, false
}

func weekday(word string) bool {
	switch strings.ToLower(strings.TrimSuffix(word, ",")) {
	case "mon", "tue", "wed", "thu", "fri", "sat", "sun",
		"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday":
		return true
	}
	return false
}

func month(word string) time.Month {
	if len(word) < 3 {
		return 0
	}
	i := strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(word[:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

func number(word string, least, most int) (int, bool) {
	if word == "" || word[0] < '0' || word[0] > '9' {
		return 0, false
	}
	n, err := strconv.Atoi(word)
	return n, err == nil && n >= least && n <= most
}

// moment is a date being read.
type moment struct {
	year, day, hour, minute, second int
	month                           time.Month
	zone                            *time.Location
	timed                           bool
}

// parseDate reads a date that words begin with.
func parseDate(words []string, zone *time.Location) (time.Time, bool) {
	m := moment{zone: zone}
	named := len(words) > 0 && weekday(words[0])
	if named {
		words = words[1:]
	}
	if len(words) == 0 || len(words) > 12 {
		return time.Time{}, false
	}
	if t, ok := isoDate(words, zone); ok && !named {
		return t, true
	}
	if !named && (month(words[0]) != 0) {
		return time.Time{}, false // "From May 1 on": a sentence
	}
	if len(words) < 4 {
		return time.Time{}, false
	}
	for _, w := range words[:2] {
		if n, ok := number(w, 1, 31); ok {
			m.day = n
		} else if mon := month(w); mon != 0 {
			m.month = mon
		}
	}
	if m.day == 0 || m.month == 0 || !m.rest(words[2:]) {
		return time.Time{}, false
	}
	t := time.Date(m.year, m.month, m.day, m.hour, m.minute, m.second, 0, m.zone)
	return t, t.Day() == m.day
}

// rest reads what follows day and month: time, year and zones, in any order.
func (m *moment) rest(words []string) bool {
	for i, w := range words {
		switch n, ok := number(w, 1900, 9999); {
		case ok && m.year == 0:
			m.year = n
		case !m.timed && m.time(w):
		case m.zoned(w):
		case w == "remote" && i+2 < len(words) && words[i+1] == "from": // of UUCP
			return m.year != 0 && m.timed
		default:
			if n, ok := number(w, 0, 99); ok && len(w) == 2 && m.year == 0 {
				if m.year = 1900 + n; n < 70 {
					m.year += 100
				}
				continue
			}
			return false
		}
	}
	return m.year != 0 && m.timed
}

func (m *moment) time(word string) bool {
	parts := strings.Split(word, ":")
	if len(parts) < 2 || len(parts) > 3 {
		return false
	}
	var ok bool
	if m.hour, ok = number(parts[0], 0, 23); !ok {
		return false
	}
	if m.minute, ok = number(parts[1], 0, 59); !ok {
		return false
	}
	if len(parts) == 3 {
		if m.second, ok = number(parts[2], 0, 60); !ok {
			return false
		}
	}
	m.timed = true
	return true
}

// zoned reads a zone: as a number it counts, as a name only if it is a common
// one.
func (m *moment) zoned(word string) bool {
	word = strings.Trim(word, "()")
	if len(word) == 5 && (word[0] == '+' || word[0] == '-') {
		n, err := strconv.Atoi(word[1:])
		if err != nil || n%100 > 59 || n > 1459 {
			return false
		}
		east := n/100*3600 + n%100*60
		if word[0] == '-' {
			east = -east
		}
		m.zone = time.FixedZone("", east)
		return true
	}
	if len(word) < 1 || len(word) > 5 {
		return false
	}
	for i := range len(word) {
		if c := word[i]; c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			return false
		}
	}
	switch strings.ToUpper(word) {
	case "UT", "UTC", "GMT", "Z", "WET":
		m.zone = time.UTC
	case "EDT":
		m.zone = time.FixedZone("", -4*3600)
	case "EST", "CDT":
		m.zone = time.FixedZone("", -5*3600)
	case "CST", "MDT":
		m.zone = time.FixedZone("", -6*3600)
	case "MST", "PDT":
		m.zone = time.FixedZone("", -7*3600)
	case "PST":
		m.zone = time.FixedZone("", -8*3600)
	case "CET", "MET", "BST":
		m.zone = time.FixedZone("", 3600)
	case "CEST", "MEST", "EET":
		m.zone = time.FixedZone("", 2*3600)
	}
	return true
}

// isoDate reads "2026-11-26 18:25:12" and "2026-11-26T18:25:12Z".
func isoDate(words []string, zone *time.Location) (time.Time, bool) {
	text := words[0]
	if len(text) < 10 || text[4] != '-' {
		return time.Time{}, false
	}
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04:05-0700"} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil && len(words) == 1 {
			return t, true
		}
	}
	if len(words) < 2 || len(words) > 3 {
		return time.Time{}, false
	}
	layout := "2006-01-02 15:04:05"
	text += " " + words[1]
	if len(words) == 3 {
		layout, text = layout+" -0700", text+" "+words[2]
	}
	t, err := time.ParseInLocation(layout, text, zone)
	return t, err == nil
}

// fromLine is a From_ line as it is written.
func fromLine(sender string, date time.Time) string {
	sender = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, sender)
	if sender == "" || len(sender) > maxFrom/2 || weekday(sender) {
		sender = "MAILER-DAEMON"
	}
	if y := date.Year(); y < 1900 || y > 9999 {
		date = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return "From " + sender + " " + date.Format("Mon Jan _2 15:04:05 2006") + "\n"
}
