package smtp

import (
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
)

// Lengths that RFC 3461 sections 4.2 and 4.4 allow, encoded.
const (
	maxEnvelopeID = 100
	maxOriginal   = 500
)

// MailFrom is what a MAIL command says.
type MailFrom struct {
	From       mail.Address
	Size       int64         // SIZE, RFC 1870; 0 for none
	Body       mail.BodyKind // BODY, RFC 6152 and 3030; "" for none
	UTF8       bool          // SMTPUTF8, RFC 6531
	RequireTLS bool          // REQUIRETLS, RFC 8689
	Ret        string        // RET, RFC 3461: "FULL", "HDRS" or ""
	EnvelopeID string        // ENVID decoded
	Auth       string        // AUTH decoded, RFC 4954 section 5: "<>", an address or ""
	Priority   int8          // MT-PRIORITY, RFC 6710: -9 to 9
	HoldFor    time.Duration // HOLDFOR, RFC 4865; 0 for none
	HoldUntil  time.Time     // HOLDUNTIL, the same; the zero value for none
	By         By            // BY, RFC 2852
}

var (
	errMailSyntax   = mail.Reply(501, "5.5.4", "write MAIL FROM:<address> and parameters")
	errRcptSyntax   = mail.Reply(501, "5.5.4", "write RCPT TO:<address> and parameters")
	errSender       = mail.Reply(501, "5.1.7", "bad sender address")
	errRecipient    = mail.Reply(501, "5.1.3", "bad recipient address")
	errNoDomain     = mail.Reply(501, "5.1.7", "the sender address needs a domain")
	errSourceRoute  = mail.Reply(553, "5.1.3", "source routes are not served")
	errSourceSender = mail.Reply(553, "5.1.7", "source routes are not served")
	errNeedsUTF8    = mail.Reply(553, "5.6.7", "an address that is not ASCII needs SMTPUTF8")
	errParam        = mail.Reply(501, "5.5.4", "bad parameter syntax")
	errTwice        = mail.Reply(501, "5.5.4", "parameter given twice")
	errUnknown      = mail.Reply(555, "5.5.4", "unknown parameter")
	errSize         = mail.Reply(501, "5.5.4", "SIZE needs a number of octets")
	errBody         = mail.Reply(501, "5.5.4", "BODY is 7BIT or 8BITMIME")
	errRet          = mail.Reply(501, "5.5.4", "RET is FULL or HDRS")
	errEnvID        = mail.Reply(501, "5.5.4", "ENVID is xtext of at most 100 characters")
	errAuthParam    = mail.Reply(501, "5.5.4", "AUTH is an address in xtext or <>")
	errUTF8Param    = mail.Reply(501, "5.5.4", "SMTPUTF8 has no value")
	errRequireTLS   = mail.Reply(501, "5.5.4", "REQUIRETLS has no value")
	errNotify       = mail.Reply(501, "5.5.4", "NOTIFY is NEVER or a list of SUCCESS, FAILURE and DELAY")
	errOriginal     = mail.Reply(501, "5.5.4", "ORCPT is an address type, a semicolon and an address in xtext")
)

// ParseMail reads the arguments of MAIL, "FROM:<path> parameters". An error is
// a mail.Status.
func ParseMail(args string) (MailFrom, error) {
	var m MailFrom
	path, rest, ok := cutPath(args, "FROM:")
	if !ok {
		return m, errMailSyntax
	}
	if strings.HasPrefix(path, "@") {
		return m, errSourceSender
	}
	if path != "" {
		from, err := mail.ParseAddress(path)
		if err != nil {
			if strings.IndexByte(path, '@') < 0 {
				return m, errNoDomain
			}
			return m, errSender
		}
		m.From = from
	}
	if err := eachParam(rest, m.param); err != nil {
		return m, err
	}
	if !m.UTF8 && !ascii(args) {
		return m, errNeedsUTF8
	}
	return m, nil
}

func (m *MailFrom) param(key, value string) error {
	switch key {
	case "SIZE":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			return errSize
		}
		m.Size = int64(n)
	case "BODY":
		switch kind := mail.BodyKind(strings.ToUpper(value)); kind {
		case mail.Body7Bit, mail.Body8Bit, mail.BodyBinary:
			m.Body = kind
		default:
			return errBody
		}
	case "SMTPUTF8":
		if value != "" {
			return errUTF8Param
		}
		m.UTF8 = true
	case "REQUIRETLS":
		if value != "" {
			return errRequireTLS
		}
		m.RequireTLS = true
	case "RET":
		m.Ret = strings.ToUpper(value)
		if m.Ret != "FULL" && m.Ret != "HDRS" {
			return errRet
		}
	case "ENVID":
		id, err := DecodeXtext(value)
		if err != nil || id == "" || len(value) > maxEnvelopeID {
			return errEnvID
		}
		m.EnvelopeID = id
	case "AUTH":
		who, err := DecodeXtext(value)
		if err != nil {
			return errAuthParam
		}
		if who != "<>" {
			if _, err := mail.ParseAddress(who); err != nil {
				return errAuthParam
			}
		}
		m.Auth = who
	case "MT-PRIORITY", "HOLDFOR", "HOLDUNTIL", "BY":
		return m.timing(key, value)
	default:
		return errUnknown
	}
	return nil
}

// Append writes "MAIL FROM:<path> parameters" without a line end. Every field
// that is set is written: leave out what the server did not offer.
func (m MailFrom) Append(dst []byte) []byte {
	dst = append(dst, "MAIL FROM:"...)
	dst = append(dst, m.From.Path()...)
	if m.Size > 0 {
		dst = strconv.AppendInt(append(dst, " SIZE="...), m.Size, 10)
	}
	if m.Body != "" {
		dst = append(append(dst, " BODY="...), m.Body...)
	}
	if m.UTF8 {
		dst = append(dst, " SMTPUTF8"...)
	}
	if m.RequireTLS {
		dst = append(dst, " REQUIRETLS"...)
	}
	if m.Ret != "" {
		dst = append(append(dst, " RET="...), m.Ret...)
	}
	if m.EnvelopeID != "" {
		dst = append(append(dst, " ENVID="...), EncodeXtext(m.EnvelopeID)...)
	}
	if m.Auth != "" {
		dst = append(append(dst, " AUTH="...), EncodeXtext(m.Auth)...)
	}
	return m.appendTiming(dst)
}

// ParseRcpt reads the arguments of RCPT, "TO:<path> parameters"; utf8 says
// that MAIL gave SMTPUTF8. The path may be "Postmaster" without a domain, RFC
// 5321 section 4.5.1. An error is a mail.Status.
func ParseRcpt(args string, utf8 bool) (mail.Recipient, error) {
	var r mail.Recipient
	path, rest, ok := cutPath(args, "TO:")
	if !ok {
		return r, errRcptSyntax
	}
	if !utf8 && !ascii(args) {
		return r, errNeedsUTF8
	}
	switch {
	case strings.HasPrefix(path, "@"):
		return r, errSourceRoute
	case strings.EqualFold(path, "postmaster"):
		r.Address = mail.Address{Local: path}
	default:
		to, err := mail.ParseAddress(path)
		if err != nil {
			return r, errRecipient
		}
		r.Address = to
	}
	return r, eachParam(rest, func(key, value string) error { return rcptParam(&r, key, value) })
}

func rcptParam(r *mail.Recipient, key, value string) error {
	switch key {
	case "NOTIFY":
		for word := range strings.SplitSeq(value, ",") {
			kind := mail.NotifyWord(word)
			if kind == 0 || r.Notify&kind != 0 {
				return errNotify
			}
			r.Notify |= kind
		}
		if r.Notify&mail.NotifyNever != 0 && r.Notify != mail.NotifyNever {
			return errNotify
		}
	case "ORCPT":
		original, ok := decodeOriginal(value)
		if !ok || len(value) > maxOriginal {
			return errOriginal
		}
		r.Original = original
	default:
		return errUnknown
	}
	return nil
}

// decodeOriginal reads "type;address", in the encoding that the type has: xtext,
// or for "utf-8" that of RFC 6533 section 3. Postfix writes an address that is
// not ASCII as "rfc822" with its UTF-8 in xtext, and must not be refused for it:
// that is a "utf-8" address.
func decodeOriginal(value string) (string, bool) {
	kind, encoded, ok := strings.Cut(value, ";")
	if !ok || encoded == "" || !isKeyword(kind) {
		return "", false
	}
	decode := DecodeXtext
	if strings.EqualFold(kind, "utf-8") {
		decode = DecodeUTF8Xtext
	}
	text, err := decode(encoded)
	if err != nil && strings.EqualFold(kind, "rfc822") {
		kind = "utf-8"
		text, err = decodeWideXtext(encoded)
	}
	return kind + ";" + text, err == nil
}

// AppendRcpt writes "RCPT TO:<path> parameters" without a line end. Take Notify
// and Original away where the server does not offer DSN.
func AppendRcpt(dst []byte, r mail.Recipient) []byte {
	dst = append(dst, "RCPT TO:"...)
	dst = append(dst, r.Address.Path()...)
	if r.Notify != 0 {
		dst = append(dst, " NOTIFY="...)
		dst = append(dst, r.Notify.Words()...)
	}
	if kind, text, ok := strings.Cut(r.Original, ";"); ok {
		encode := EncodeXtext
		if strings.EqualFold(kind, "utf-8") {
			encode = EncodeUTF8Xtext
		}
		dst = append(dst, " ORCPT="...)
		dst = append(dst, kind...)
		dst = append(append(dst, ';'), encode(text)...)
	}
	return dst
}

// cutPath takes "FROM:" or "TO:" and the path in angle brackets off; the path
// comes without its brackets. White space after the colon is not in RFC 5321
// section 3.3, but devices write it and it means nothing else.
func cutPath(args, word string) (path, rest string, ok bool) {
	if len(args) < len(word) || !strings.EqualFold(args[:len(word)], word) {
		return "", "", false
	}
	args = strings.TrimLeft(args[len(word):], " ")
	if !strings.HasPrefix(args, "<") {
		return "", "", false
	}
	quoted := false
	for i := 1; i < len(args); i++ {
		switch c := args[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			path, rest = args[1:i], args[i+1:]
			return path, rest, rest == "" || rest[0] == ' '
		}
	}
	return "", "", false
}

// eachParam reads esmtp-params, RFC 5321 section 4.1.2: words apart by spaces,
// each a keyword and perhaps "=" and a value, none twice.
func eachParam(text string, each func(key, value string) error) error {
	var seen []string
	for word := range strings.SplitSeq(text, " ") {
		if word == "" {
			continue
		}
		key, value, equals := strings.Cut(word, "=")
		if !isKeyword(key) || equals != (value != "") || strings.IndexByte(value, '=') >= 0 || strings.IndexByte(value, '\t') >= 0 {
			return errParam
		}
		key = strings.ToUpper(key)
		for _, other := range seen {
			if other == key {
				return errTwice
			}
		}
		seen = append(seen, key)
		if len(seen) > 16 {
			return errParam
		}
		if err := each(key, value); err != nil {
			return err
		}
	}
	return nil
}

// isKeyword says that text is an esmtp-keyword.
func isKeyword(text string) bool {
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c != '-' || i == 0) {
			return false
		}
	}
	return text != ""
}

func ascii(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
