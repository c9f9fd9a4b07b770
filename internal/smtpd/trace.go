package smtpd

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
)

// dateForm is the date-time of RFC 5322 section 3.3.
const dateForm = "Mon, 02 Jan 2006 15:04:05 -0700"

// trace is what we put before a message: the Received field of RFC 5321
// section 4.4, and at submission Date and Message-ID where they are missing,
// RFC 6409 section 8.
func trace(env *mail.Envelope, h *header, host string) []byte {
	b := make([]byte, 0, 512)
	b = append(b, "Received: from "...)
	b = appendName(b, env.Origin.Helo)
	if addr := env.Origin.Remote.Addr(); addr.IsValid() {
		b = append(b, " ("...)
		if env.Origin.Name != "" {
			b = append(appendName(b, env.Origin.Name), ' ')
		}
		b = append(appendLiteral(b, addr), ')')
	}
	b = append(b, "\r\n\tby "...)
	b = append(b, host...)
	b = append(b, " with "...)
	b = append(b, env.Origin.Protocol...)
	b = append(b, " id "...)
	b = append(b, env.ID.String()...)
	if len(env.To) == 1 { // with more, it would tell one of another
		b = append(b, "\r\n\tfor "...)
		b = append(b, env.To[0].Address.Path()...)
	}
	if i := strings.LastIndexByte(env.Origin.TLS, ' '); i >= 0 { // RFC 8314 section 4.3
		b = append(append(b, "\r\n\t("...), strings.ReplaceAll(env.Origin.TLS[:i], " ", "")...)
		b = append(append(b, ") tls "...), env.Origin.TLS[i+1:]...)
	}
	if env.Priority != 0 { // RFC 6710 section 4.4
		b = strconv.AppendInt(append(b, "\r\n\tpriority "...), int64(env.Priority), 10)
	}
	b = append(b, ";\r\n\t"...)
	b = env.Received.AppendFormat(b, dateForm)
	b = append(b, "\r\n"...)
	if env.Origin.Service == Submission.String() {
		b = complete(b, env, h, host, env.Received)
	}
	if h.bare {
		b = append(b, "\r\n"...) // or the first line of the text would be taken for a field
	}
	return b
}

// complete adds the fields that a submitted message must have.
func complete(b []byte, env *mail.Envelope, h *header, host string, now time.Time) []byte {
	if !h.date {
		b = now.AppendFormat(append(b, "Date: "...), dateForm)
		b = append(b, "\r\n"...)
	}
	if !h.hasID {
		h.messageID = "<" + env.ID.String() + "@" + host + ">"
		b = append(append(append(b, "Message-ID: "...), h.messageID...), "\r\n"...)
	}
	return b
}

// appendName writes a name that a stranger gave so that it stays one word.
func appendName(b []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', strings.IndexByte("-._:[]", c) >= 0:
			b = append(b, c)
		default:
			b = append(b, '?')
		}
	}
	return b
}

// appendLiteral writes an address literal, RFC 5321 section 4.1.3.
func appendLiteral(b []byte, addr netip.Addr) []byte {
	b = append(b, '[')
	if addr.Is6() {
		b = append(b, "IPv6:"...)
	}
	return append(addr.WithZone("").AppendTo(b), ']')
}
