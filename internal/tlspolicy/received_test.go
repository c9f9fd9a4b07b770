package tlspolicy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"plic/internal/notebook"
	"plic/internal/tlsrpt"
)

// Reports of others are kept once, cut to a bounded size, no more than so many a
// day, and for a season.
func TestReceived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = time.Date(2026, 11, 25, 23, 0, 0, 0, time.UTC)
	p := w.policies(nil)
	report := func(id string) Received {
		return Received{At: w.now, From: "tls@big.test", Signed: []string{"big.test"}, Report: tlsrpt.Report{
			Organization: "Big", ID: id, Range: tlsrpt.Range{Start: w.now, End: w.now},
			Policies: []tlsrpt.Findings{{Policy: tlsrpt.Policy{Type: tlsrpt.NoPolicy, Domain: "here.test"}, Summary: tlsrpt.Summary{Success: 1}}},
		}}
	}
	receive := func(r Received, want bool) {
		t.Helper()
		if kept, err := p.Receive(t.Context(), r); kept != want || err != nil {
			t.Fatalf("kept: %v, %v", kept, err)
		}
	}
	all := func() (list []Received) {
		for r, err := range w.policies(nil).Received(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, r)
		}
		return list
	}
	receive(report("1"), true)
	receive(report("1"), true)
	w.now = w.now.Add(2 * time.Hour) // another day
	receive(report("1"), true)
	receive(report("2"), true)
	if got := all(); len(got) != 2 || got[0].Report.ID != "1" || got[1].Report.ID != "2" || got[0].From != "tls@big.test" || got[0].Signed[0] != "big.test" {
		t.Fatalf("kept %+v", got)
	}
	long := report("3" + strings.Repeat("ü", 1<<16))
	for i := range 3000 {
		long.Report.Policies = append(long.Report.Policies, long.Report.Policies[0])
		long.Report.Policies[0].Failures = append(long.Report.Policies[0].Failures, tlsrpt.Failure{Type: "x", Count: int64(i), Reason: strings.Repeat("ü", 1000)})
	}
	receive(long, true)
	for _, r := range all() {
		if text, err := json.Marshal(r); err != nil || len(text) > notebook.MostOfOne {
			t.Errorf("%s takes %d octets, %v", r.Report.ID, len(text), err)
		}
		if strings.HasPrefix(r.Report.ID, "3") {
			f := r.Report.Policies[0].Failures
			if len(r.Report.Policies) != 100 || len(f) != 100 || f[0].Count != 2999 || len(f[0].Reason) != 200 || len(r.Report.ID) > 200 {
				t.Errorf("%d policies, %d failures of which the first is %+v", len(r.Report.Policies), len(f), f[0])
			}
		}
	}
	w.notes.Fail = errors.New("disk")
	if _, err := p.Receive(t.Context(), report("4")); err == nil {
		t.Error("a report that cannot be kept is as kept")
	}
}
