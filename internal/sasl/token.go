package sasl

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxTrace bounds what somebody without a name says of himself, RFC 4505 section
// 2, in characters.
const maxTrace = 255

// oneWord is a mechanism whose client says one thing, perhaps after an empty
// challenge.
type oneWord struct {
	asked bool
	take  func(word string) error
	authz string
}

// Next takes the word.
func (s *oneWord) Next(response []byte) ([]byte, bool, error) {
	if response == nil && !s.asked {
		s.asked = true
		return []byte{}, false, nil
	}
	if err := s.take(string(response)); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// Identity is what the word said; who it was is known to whoever began.
func (s *oneWord) Identity() (string, string) { return s.authz, "" }

// NewExternal begins an exchange of EXTERNAL, RFC 4422 appendix A: who the client
// is has been shown elsewhere, and check decides on that, told whom it wants to
// act as.
func NewExternal(check func(authz string) error) Server {
	s := &oneWord{}
	s.take = func(word string) error {
		if len(word) > MaxName || !utf8.ValidString(word) || strings.ContainsRune(word, 0) {
			return fmt.Errorf("%w: bad authorization identity", ErrMalformed)
		}
		s.authz = word
		return check(word)
	}
	return s
}

// NewAnonymous begins an exchange of ANONYMOUS, RFC 4505. What the client says of
// itself proves nothing.
func NewAnonymous(check func(trace string) error) Server {
	return &oneWord{take: func(trace string) error {
		if !utf8.ValidString(trace) || utf8.RuneCountInString(trace) > maxTrace || strings.ContainsFunc(trace, isControl) {
			return fmt.Errorf("%w: bad trace", ErrMalformed)
		}
		return check(trace)
	}}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// bearerServer is OAUTHBEARER and XOAUTH2: a token, and after a refusal one more
// round, in which the client is told why.
type bearerServer struct {
	parse   func(text string) (user, token string, err error)
	check   func(user, token string) (refusal []byte, err error)
	asked   bool
	refused error
	user    string
}

// NewBearer begins an exchange of OAUTHBEARER, RFC 7628. check decides on the
// token; with its error it may give what the client is told of it, JSON as in
// section 3.2.2.
func NewBearer(check func(user, token string) (refusal []byte, err error)) Server {
	return &bearerServer{parse: parseBearer, check: check}
}

// NewXBearer begins an exchange of XOAUTH2, the older mechanism of Google and
// Microsoft.
func NewXBearer(check func(user, token string) (refusal []byte, err error)) Server {
	return &bearerServer{parse: parseXBearer, check: check}
}

// Next takes the token, or what the client says to its refusal.
func (s *bearerServer) Next(response []byte) ([]byte, bool, error) {
	switch {
	case s.refused != nil: // ^A or nothing: it has heard, RFC 7628 section 3.2.3
		return nil, false, s.refused
	case response == nil && !s.asked:
		s.asked = true
		return []byte{}, false, nil
	case len(response) > MaxResponse:
		return nil, false, ErrTooLong
	case !utf8.Valid(response):
		return nil, false, fmt.Errorf("%w: a token is ASCII", ErrMalformed)
	}
	user, token, err := s.parse(string(response))
	if err != nil {
		return nil, false, err
	}
	if err := checkFields(user+"-", "-"); err != nil {
		return nil, false, err
	}
	s.user = user
	refusal, err := s.check(user, token)
	if err != nil && refusal != nil {
		s.refused = err
		return refusal, false, nil
	}
	return nil, err == nil, err
}

// Identity is whom the client says it is; the token knows who owns it.
func (s *bearerServer) Identity() (string, string) { return s.user, "" }

// parseBearer reads "n,a=user,^Ahost=…^Aport=…^Aauth=Bearer token^A^A", RFC 7628
// section 3.1. No token is a question for what the server wants.
func parseBearer(text string) (user, token string, err error) {
	bad := fmt.Errorf("%w: not OAUTHBEARER", ErrMalformed)
	header, rest, ok := strings.Cut(text, "\x01")
	parts := strings.Split(header, ",")
	if !ok || len(parts) != 3 || parts[2] != "" || parts[0] != "n" && parts[0] != "y" {
		return "", "", bad
	}
	if name, given := strings.CutPrefix(parts[1], "a="); given {
		if user, ok = decodeName(name); !ok || user == "" {
			return "", "", bad
		}
	} else if parts[1] != "" {
		return "", "", bad
	}
	if rest == "\x01" {
		return user, "", nil
	}
	token, ok = bearerOf(rest)
	if !ok {
		return "", "", bad
	}
	return user, token, nil
}

// decodeName undoes saslname, RFC 5801 section 4.
func decodeName(text string) (string, bool) {
	name := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(text)
	return name, strings.Count(text, "=") == strings.Count(text, "=2C")+strings.Count(text, "=3D")
}

// parseXBearer reads "user=…^Aauth=Bearer token^A^A".
func parseXBearer(text string) (user, token string, err error) {
	head, rest, ok := strings.Cut(text, "\x01")
	user, named := strings.CutPrefix(head, "user=")
	token, found := bearerOf(rest)
	if !ok || !named || !found || user == "" {
		return "", "", fmt.Errorf("%w: not XOAUTH2", ErrMalformed)
	}
	return user, token, nil
}

// bearerOf finds the token among pairs that end in ^A each, and all in one more.
func bearerOf(text string) (token string, ok bool) {
	pairs, ok := strings.CutSuffix(text, "\x01\x01")
	if !ok {
		return "", false
	}
	ok = false
	for pair := range strings.SplitSeq(pairs, "\x01") {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return "", false
		}
		if key != "auth" {
			continue
		}
		scheme, rest, _ := strings.Cut(value, " ")
		token = strings.TrimLeft(rest, " ")
		if ok || !strings.EqualFold(scheme, "Bearer") || !isToken(token) {
			return "", false
		}
		ok = true
	}
	return token, ok
}

// isToken: b64token of RFC 6750 section 2.1.
func isToken(text string) bool {
	body := strings.TrimRight(text, "=")
	return body != "" && !strings.ContainsFunc(body, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/", r)
	})
}
