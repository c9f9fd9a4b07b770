package foreign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"plic/test/trial"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	msgauth "github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// TestSubmissionsAreSigned submits mail without Date and Message-ID, and checks
// with go-msgauth what arrives against the records that plic prints.
func TestSubmissionsAreSigned(t *testing.T) {
	t.Parallel()
	s := trial.Start(t, program, ann, bob)
	c := must[*smtp.Client](t)(smtp.DialTLS(s.At(trial.Submissions), trust(t, s)))
	defer c.Close()
	ok(t, c.Auth(sasl.NewPlainClient("", ann.Name, ann.Password)))
	ok(t, c.SendMail(ann.Name, []string{bob.Name}, strings.NewReader("From: <"+ann.Name+">\r\nBcc: eve@there.test\r\nSubject: signed\r\n\r\n.\r\nhello  \r\n\r\n")))

	out, err := exec.Command(program, "dkim", "keys", "plic.test", "--json", "--dir", s.Dir).Output()
	ok(t, err)
	records := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var r struct{ Name, Value string }
		ok(t, d.Decode(&r))
		records[r.Name] = r.Value
	}
	imap4 := login(t, s, bob, listen())
	must[*imap.SelectData](t)(imap4.Select("INBOX", nil).Wait())
	whole := &imap.FetchItemBodySection{Peek: true}
	got := must[[]*imapclient.FetchMessageBuffer](t)(imap4.Fetch(imap.SeqSetNum(1), &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{whole}}).Collect())
	text := got[0].FindBodySection(whole)
	found, err := msgauth.VerifyWithOptions(bytes.NewReader(text), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if r, ok := records[name]; ok {
			return []string{r}, nil
		}
		return nil, fmt.Errorf("%s is not published", name)
	}})
	if err != nil || len(found) != 2 || len(records) != 2 {
		t.Fatalf("%d signatures, %d records, %v\n%s", len(found), len(records), err, text)
	}
	for _, v := range found {
		if v.Err != nil || v.Domain != "plic.test" {
			t.Errorf("%+v\n%s", v, text)
		}
		for _, name := range []string{"From", "Date", "Message-ID", "Subject"} {
			if !strings.Contains(strings.Join(v.HeaderKeys, " "), name) {
				t.Errorf("%s is not signed: %q", name, v.HeaderKeys)
			}
		}
	}
}
