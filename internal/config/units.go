package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

type unit struct {
	name string
	size int64
}

// timeUnits and sizeUnits go from large to small.
func timeUnits() []unit {
	return []unit{
		{"d", int64(day)}, {"h", int64(time.Hour)}, {"m", int64(time.Minute)},
		{"s", int64(time.Second)}, {"ms", int64(time.Millisecond)},
	}
}

func sizeUnits() []unit {
	return []unit{{"TiB", 1 << 40}, {"GiB", gib}, {"MiB", mib}, {"KiB", kib}, {"B", 1}}
}

// ParseDuration reads "5d", "4h", "90s", "1h30m", "250ms".
func ParseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf(`%q is not a duration: write a number with d, h, m, s or ms, such as "5m" or "1h30m"`, s)
	var sum int64
	rest := s
	units := timeUnits()
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, bad
		}
		rest = rest[digits:]
		letters := len(rest) - len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz"))
		name := rest[:letters]
		rest = rest[letters:]
		at := -1
		for i, u := range units {
			if u.name == name {
				at = i
			}
		}
		if at < 0 || n > (math.MaxInt64-sum)/units[at].size {
			return 0, bad
		}
		sum += n * units[at].size
		units = units[at+1:] // each unit once, from large to small
	}
	if s == "" {
		return 0, bad
	}
	return time.Duration(sum), nil
}

// FormatDuration writes what ParseDuration reads; what is less than a
// millisecond is cut off.
func FormatDuration(d time.Duration) string {
	rest := int64(d)
	var b strings.Builder
	for _, u := range timeUnits() {
		if n := rest / u.size; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			rest -= n * u.size
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// ParseSize reads "50MiB", "64KiB", "512B".
func ParseSize(s string) (int64, error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if err == nil {
		for _, u := range sizeUnits() {
			if s[digits:] == u.name && n <= math.MaxInt64/u.size {
				return n * u.size, nil
			}
		}
	}
	return 0, fmt.Errorf(`%q is not a size: write a number with B, KiB, MiB, GiB or TiB, such as "50MiB"`, s)
}

// FormatSize writes what ParseSize reads, in the largest unit that fits.
func FormatSize(n int64) string {
	for _, u := range sizeUnits() {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return "0B"
}

// quote writes a basic TOML string.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
