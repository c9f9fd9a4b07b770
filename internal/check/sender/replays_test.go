package sender

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"plic/internal/dkim"
)

// K4: who sends a signed message again from elsewhere is counted, for a day and within
// bounds; what does not hold, or comes from one network, is not.
func TestReplays(t *testing.T) {
	t.Parallel()
	var r Replays
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	count := func(signature string, status dkim.Status, client string) int {
		f := &Findings{DKIM: []dkim.Result{{Status: status, Domain: "x.test", Selector: "s", Signature: signature}}}
		r.Count(f, netip.MustParseAddr(client), now)
		return f.Networks
	}
	for i := range 12 {
		if got := count("a", dkim.Pass, fmt.Sprintf("192.0.%d.1", i)); got != i+1 {
			t.Fatalf("%d networks after %d", got, i+1)
		}
		if got := count("b", dkim.Pass, fmt.Sprintf("192.0.2.%d", i)); got != 1 {
			t.Errorf("one network counts as %d", got)
		}
		if got := count("c", dkim.Fail, fmt.Sprintf("192.0.%d.1", i)); got != 0 {
			t.Errorf("a signature that fails comes from %d", got)
		}
		if got := count("d", dkim.Pass, fmt.Sprintf("2001:db8:0:%d::1", i/6)); got != i/6+1 {
			t.Errorf("%d networks of IPv6", got)
		}
	}
	now = now.Add(replayTime)
	if got := count("a", dkim.Pass, "198.51.100.1"); got != 13 {
		t.Errorf("%d networks after half a day", got)
	}
	now = now.Add(replayTime)
	count("b", dkim.Pass, "192.0.2.1")
	now = now.Add(replayTime)
	if got := count("a", dkim.Pass, "198.51.100.1"); got != 1 {
		t.Errorf("%d networks after a day", got)
	}
	for i := range 3 * mostSignatures {
		count(fmt.Sprint(i), dkim.Pass, "192.0.2.1")
	}
	for i := range 2 * mostNetworks {
		count("a", dkim.Pass, fmt.Sprintf("192.0.%d.1", i))
	}
	if n := len(r.new) + len(r.old); n > 2*mostSignatures || len(r.new["x.test s a"]) > mostNetworks {
		t.Errorf("%d signatures, %d networks are remembered", n, len(r.new["x.test s a"]))
	}
}
