package dmarc

import (
	"errors"
	"fmt"
	"strings"

	"plic/internal/mail"
	"plic/internal/message"
)

// ErrAuthor is the reason why a message has no one author to ask about; such a
// message must never count as authentic.
var ErrAuthor = errors.New("the message has no author that could be checked")

// ErrAuthors is an ErrAuthor: there are several, so that a reader may be shown
// another than was checked.
var ErrAuthors = fmt.Errorf("%w: there are several", ErrAuthor)

// Author is the domain of From, RFC 9989 section 4.2: there must be one field,
// and all its addresses must have the same domain.
func Author(header []message.Field) (string, error) {
	var values []string
	for _, f := range header {
		if strings.EqualFold(f.Name, "From") {
			values = append(values, f.Text())
		}
	}
	switch len(values) {
	case 0:
		return "", fmt.Errorf("%w: it has no From field", ErrAuthor)
	case 1:
	default:
		return "", fmt.Errorf("%w: it has %d From fields", ErrAuthors, len(values))
	}
	list := message.ParseAddressList(values[0])
	if angles(values[0]) > len(list) || strings.ContainsRune(values[0], 0) {
		return "", fmt.Errorf("%w: From can be read in more than one way", ErrAuthors)
	}
	var domain mail.Domain
	for _, a := range list {
		if a.Group {
			continue
		}
		d, err := mail.ParseDomain(a.Host)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrAuthor, err)
		}
		if !domain.IsZero() && d != domain {
			return "", fmt.Errorf("%w: From names %s and %s", ErrAuthors, domain, d)
		}
		domain = d
	}
	if _, literal := domain.Literal(); domain.IsZero() || literal {
		return "", fmt.Errorf("%w: From names no domain", ErrAuthor)
	}
	return domain.String(), nil
}

// angles counts the addresses in angle brackets, as one would who knows of
// nothing else than quotes and comments.
func angles(list string) (n int) {
	quoted, depth := false, 0
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '<' && depth == 0:
			n++
		}
	}
	return n
}
