package engine

import "time"

// Date is an INTERNALDATE, RFC 9051 section 2.3.3: an instant to the second and
// the zone that it was told in. Below are 48 bits of seconds since 1970, above
// them the minutes east of UTC.
type Date int64

const dateBits = 48

// DateOf is the Date of a time.
func DateOf(t time.Time) Date {
	_, east := t.Zone()
	return Date(int64(east/60)<<dateBits | t.Unix()&(1<<dateBits-1))
}

// Unix is the instant in seconds since 1970.
func (d Date) Unix() int64 { return int64(d) << (64 - dateBits) >> (64 - dateBits) }

// zone is in minutes. That of an instant before 1970 without one would be -1,
// which is none.
func (d Date) zone() int64 {
	if z := int64(d) >> dateBits; z != -1 {
		return z
	}
	return 0
}

// Time is the instant in its zone.
func (d Date) Time() time.Time {
	t := time.Unix(d.Unix(), 0)
	if z := d.zone(); z != 0 {
		return t.In(time.FixedZone("", int(z)*60))
	}
	return t.UTC()
}

// Day is the day that it was in its zone, in days since 1970.
func (d Date) Day() int64 {
	at := d.Unix() + d.zone()*60
	if at < 0 {
		at -= 86399
	}
	return at / 86400
}
