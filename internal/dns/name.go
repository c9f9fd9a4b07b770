package dns

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// canonical is how names are compared and given out: lower case, no trailing
// dot; the root is ".".
func canonical(name string) string {
	if name == "." {
		return name
	}
	return lower(strings.TrimSuffix(name, "."))
}

// lower folds ASCII only, RFC 4343, and leaves all other octets alone.
func lower(s string) string {
	out := []byte(s)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

// wireName checks a name that we shall ask for and writes it as the wire
// library reads it: fully qualified, special octets escaped. A dot always
// separates labels. RFC 1035 section 2.3.4 bounds it.
func wireName(name string) (string, error) {
	name = strings.TrimSuffix(name, ".")
	if name == "" {
		return ".", nil
	}
	if len(name) > 253 {
		return "", errors.New("name longer than 253 octets")
	}
	var b strings.Builder
	for label := range strings.SplitSeq(name, ".") {
		if label == "" {
			return "", errors.New("empty label")
		}
		if len(label) > 63 {
			return "", errors.New("label longer than 63 octets")
		}
		for i := range len(label) {
			switch c := label[i]; {
			case c < ' ' || c >= 0x7f:
				fmt.Fprintf(&b, `\%03d`, c)
			case strings.IndexByte(`\"();@' `, c) >= 0: // as the library writes names that it reads
				b.WriteByte('\\')
				b.WriteByte(c)
			case 'A' <= c && c <= 'Z':
				b.WriteByte(c + 'a' - 'A')
			default:
				b.WriteByte(c)
			}
		}
		b.WriteByte('.')
	}
	return b.String(), nil
}

// unescape undoes the wire library's presentation form of a character string:
// \DDD and \X become the octets they stand for.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			out = append(out, s[i])
		case i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]):
			out = append(out, (s[i+1]-'0')*100+(s[i+2]-'0')*10+s[i+3]-'0')
			i += 3
		default:
			i++
			out = append(out, s[i])
		}
	}
	return string(out)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func unhex(s string) ([]byte, bool) {
	data, err := hex.DecodeString(s)
	return data, err == nil && len(data) > 0
}
