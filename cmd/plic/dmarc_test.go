package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/control"
	"plic/internal/control/controltest"
	"plic/internal/dmarcrpt"
)

// dmarcReport is one of a domain whose mail came from two hosts.
func dmarcReport() *dmarcrpt.Report {
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	r := &dmarcrpt.Report{
		Metadata: dmarcrpt.Metadata{Organization: "Big", ID: "1", Begin: day.Unix(), End: day.Unix() + 86399},
		Policy:   dmarcrpt.Policy{Domain: "example.org", Policy: "reject"},
		Records:  make([]dmarcrpt.Record, 2),
	}
	r.Records[0].Row = dmarcrpt.Row{Source: "192.0.2.1", Count: 40, Evaluated: dmarcrpt.Evaluated{Disposition: "none", DKIM: "pass", SPF: "pass"}}
	r.Records[1].Row = dmarcrpt.Row{Source: "192.0.2.9", Count: 3, Evaluated: dmarcrpt.Evaluated{Disposition: "reject", DKIM: "fail", SPF: "fail"}}
	r.Records[1].Identifiers.HeaderFrom = "shop.example.org"
	return r
}

func TestDMARCReports(t *testing.T) {
	t.Parallel()
	dir := serve(t, &controltest.Site{Reports: []control.DMARCReport{{From: "x@big.test", Signed: []string{"big.test"}, Report: *dmarcReport()}, {Report: *dmarcReport()}}})
	packed, err := dmarcReport().Gzip()
	if err != nil {
		t.Fatal(err)
	}
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "a.xml.gz"), packed, 0o600); err != nil {
		t.Fatal(err)
	}
	row := "2026-11-25  Big   example.org  reject  43        40    3\n"
	hosts := "MESSAGES  HOST       AUTHOR            DKIM  SPF   DONE\n"
	for _, x := range []step{
		{"dmarc list", "", 0, "DAY         FROM  DOMAIN       POLICY  MESSAGES  PASS  FAIL\n" + row + row, ""},
		{"dmarc list --days 7 --json", "", 0, `"signed":["big.test"]`, ""},
		{"dmarc summary", "", 0, "DOMAIN       REPORTS  MESSAGES  PASS  FAIL\nexample.org  2        86        80    6\n\n" + hosts +
			"80        192.0.2.1  example.org       pass  pass  none\n6         192.0.2.9  shop.example.org  fail  fail  reject\n", ""},
		{"dmarc summary --json", "", 0, `{"domain":"example.org","host":"192.0.2.9","author":"shop.example.org","dkim":"fail","spf":"fail","done":"reject","messages":6}`, ""},
		{"dmarc read " + filepath.Join(files, "a.xml.gz"), "", 0, row + "\n" + hosts + "40        192.0.2.1  example.org ", ""},
	} {
		x.check(t, plic(t, dir, x.stdin, strings.Fields(x.args)...))
	}
}
