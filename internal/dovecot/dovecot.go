// Package dovecot is the lines of Dovecot's authentication protocol, version 1, as
// its documentation has it: fields between tabs. Both ends share it; it does no
// I/O.
package dovecot

import (
	"errors"
	"strconv"
	"strings"
)

// The version that is spoken. Minor ones may differ.
const (
	Major = 1
	Minor = 2
)

// MaxLine bounds a line in octets; a response of SASL fits in with all else.
const MaxLine = 16384

// ErrVersion is a peer of another version, or none.
var ErrVersion = errors.New("the peer does not speak version 1 of Dovecot's authentication protocol")

// Join makes a line of its fields, each a word or "name=value".
func Join(fields ...string) string {
	escape := escaper()
	for i, f := range fields {
		fields[i] = escape.Replace(f)
	}
	return strings.Join(fields, "\t") + "\n"
}

// Split gives the fields of a line without its end.
func Split(line string) []string {
	fields := strings.Split(line, "\t")
	unescape := strings.NewReplacer("\x011", "\x01", "\x010", "\x00", "\x01t", "\t", "\x01n", "\n", "\x01r", "\r")
	for i, f := range fields {
		if strings.Contains(f, "\x01") {
			fields[i] = unescape.Replace(f)
		}
	}
	return fields
}

func escaper() *strings.Replacer {
	return strings.NewReplacer("\x01", "\x011", "\x00", "\x010", "\t", "\x01t", "\n", "\x01n", "\r", "\x01r")
}

// Parameters are the fields behind the first ones, by name; a word without a
// value has "". The first of a name counts.
func Parameters(fields []string) map[string]string {
	all := make(map[string]string, len(fields))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, "=")
		if _, ok := all[name]; !ok {
			all[name] = value
		}
	}
	return all
}

// CheckVersion looks at the line by which each end begins.
func CheckVersion(fields []string) error {
	if len(fields) < 3 || fields[0] != "VERSION" || fields[1] != strconv.Itoa(Major) {
		return ErrVersion
	}
	return nil
}

// Version is that line.
func Version() string { return Join("VERSION", strconv.Itoa(Major), strconv.Itoa(Minor)) }
