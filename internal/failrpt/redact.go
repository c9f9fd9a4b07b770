package failrpt

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"

	"plic/internal/message"
)

// shown are the fields that tell how a message came and who signed it; all others may
// hold what is between its author and its readers.
var shown = []string{
	"Return-Path", "Received", "Received-SPF", "Authentication-Results", "DKIM-Signature", "ARC-Seal", "ARC-Message-Signature",
	"ARC-Authentication-Results", "From", "Sender", "Reply-To", "To", "Cc", "Date", "Message-ID", "Subject", "List-ID", "Resent-From", "Resent-Sender",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding", "User-Agent", "X-Mailer",
}

// address finds what could be one, with white space around its "@" as RFC 5322 section
// 4.4 lets it stand.
var address = regexp.MustCompile(`((?:"(?:[^"\\\r\n]|\\.)*"|[^\s"<>()\[\]:;,@\\])+)\s*@\s*([A-Za-z0-9._\x80-\xff-]+|\[[^\]\s]*\])`)

// tag is what stands before an address that is the value of something.
var tag = regexp.MustCompile(`^(?:i|envelope-from|(?:smtp|header|body|policy)\.[a-z-]+)=`)

// copied is the tag of signatures that has fields as they were, RFC 6376 section 3.5.
var copied = regexp.MustCompile(`;\s*z\s*=[^;\r]*(?:\r\n[^;\r]+)*`)

// Redact hides whom the message was for, RFC 6590: of each address that is not of the
// domain that gets the report, nor below it, the local part becomes a word that only
// who has the key can make, the same for each time that it stands there. Names of
// recipients go, and fields that are nobody's business.
func (r *Report) Redact(key []byte, domain string) {
	hide := func(text []byte) []byte { return redact(text, key, domain) }
	r.MailFrom, r.Results = string(hide([]byte(r.MailFrom))), string(hide([]byte(r.Results)))
	if r.Signed != nil {
		s := *r.Signed
		s.Identity = string(hide([]byte(s.Identity)))
		r.Signed = &s
	}
	var out []byte
	for name, field := range message.Fields(r.Header) {
		if !slices.ContainsFunc(shown, func(s string) bool { return strings.EqualFold(s, name) }) {
			continue
		}
		switch strings.ToLower(name) {
		case "to", "cc":
			field = recipients(name, field)
		case "dkim-signature", "arc-message-signature":
			field = copied.ReplaceAll(field, nil)
		}
		out = append(out, plainly(name, hide(field), hide)...)
	}
	r.Header = out
}

// plainly writes a field without encoded words, if these hold what is to be hidden.
func plainly(name string, field []byte, hide func([]byte) []byte) []byte {
	_, value, _ := bytes.Cut(field, []byte(":"))
	text := []byte(message.DecodeHeader(string(value)))
	if hidden := hide(text); bytes.Contains(value, []byte("=?")) && !bytes.Equal(hidden, text) {
		return message.AppendField(nil, name, string(hidden), false)
	}
	return field
}

// recipients leaves the addresses of a field, without names.
func recipients(name string, field []byte) []byte {
	_, value, _ := bytes.Cut(field, []byte(":"))
	var list []string
	for _, box := range message.ParseAddressList(strings.NewReplacer("\r\n", "", "\n", "").Replace(string(value))) {
		if box.Host != "" {
			list = append(list, "<"+box.Address()+">")
		}
	}
	return message.AppendField(nil, name, strings.Join(list, ", "), true)
}

func redact(text, key []byte, domain string) []byte {
	return address.ReplaceAllFunc(text, func(found []byte) []byte {
		at := bytes.LastIndexByte(found, '@')
		host := strings.ToLower(string(bytes.TrimSpace(found[at+1:])))
		if host == domain || strings.HasSuffix(host, "."+domain) {
			return found
		}
		what := tag.Find(found)
		mac := hmac.New(sha256.New, key)
		mac.Write(bytes.TrimSpace(found[len(what):at]))
		return slices.Concat(what, []byte(base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:12])), found[at:])
	})
}
