package message

import "strings"

// BaseSubject gives what of a decoded subject is left without "Re:", "[list]",
// "(fwd)" and the like, RFC 5256 section 2.1, and whether one of those that make
// a reply or a forwarded message was there.
func BaseSubject(subject string) (base string, reply bool) {
	s := strings.Join(strings.FieldsFunc(subject, isSpace), " ")
	for {
		var found bool
		if s, found = cutTrailers(s); found {
			reply = true
		}
		for {
			rest, kind := cutLeader(s)
			if kind == noLeader {
				break
			}
			reply = reply || kind == replyLeader
			s = rest
		}
		if len(s) < 6 || !strings.EqualFold(s[:5], "[fwd:") || s[len(s)-1] != ']' {
			return s, reply
		}
		s, reply = s[5:len(s)-1], true
	}
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || r == '\r' || r == '\n' }

// cutTrailers takes "(fwd)" and space off the end.
func cutTrailers(s string) (rest string, found bool) {
	for {
		s = strings.TrimRight(s, " ")
		if len(s) < 5 || !strings.EqualFold(s[len(s)-5:], "(fwd)") {
			return s, found
		}
		s, found = s[:len(s)-5], true
	}
}

// leader is what a subject begins with that is not of its base.
type leader uint8

const (
	noLeader leader = iota
	blobLeader
	replyLeader
)

// cutLeader takes the first leader off: space, "[blobs] Re [blob]:", or a blob
// that leaves something behind it.
func cutLeader(s string) (rest string, kind leader) {
	if trimmed := strings.TrimLeft(s, " "); trimmed != s {
		return trimmed, blobLeader
	}
	after, last := s, s
	for {
		if rest, ok := cutReply(after); ok {
			return rest, replyLeader
		}
		next, ok := cutBlob(after)
		if !ok {
			break
		}
		last, after = after, next
	}
	switch {
	case after == s:
		return s, noLeader
	case after != "":
		return after, blobLeader // there is no reply behind any of the blobs
	case last == s:
		return s, noLeader
	}
	return last, blobLeader
}

// cutReply takes "re:", "fw:" or "fwd:" off, in which a blob may stand.
func cutReply(s string) (rest string, ok bool) {
	switch {
	case len(s) >= 2 && strings.EqualFold(s[:2], "re"):
		s = s[2:]
	case len(s) >= 3 && strings.EqualFold(s[:3], "fwd"):
		s = s[3:]
	case len(s) >= 2 && strings.EqualFold(s[:2], "fw"):
		s = s[2:]
	default:
		return s, false
	}
	s = strings.TrimLeft(s, " ")
	if after, ok := cutBlob(s); ok {
		s = after
	}
	return strings.CutPrefix(s, ":")
}

// cutBlob takes "[text]" and the space behind it off.
func cutBlob(s string) (rest string, ok bool) {
	if s == "" || s[0] != '[' {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] != ']' {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

// maxMessageIDs bounds what is read of a References field.
const maxMessageIDs = 1000

// MessageIDs gives the message identifiers in a field, RFC 5322 section 3.6.4,
// without their brackets and without quotes that are not needed, so that what
// means the same is the same (RFC 5256 section 2.2).
func MessageIDs(value string) (ids []string) {
	for len(ids) < maxMessageIDs {
		from := strings.IndexByte(value, '<')
		if from < 0 {
			break
		}
		value = value[from+1:]
		end := idEnd(value)
		if end < 0 {
			continue
		}
		if id := bareID(value[:end]); id != "" {
			ids = append(ids, id)
		}
		value = value[end+1:]
	}
	return ids
}

// idEnd finds the ">" of an identifier, which may stand in quotes too; a "<"
// before it begins another.
func idEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i
		case c == '<' && !quoted:
			return -1
		}
	}
	return -1
}

func bareID(s string) string {
	if strings.IndexByte(s, '@') < 0 {
		return ""
	}
	if !strings.ContainsAny(s, "\" \t\r\n\\") {
		return s
	}
	b := make([]byte, 0, len(s))
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(s):
			i++
			b = append(b, s[i])
		case c == '\r' || c == '\n' || !quoted && (c == ' ' || c == '\t'):
		default:
			b = append(b, c)
		}
	}
	return string(b)
}
