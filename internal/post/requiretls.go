package post

import (
	"strings"

	"plic/internal/message"
)

// tlsOptional says that a message wants to arrive even where TLS cannot be had
// as its recipients would have it: it has one field TLS-Required, which says
// No, RFC 8689 section 4.
func tlsOptional(msg *message.Message) bool {
	found := 0
	for _, f := range msg.Root.Header {
		if strings.EqualFold(f.Name, "TLS-Required") {
			if found++; !strings.EqualFold(f.Text(), "No") {
				return false
			}
		}
	}
	return found == 1
}
