package dmarcrpt

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"reflect"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

// old is a report as large receivers have long written them.
const old = `<?xml version="1.0" encoding="UTF-8" ?>
<feedback>
  <report_metadata>
    <org_name>big.test</org_name><email>noreply@big.test</email><report_id>123</report_id>
    <date_range><begin>1764115200</begin><end>1764201599</end></date_range>
  </report_metadata>
  <policy_published><domain>here.test</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct></policy_published>
  <record>
    <row><source_ip>192.0.2.1</source_ip><count>7</count>
      <policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>fail</spf><reason><type>forwarded</type><comment>x</comment></reason></policy_evaluated></row>
    <identifiers><header_from>here.test</header_from></identifiers>
    <auth_results><dkim><domain>here.test</domain><result>pass</result><selector>s</selector></dkim><spf><domain>list.test</domain><result>pass</result></spf></auth_results>
  </record>
</feedback>`

func sample() *Report {
	return &Report{
		Version:  "1.0",
		Metadata: Metadata{Organization: "mx.here.test", Email: "postmaster@here.test", ID: "1", Begin: 1764115200, End: 1764201599, Errors: []string{"a <bad> day"}},
		Policy:   Policy{Domain: "far.test", Policy: "reject", Absent: "reject", DKIM: "s", SPF: "r", Discovery: "treewalk"},
		Records: []Record{{
			Row:         Row{Source: "2001:db8::1", Count: 3, Evaluated: Evaluated{Disposition: "reject", DKIM: "fail", SPF: "fail", Reasons: []Reason{{Type: "local_policy"}}}},
			Identifiers: Identifiers{HeaderFrom: "far.test", EnvelopeFrom: "x.test"},
			Results:     Results{DKIM: []DKIM{{Domain: "x.test", Selector: "s", Result: "pass"}}, SPF: []SPF{{Domain: "x.test", Scope: "mfrom", Result: "fail"}}},
		}},
	}
}

// What is written is read back, as a file and in its mail.
func TestThereAndBack(t *testing.T) {
	t.Parallel()
	want := sample()
	packed, err := want.Gzip()
	if err != nil {
		t.Fatal(err)
	}
	letter, err := want.Message(Letter{From: mail.MustAddress("postmaster@here.test"), To: mail.MustAddress("reports@far.test"), Submitter: "mx.here.test", Date: time.Unix(1764205200, 0), MessageID: "1@mx.here.test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, has := range []string{"Subject: Report Domain: far.test Submitter: mx.here.test Report-ID: <1>\r\n", "mx.here.test!far.test!1764115200!1764201599.xml.gz", "Content-Type: application/gzip"} {
		if !strings.Contains(strings.ReplaceAll(string(letter), "\r\n ", " "), has) {
			t.Errorf("the mail has no %q:\n%s", has, letter)
		}
	}
	for name, text := range map[string][]byte{"file": packed, "mail": letter} {
		got, err := Read(bytes.NewReader(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Reports as others write them, in every wrapping.
func TestOldReports(t *testing.T) {
	t.Parallel()
	var z, g bytes.Buffer
	w := zip.NewWriter(&z)
	f, _ := w.Create("report.xml")
	f.Write([]byte(old))
	w.Close()
	gz := gzip.NewWriter(&g)
	gz.Write([]byte(old))
	gz.Close()
	for name, text := range map[string]string{"plain": old, "zip": z.String(), "gzip": g.String(), "with a mark": "\ufeff" + old[strings.Index(old, "\n")+1:],
		"mail": "From: x@big.test\r\nContent-Type: text/xml\r\n\r\n" + old} {
		r, err := Read(strings.NewReader(text))
		if err != nil || r.Policy.Domain != "here.test" || len(r.Records) != 1 || r.Records[0].Row.Count != 7 || r.Records[0].Results.DKIM[0].Selector != "s" || r.Records[0].Row.Evaluated.Reasons[0].Type != "forwarded" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// K7: what is too large, a bomb, or no report is refused within bounds.
func TestBadReports(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 20 {
		z.Write(zeros)
	}
	z.Close()
	for name, text := range map[string]string{
		"a bomb": bomb.String(), "too large": strings.Repeat(" ", MaxSize+1), "nothing": "", "a mail": "Subject: x\r\n\r\nhello\r\n", "other XML": "<a/>", "an end": old[:300],
		"nobody's": strings.Replace(strings.Replace(old, "big.test</org_name>", "</org_name>", 1), "noreply@big.test", "", 1),
		"records":  strings.Replace(old, "</feedback>", strings.Repeat("<record/>", MaxRecords)+"</feedback>", 1),
		"broken":   "\x1f\x8bnonsense", "broken zip": "PK\x03\x04nonsense",
		"entities": `<!DOCTYPE x [<!ENTITY a "` + strings.Repeat("b", 1000) + `">]><feedback><report_metadata><org_name>&a;</org_name></report_metadata></feedback>`,
	} {
		if r, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s is %+v", name, r)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(old))
	packed, _ := sample().Gzip()
	f.Add(packed)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		if _, err := r.Gzip(); err != nil {
			t.Fatal(err)
		}
	})
}
