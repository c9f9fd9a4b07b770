package dkim

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Tags are the tags of a signature or a key record.
type Tags map[string]string

// maxTags bounds how many tags are read.
const maxTags = 64

// ParseTags reads a tag-list, RFC 6376 section 3.2. Names keep their case.
func ParseTags(text string) (Tags, error) {
	tags := Tags{}
	for spec := range strings.SplitSeq(text, ";") {
		spec = strings.Trim(spec, " \t\r\n")
		if spec == "" {
			continue
		}
		name, value, ok := strings.Cut(spec, "=")
		name = strings.TrimRight(name, " \t\r\n")
		if !ok || !isTagName(name) {
			return nil, fmt.Errorf("%.40q is no tag", spec)
		}
		if _, twice := tags[name]; twice {
			return nil, fmt.Errorf("the tag %s is there twice", name)
		}
		if len(tags) == maxTags {
			return nil, fmt.Errorf("more than %d tags", maxTags)
		}
		tags[name] = strings.Trim(value, " \t\r\n")
	}
	return tags, nil
}

func isTagName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if letter := 'a' <= c|0x20 && c|0x20 <= 'z'; !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return name != ""
}

// List gives the parts of a value between colons.
func (t Tags) List(name string) []string {
	value, ok := t[name]
	if !ok {
		return nil
	}
	parts := strings.Split(value, ":")
	for i := range parts {
		parts[i] = strings.Trim(parts[i], " \t\r\n")
	}
	return parts
}

// Bytes decodes base64, which may be folded.
func (t Tags) Bytes(name string) ([]byte, error) {
	value, ok := t[name]
	if !ok {
		return nil, fmt.Errorf("the tag %s is missing", name)
	}
	b, err := base64.StdEncoding.DecodeString(withoutSpace(value))
	if err != nil {
		return nil, fmt.Errorf("the tag %s is not base64", name)
	}
	return b, nil
}

func withoutSpace(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, s)
}

// lower folds ASCII.
func lower(s string) string { return strings.ToLower(s) }

// cutSignature takes the value of the b= tag out of a field, as it must be when
// the field itself is hashed, RFC 6376 section 3.7.
func cutSignature(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	text := string(raw)
	head, rest, _ := strings.Cut(text, ":")
	out = append(append(out, head...), ':')
	for i := 0; ; i++ {
		spec, after, more := strings.Cut(rest, ";")
		name, _, ok := strings.Cut(spec, "=")
		if ok && strings.Trim(name, " \t\r\n") == "b" {
			out = append(append(out, name...), '=')
		} else {
			out = append(out, spec...)
		}
		if !more {
			return out
		}
		out = append(out, ';')
		rest = after
	}
}
