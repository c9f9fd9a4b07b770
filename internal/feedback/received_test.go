package feedback

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/dmarcrpt"
	"plic/internal/notebook"
	"plic/internal/notebook/notebooktest"
)

// Reports of others are kept once, cut to a bounded size; what counts most stays, and
// the rest is counted.
func TestReceived(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 23, 0, 0, 0, time.UTC)
	s := NewShelf(&notebooktest.Notes{}, func() time.Time { return now })
	long := strings.Repeat("ü", 10000)
	report := func(id string) Received {
		r := Received{At: now, From: "dmarc@big.test", Signed: []string{"big.test"}}
		r.Report.Metadata = dmarcrpt.Metadata{Organization: "Big", ID: id, Errors: []string{long}}
		r.Report.Policy.Domain = "here.test"
		return r
	}
	big := report("1")
	for i := range mostKept + 2 {
		x := dmarcrpt.Record{}
		x.Row.Source, x.Row.Count = long, int64(i)
		x.Results.DKIM = make([]dmarcrpt.DKIM, 100)
		big.Report.Records = append(big.Report.Records, x)
	}
	for _, r := range []Received{big, big, report("2")} {
		if kept, err := s.Receive(t.Context(), r); !kept || err != nil {
			t.Fatalf("kept: %v, %v", kept, err)
		}
	}
	got := map[string]Received{}
	for r, err := range s.Received(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Report.Metadata.ID] = r
	}
	one := got["1"]
	if len(got) != 2 || one.From != "dmarc@big.test" || one.Signed[0] != "big.test" || one.Report.Policy.Domain != "here.test" {
		t.Fatalf("kept %.300v", got)
	}
	first := &one.Report.Records[0]
	if len(one.Report.Records) != mostKept || one.Lost != 1 || first.Row.Count != mostKept+1 || len(first.Row.Source) != 200 || len(first.Results.DKIM) != 5 || len(one.Report.Metadata.Errors[0]) != 200 {
		t.Errorf("%d records, %d lost, the first is %.300v", len(one.Report.Records), one.Lost, first)
	}
	huge := report("3") // of which no text is short
	for i := range mostKept {
		x := dmarcrpt.Record{}
		x.Row.Count = int64(i + 1)
		x.Row.Evaluated.Reasons = slices.Repeat([]dmarcrpt.Reason{{Type: long, Comment: long}}, 5)
		x.Results.DKIM = slices.Repeat([]dmarcrpt.DKIM{{Domain: long, Selector: long, Result: long, Human: long}}, 5)
		huge.Report.Records = append(huge.Report.Records, x)
	}
	if kept, err := s.Receive(t.Context(), huge); !kept || err != nil {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	for r, err := range s.Received(t.Context()) {
		if text, err := json.Marshal(r); err != nil || len(text) > notebook.MostOfOne {
			t.Errorf("%s takes %d octets, %v", r.Report.Metadata.ID, len(text), err)
		}
		all := r.Lost
		for _, x := range r.Report.Records {
			all += x.Row.Count
		}
		if n := len(r.Report.Records); r.Report.Metadata.ID == "3" && (n < 50 || n >= mostKept || all != mostKept*(mostKept+1)/2) || err != nil {
			t.Errorf("%d records, %d messages, %v", n, all, err)
		}
	}
	if len(big.Report.Records[0].Row.Source) != len(long) {
		t.Error("the report that was given is changed")
	}
}
