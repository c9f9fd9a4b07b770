package imapd

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestCapabilities: what is announced after login is what testdata/capabilities
// lists, one on a line.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/capabilities")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, func(o *Options) {
		o.MaxMessage = 1 << 20
		o.Admin = func(account string) bool { return account == "team" }
	})
	for user, more := range map[string]string{"alice": "", "team": "QUOTASET\n"} {
		lines := h.open(user).ok("CAPABILITY")
		got := strings.Fields(strings.TrimPrefix(lines[0], "* CAPABILITY "))
		listed := strings.Fields(string(want) + more)
		slices.Sort(got)
		slices.Sort(listed)
		if !slices.Equal(got, listed) {
			t.Errorf("%s is told\n%s\nlisted are\n%s", user, strings.Join(got, " "), strings.Join(listed, " "))
		}
	}
}
