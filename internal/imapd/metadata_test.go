package imapd

import (
	"fmt"
	"strings"
	"testing"
)

// Where there are as many annotations as there may be, those that are there can
// still be changed.
func TestManyAnnotations(t *testing.T) {
	t.Parallel()
	c := newHouse(t, nil).open("alice")
	var all strings.Builder
	for i := range maxAnnotations {
		fmt.Fprintf(&all, ` /private/n%d "x"`, i)
	}
	c.ok("SETMETADATA INBOX (" + all.String()[1:] + ")")
	for _, s := range []struct{ values, want string }{
		{`/private/n5 "y"`, "OK"},
		{`/private/more "x"`, "NO [METADATA TOOMANY]"},
		{`/private/n6 NIL /private/more "x"`, "OK"},
		{`/private/n6 "x"`, "NO [METADATA TOOMANY]"},
		{`/shared/more "x"`, "OK"}, // which are counted by themselves
		{`/private/n7 NIL /private/n8 "z"`, "OK"},
		{`/private/n6 "x" /private/n7 "x"`, "NO [METADATA TOOMANY]"},
		{`/private/n6 "x" /private/n7 "x" /private/n7 NIL`, "OK"},
	} {
		if _, answer := c.do("SETMETADATA INBOX (" + s.values + ")"); !strings.HasPrefix(answer, s.want) {
			t.Errorf("%s: %s, want %s", s.values, answer, s.want)
		}
	}
}
