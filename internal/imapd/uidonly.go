package imapd

import "plic/internal/imap"

// errUIDRequired is the answer to message numbers after ENABLE UIDONLY, RFC 9586
// section 3.
var errUIDRequired = &refusal{"BAD", "UIDREQUIRED", "there are no message numbers after ENABLE UIDONLY"}

// namesNumbers says that a command names messages by number, or is answered
// with numbers.
func namesNumbers(command string) bool {
	switch command {
	case "FETCH", "STORE", "SEARCH", "SORT", "THREAD", "COPY", "MOVE", "REPLACE", "FILTER":
		return true
	}
	return false
}

// keyNamesNumbers says that a search names messages by number.
func keyNamesNumbers(k *imap.SearchKey) bool {
	if k.Op == imap.SearchNumbers && !k.Set.Saved {
		return true
	}
	for i := range k.Keys {
		if keyNamesNumbers(&k.Keys[i]) {
			return true
		}
	}
	return false
}
