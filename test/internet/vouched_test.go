package internet

import (
	"encoding/json"
	"strings"
	"testing"

	"plic/internal/control"
	"plic/internal/journal"
	"plic/test/world"
)

// Postfix, which takes DANE or nothing (RFC 7672), sends to a site that has
// published what `plic tls records` prints, and to no host with our name that
// shows another key.
func TestPostfixByDANE(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.25")
	p := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test"})
	ann := p.Account(t, "ann")
	var tlsa string
	for lines := json.NewDecoder(strings.NewReader(p.Run(t, "tls", "records", "--json"))); lines.More(); {
		var r control.Record
		if err := lines.Decode(&r); err != nil {
			t.Fatal(err)
		}
		if r.Name == "_25._tcp.mx.one.test" && r.Type == "TLSA" {
			tlsa = r.Value
		}
	}
	if tlsa == "" {
		t.Fatal("no TLSA record is printed")
	}
	_, other := ownTLS(t, "mx.other.test")
	zone := func(domain, tlsa string) world.Zone {
		return world.Zone{Name: domain, Records: []string{
			domain + ". 60 IN MX 10 mx." + domain + ".", "mx." + domain + ". 60 IN A " + p.Address, "_25._tcp.mx." + domain + ". 60 IN TLSA " + tlsa,
		}}
	}
	resolver := w.Validate(t, zone("one.test", tlsa), zone("other.test", other.String()))
	p.Run(t, "domain", "add", "other.test")
	p.Alias(t, "ann@other.test", ann)
	peer := w.PostfixAsking(t, resolver, "mx.peer.test", "peer.test", []string{"bob"}, "smtp_dns_support_level = dnssec\nsmtp_tls_security_level = dane-only")
	post := func(to, subject string) {
		c := peer.Dial(t)
		defer c.Close()
		c.Deliver(world.Letter{From: "bob@peer.test", To: []string{to}, Text: text("bob@peer.test", to, subject)})
	}
	post("ann@other.test", "to-another-key")
	post(ann, "by-dane")
	p.WaitMail(t, ann, "Subject: by-dane")
	said := func(words ...string) {
		t.Helper()
		world.Wait(t, "Postfix to say "+strings.Join(words, " "), func() bool {
			for line := range strings.Lines(peer.Log()) {
				found := 0
				for _, word := range words {
					if strings.Contains(line, word) {
						found++
					}
				}
				if found == len(words) {
					return true
				}
			}
			return false
		})
	}
	said("Verified TLS connection established to mx.one.test")
	said("to=<ann@other.test>", "status=deferred", "not verified")
	if e := p.WaitJournal(t, "<by-dane@test>", journal.Accept); !strings.HasPrefix(e.TLS, "TLS 1.3") {
		t.Errorf("the journal has %+v", e)
	}
	if got := p.Inbox(t, ann); len(got) != 1 {
		t.Errorf("%d messages came", len(got))
	}
}
