package imap

import (
	"slices"
	"strconv"

	"plic/internal/message"
)

// AppendEnvelope writes ENVELOPE, RFC 9051 section 7.5.2.
func AppendEnvelope(dst []byte, e *message.Envelope) []byte {
	if e == nil {
		return append(dst, "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"...)
	}
	dst = append(dst, '(')
	dst = appendGiven(dst, e.Date, e.HasDate)
	dst = append(dst, ' ')
	dst = appendGiven(dst, e.Subject, e.HasSubject)
	sender, reply := e.Sender, e.ReplyTo
	if len(sender) == 0 {
		sender = e.From // "the server MUST default" them, same section
	}
	if len(reply) == 0 {
		reply = e.From
	}
	for _, list := range [...][]message.Mailbox{e.From, sender, reply, e.To, e.Cc, e.Bcc} {
		dst = append(dst, ' ')
		dst = appendAddresses(dst, list)
	}
	dst = append(dst, ' ')
	dst = appendGiven(dst, e.InReplyTo, e.HasInReplyTo)
	dst = append(dst, ' ')
	dst = appendGiven(dst, e.MessageID, e.HasMessageID)
	return append(dst, ')')
}

// appendGiven tells an empty field from one that is missing, same section.
func appendGiven(dst []byte, text string, has bool) []byte {
	if text == "" && has {
		return append(dst, `""`...)
	}
	return AppendNString(dst, text)
}

func appendAddresses(dst []byte, list []message.Mailbox) []byte {
	if len(list) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for _, m := range list {
		dst = appendAddress(dst, m)
	}
	return append(dst, ')')
}

// appendAddress: a group starts with its name where the local part stands and
// NIL for the host, and ends with NIL for both.
func appendAddress(dst []byte, m message.Mailbox) []byte {
	dst = append(dst, '(')
	if m.Group {
		dst = append(dst, "NIL NIL "...)
		dst = AppendNString(dst, m.Local)
		return append(dst, " NIL)"...)
	}
	dst = AppendNString(dst, m.Name)
	dst = append(dst, ' ')
	dst = AppendNString(dst, m.Route)
	dst = append(dst, ' ')
	dst = AppendString(dst, m.Local)
	dst = append(dst, ' ')
	dst = AppendString(dst, m.Host)
	return append(dst, ')')
}

// AppendStructure writes BODYSTRUCTURE, or BODY when the extension data is not
// wanted, RFC 9051 section 7.5.2.
func AppendStructure(dst []byte, p *message.Part, extended bool) []byte {
	dst = append(dst, '(')
	if p.Type == "multipart" {
		dst = appendMultipart(dst, p, extended)
	} else {
		dst = appendSingle(dst, p, extended)
	}
	return append(dst, ')')
}

// emptyPart stands for a part that should be there and is not: the grammar
// knows no multipart without parts and no message without a body.
const emptyPart = `("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)`

func appendMultipart(dst []byte, p *message.Part, extended bool) []byte {
	for _, child := range p.Children {
		dst = AppendStructure(dst, child, extended)
	}
	if len(p.Children) == 0 {
		dst = append(dst, emptyPart...)
	}
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Subtype)
	if !extended {
		return dst
	}
	dst = append(dst, ' ')
	dst = appendParams(dst, p.Params)
	return appendExtension(dst, p)
}

func appendSingle(dst []byte, p *message.Part, extended bool) []byte {
	dst = AppendString(dst, p.Type)
	dst = append(dst, ' ')
	dst = AppendString(dst, p.Subtype)
	dst = append(dst, ' ')
	dst = appendParams(dst, typed(p))
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.ID)
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.Description)
	dst = append(dst, ' ')
	encoding := p.Encoding
	if encoding == "" {
		encoding = "7bit"
	}
	dst = AppendString(dst, encoding)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, p.End-p.Body, 10)
	switch {
	case isMessage(p):
		dst = append(dst, ' ')
		if p.Embedded == nil {
			dst = AppendEnvelope(dst, nil)
			dst = append(append(dst, ' '), emptyPart...)
		} else {
			dst = AppendEnvelope(dst, p.Embedded.Envelope())
			dst = append(dst, ' ')
			dst = AppendStructure(dst, p.Embedded, extended)
		}
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(p.Lines), 10)
	case p.Type == "text":
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(p.Lines), 10)
	}
	if !extended {
		return dst
	}
	dst = append(dst, ' ')
	dst = AppendNString(dst, p.MD5)
	return appendExtension(dst, p)
}

// isMessage says which parts have an envelope, a body and lines: media-message
// of RFC 9051 section 9.
func isMessage(p *message.Part) bool {
	return p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global")
}

// appendExtension writes what follows in both kinds: disposition, language,
// location.
func appendExtension(dst []byte, p *message.Part) []byte {
	dst = append(dst, ' ')
	if p.Disposition == "" {
		dst = append(dst, "NIL"...)
	} else {
		dst = append(dst, '(')
		dst = AppendString(dst, p.Disposition)
		dst = append(dst, ' ')
		dst = appendParams(dst, p.DispositionParams)
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	if len(p.Language) == 0 {
		dst = append(dst, "NIL"...)
	} else {
		dst = append(dst, '(')
		for i, l := range p.Language {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = AppendString(dst, l)
		}
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	return AppendNString(dst, p.Location)
}

// typed are the parameters of a part's type, with the charset that plain text has
// if none is named, RFC 2046 section 4.1.2. Other text may name its own inside.
func typed(p *message.Part) []message.Param {
	named := slices.ContainsFunc(p.Params, func(q message.Param) bool { return equalFold(q.Name, "charset") })
	if named || p.Type != "text" || p.Subtype != "plain" {
		return p.Params
	}
	return append(slices.Clone(p.Params), message.Param{Name: "charset", Value: "us-ascii"})
}

func appendParams(dst []byte, params []message.Param) []byte {
	params = message.JoinParams(params)
	if len(params) == 0 {
		return append(dst, "NIL"...)
	}
	dst = append(dst, '(')
	for i, p := range params {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendString(dst, p.Name)
		dst = append(dst, ' ')
		dst = AppendString(dst, p.Value)
	}
	return append(dst, ')')
}
