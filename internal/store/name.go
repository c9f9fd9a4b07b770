package store

import (
	"cmp"
	"fmt"
	"strings"
	"unicode"

	"plic/internal/imap"
)

// Inbox is the name of the mailbox that every account has, RFC 9051 section 5.1.
const Inbox = "INBOX"

// Separator is what stands between the levels of a name.
const Separator = "/"

// maxName is how long the name of an account may be, in octets.
const maxName = 1000

// CleanName gives the one spelling of a mailbox name, in NFC and with INBOX in
// capitals; ErrBadName if it can be none: see imap.ValidMailboxName.
func CleanName(name string) (string, error) {
	if len(name) > 4*imap.MaxName {
		return "", fmt.Errorf("mailbox name %.60q: too long: %w", name, ErrBadName)
	}
	clean := imap.CanonicalName(name)
	if err := imap.ValidMailboxName(clean); err != nil {
		return "", fmt.Errorf("mailbox name %.60q: %w: %w", name, err, ErrBadName)
	}
	return clean, nil
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// compareNames sorts INBOX first, and each mailbox right before those below it.
func compareNames(a, b string) int {
	if ai, bi := inInbox(a), inInbox(b); ai != bi {
		if ai {
			return -1
		}
		return 1
	}
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' {
			return -1
		}
		if b[i] == '/' {
			return 1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

func inInbox(name string) bool { return name == Inbox || isBelow(name, Inbox) }

// isBelow says that a name is one of the other's children, or of theirs.
func isBelow(name, parent string) bool {
	return len(name) > len(parent) && name[len(parent)] == '/' && name[:len(parent)] == parent
}

// parents gives the names above a name, the highest first.
func parents(name string) []string {
	var out []string
	for i := range len(name) {
		if name[i] == '/' {
			out = append(out, name[:i])
		}
	}
	return out
}
