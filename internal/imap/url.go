package imap

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// URL is an IMAP URL that names a message or a part of one, RFC 5092 section 6,
// with the access of RFC 4467.
type URL struct {
	User, Host  string // "" if the URL begins with the path
	Mailbox     string // in UTF-8, spelled as CanonicalName has it; "" for the selected one
	UIDValidity uint32 // 0 if it is not given
	UID         uint32
	Section     Section
	Partial     bool
	Offset      int64
	Count       int64 // 0 is to the end

	Expire    time.Time // zero for never
	Access    string    // "user+fred", "submit+fred", "authuser", "anonymous"; "" if there is no URLAUTH
	Rump      string    // the URL up to and with its access
	Mechanism string    // "INTERNAL", upper case; "" in a rump
	Token     string    // hexadecimal
}

// maxURL bounds the text of a URL.
const maxURL = 4 << 10

// ParseURL reads the URL of a message: with a host, or beginning with the path, or
// relative to the selected mailbox: ";UID=2".
func ParseURL(text string) (URL, error) {
	u := URL{}
	if len(text) > maxURL {
		return u, errors.New("the URL is too long")
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return u, errors.New("a URL holds printable ASCII only")
		}
	}
	path, err := u.parseServer(text)
	if err == nil {
		path, err = u.parseAuth(path, text)
	}
	if err == nil {
		err = u.parsePath(path)
	}
	if err != nil {
		return u, fmt.Errorf("bad IMAP URL: %w", err)
	}
	return u, nil
}

// parseServer reads "imap://user;AUTH=any@host:port" and gives the path.
func (u *URL) parseServer(text string) (path string, err error) {
	const scheme = "imap://"
	if len(text) < len(scheme) || !equalFold(text[:len(scheme)], scheme) {
		switch {
		case strings.HasPrefix(text, ";"):
			return "/" + text, nil
		case !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") || strings.HasPrefix(text, "/;"):
			return "", errors.New("it begins neither with imap:// nor with a path")
		}
		return text[1:], nil
	}
	server, path, ok := strings.Cut(text[len(scheme):], "/")
	if !ok {
		return "", errors.New("it names no mailbox")
	}
	if user, host, found := strings.Cut(server, "@"); found {
		user, _, _ = strings.Cut(user, ";")
		if u.User, err = unescape(user); err != nil {
			return "", err
		}
		server = host
	}
	if u.Host = strings.ToLower(server); u.Host == "" {
		return "", errors.New("it names no host")
	}
	return path, nil
}

// parseAuth takes ";EXPIRE=", ";URLAUTH=" and what follows off the path.
func (u *URL) parseAuth(path, text string) (string, error) {
	at := indexFold(path, ";URLAUTH=")
	if at < 0 {
		if indexFold(path, ";EXPIRE=") >= 0 {
			return "", errors.New("EXPIRE without URLAUTH")
		}
		return path, nil
	}
	auth := path[at+len(";URLAUTH="):]
	access, proof, proven := strings.Cut(auth, ":")
	u.Access, u.Rump = access, text[:len(text)-len(auth)+len(access)]
	if proven {
		var ok bool
		if u.Mechanism, u.Token, ok = strings.Cut(proof, ":"); !ok || u.Mechanism == "" || u.Token == "" {
			return "", errors.New("URLAUTH without mechanism and token")
		}
		u.Mechanism = strings.ToUpper(u.Mechanism)
	}
	path = path[:at]
	if from := indexFold(path, ";EXPIRE="); from >= 0 {
		var err error
		if u.Expire, err = time.Parse(time.RFC3339, strings.ToUpper(path[from+len(";EXPIRE="):])); err != nil {
			return "", errors.New("EXPIRE is no date")
		}
		path = path[:from]
	}
	kind, who, named := strings.Cut(u.Access, "+")
	switch strings.ToLower(kind) {
	case "user", "submit":
		if !named || who == "" {
			return "", errors.New("the access names nobody")
		}
	case "authuser", "anonymous":
		if named {
			return "", errors.New("this access takes no name")
		}
	default:
		return "", errors.New("the access is not known")
	}
	return path, nil
}

// parsePath reads "mailbox;UIDVALIDITY=1/;UID=2/;SECTION=3/;PARTIAL=4.5".
func (u *URL) parsePath(path string) error {
	parts := strings.Split(path, "/;")
	mailbox, validity, given := cutFold(parts[0], ";UIDVALIDITY=")
	name, err := unescape(mailbox)
	if err != nil {
		return err
	}
	u.Mailbox = CanonicalName(strings.TrimSuffix(name, "/"))
	if u.Mailbox == "" && (u.Host != "" || given) {
		return errors.New("it names no mailbox")
	}
	if given {
		if u.UIDValidity, err = nonZero(validity); err != nil {
			return err
		}
	}
	step := 0 // the parts come in this order, each once
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		switch key = strings.ToUpper(key); {
		case key == "UID" && step < 1:
			step = 1
			u.UID, err = nonZero(value)
		case key == "SECTION" && step == 1:
			step = 2
			err = u.parseSection(value)
		case key == "PARTIAL" && step >= 1 && step < 3:
			step = 3
			err = u.parsePartial(value)
		default:
			err = fmt.Errorf("unknown or misplaced part %.30q", part)
		}
		if err != nil {
			return err
		}
	}
	if u.UID == 0 {
		return errors.New("it names no message")
	}
	return nil
}

func (u *URL) parseSection(value string) error {
	text, err := unescape(value)
	if err != nil {
		return err
	}
	s := NewScanner([]byte(text), true)
	u.Section = s.section(true)
	if err := s.End(); err != nil {
		return fmt.Errorf("bad section: %w", err)
	}
	return nil
}

// parsePartial reads "offset" or "offset.length", RFC 5092 section 6.1.
func (u *URL) parsePartial(value string) error {
	offset, count, ranged := strings.Cut(value, ".")
	var err error
	u.Partial = true
	if u.Offset, err = strconv.ParseInt(offset, 10, 63); err != nil || offset[0] == '+' || offset[0] == '-' {
		return errors.New("bad PARTIAL")
	}
	if ranged {
		n, err := nonZero(count)
		if err != nil {
			return errors.New("bad PARTIAL")
		}
		u.Count = int64(n)
	}
	return nil
}

// Item is what the URL asks of its message, as a FETCH would.
func (u *URL) Item() FetchItem {
	it := FetchItem{Kind: FetchSection, Peek: true, Section: u.Section, Partial: u.Partial, Offset: u.Offset, Count: u.Count}
	if it.Partial && it.Count == 0 {
		it.Count = 1<<63 - 1
	}
	return it
}

// unescape resolves %XX; the result is UTF-8 without NUL.
func unescape(text string) (string, error) {
	out, err := url.PathUnescape(text)
	if err != nil {
		return "", errors.New("bad percent encoding")
	}
	if !utf8.ValidString(out) || strings.IndexByte(out, 0) >= 0 {
		return "", errors.New("it is not UTF-8")
	}
	return out, nil
}

func nonZero(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 || text[0] == '+' {
		return 0, fmt.Errorf("bad number %.20q", text)
	}
	return uint32(n), nil
}

// indexFold finds ASCII text without regard to case.
func indexFold(text, what string) int { return strings.Index(strings.ToUpper(text), what) }

func cutFold(text, sep string) (before, after string, found bool) {
	if i := indexFold(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}
