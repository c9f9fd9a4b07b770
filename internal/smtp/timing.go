package smtp

import (
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
)

// By is the BY parameter of RFC 2852 section 4: deliver within so many seconds,
// which may be over already.
type By struct {
	Seconds int64
	Mode    ByMode
	Trace   bool // T: each relay reports
}

// ByMode is what is to be done when the time is over, RFC 2852 section 4.
type ByMode byte

// The modes; 0 is that of a message without BY.
const (
	ByReturn ByMode = 'R' // the message goes back
	ByNotify ByMode = 'N' // the sender is told, and it goes on
)

var (
	errPriority = mail.Reply(501, "5.5.4", "MT-PRIORITY is a number from -9 to 9")
	errHold     = mail.Reply(501, "5.5.4", "HOLDFOR is a number of seconds, HOLDUNTIL a date and time of RFC 3339; only one of them")
	errBy       = mail.Reply(501, "5.5.4", "BY is a number of seconds, a semicolon, and R or N; with R more than 0")
)

// timing reads the parameters that say when a message is to go.
func (m *MailFrom) timing(key, value string) error {
	switch key {
	case "MT-PRIORITY": // RFC 6710 section 3
		n, err := strconv.ParseInt(value, 10, 8)
		if err != nil || n < -9 || n > 9 || strings.HasPrefix(value, "+") {
			return errPriority
		}
		m.Priority = int8(n)
	case "HOLDFOR": // RFC 4865 section 4
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil || len(value) > 9 || n == 0 || !m.HoldUntil.IsZero() {
			return errHold
		}
		m.HoldFor = time.Duration(n) * time.Second
	case "HOLDUNTIL":
		at, err := time.Parse(time.RFC3339, strings.ToUpper(value))
		if err != nil || m.HoldFor != 0 {
			return errHold
		}
		m.HoldUntil = at.UTC()
	case "BY":
		by, ok := parseBy(value)
		if !ok {
			return errBy
		}
		m.By = by
	}
	return nil
}

func parseBy(value string) (by By, ok bool) {
	text, mode, _ := strings.Cut(strings.ToUpper(value), ";")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || len(strings.TrimLeft(text, "+-")) > 9 {
		return by, false
	}
	mode, by.Trace = strings.CutSuffix(mode, "T")
	if len(mode) != 1 {
		return by, false
	}
	by.Seconds, by.Mode = n, ByMode(mode[0])
	return by, by.Mode == ByReturn && n > 0 || by.Mode == ByNotify
}

// ByAt is what is left of a time for delivery. A message that must go back when
// the time is over has at least a second left, or it would not be sent.
func ByAt(d mail.DeliverBy, now time.Time) By {
	const most = 999_999_999
	by := By{Seconds: min(max(int64(d.At.Sub(now)/time.Second), -most), most), Mode: ByNotify, Trace: d.Trace}
	if d.Return {
		by.Mode, by.Seconds = ByReturn, max(by.Seconds, 1)
	}
	return by
}

// appendTiming writes the parameters that timing reads.
func (m *MailFrom) appendTiming(dst []byte) []byte {
	if m.Priority != 0 {
		dst = strconv.AppendInt(append(dst, " MT-PRIORITY="...), int64(m.Priority), 10)
	}
	if m.HoldFor > 0 {
		dst = strconv.AppendInt(append(dst, " HOLDFOR="...), int64(m.HoldFor/time.Second), 10)
	}
	if !m.HoldUntil.IsZero() {
		dst = m.HoldUntil.UTC().AppendFormat(append(dst, " HOLDUNTIL="...), time.RFC3339)
	}
	if m.By.Mode != 0 {
		dst = strconv.AppendInt(append(dst, " BY="...), m.By.Seconds, 10)
		dst = append(dst, ';', byte(m.By.Mode))
		if m.By.Trace {
			dst = append(dst, 'T')
		}
	}
	return dst
}
