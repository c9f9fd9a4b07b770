package imapd

import "plic/internal/casemap"

// equalFold compares ASCII letters without regard to case, and nothing else.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if casemap.Upper(a[i]) != casemap.Upper(b[i]) {
			return false
		}
	}
	return true
}
