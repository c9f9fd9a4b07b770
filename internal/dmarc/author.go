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
	var domain mail.Domain
	for _, a := range message.ParseAddressList(values[0]) {
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
