package imapd

import (
	"fmt"

	"plic/internal/store"
)

// emailID names the content of a message, which its copies share, RFC 8474
// section 5.1.
func emailID(e store.Entry) string { return e.Body.String() }

// threadID names the conversation that a message belongs to, RFC 8474 section
// 5.2: after the message that began it, as its references tell. So it is the
// same in all mailboxes, and never another.
func threadID(e store.Entry, d *store.Detail) string {
	k := d.Keys()
	if root := k.Root(); root != 0 {
		return fmt.Sprintf("T%016x", root)
	}
	return "T" + emailID(e)
}
