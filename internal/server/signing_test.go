package server

import (
	"io"
	"strings"
	"testing"
	"time"

	"plic/internal/arc"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/queue"
)

// queued gives the text of what waits in the queue for a domain, whole.
func (s *senders) queued(domain string) string {
	s.t.Helper()
	for l, err := range s.Operations().Queue.List(s.t.Context(), queue.Filter{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		if l.Hop.Host != domain {
			continue
		}
		item, err := s.site.office.Item(s.t.Context(), l.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		body, err := s.site.office.OpenBody(s.t.Context(), &item)
		if err != nil {
			s.t.Fatal(err)
		}
		defer body.Close()
		text, err := io.ReadAll(mail.Reader(body))
		if err != nil || int64(len(text)) != item.Size {
			s.t.Fatalf("%d octets, the item says %d: %v", len(text), item.Size, err)
		}
		return string(text)
	}
	s.t.Fatalf("nothing waits for %s", domain)
	return ""
}

// publish puts the records of the keys of here.test into a DNS.
func (s *senders) publish(zone *dnstest.Server) []control.Record {
	s.t.Helper()
	var all []control.Record
	for r, err := range s.Operations().DKIM.Keys(s.t.Context(), "here.test") {
		if err == nil {
			all = append(all, r)
			zone.Remove(r.Name)
			err = zone.Add(r.Name + ` 60 IN TXT "` + r.Value[:30] + `" "` + r.Value[30:] + `"`)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return all
}

func readSigned(t *testing.T, text string) *dkim.Message {
	t.Helper()
	m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// signatures gives what the signatures of a message come to.
func signaturesOf(t *testing.T, zone *dnstest.Server, text string) string {
	t.Helper()
	v := dkim.Verifier{Resolver: dns.New(dns.Options{Servers: []string{zone.Addr()}}), Now: time.Now}
	found, err := v.Verify(t.Context(), readSigned(t, text))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, r := range found {
		all = append(all, string(r.Algorithm)+"="+string(r.Status)+" "+r.Domain)
	}
	return strings.Join(all, ", ")
}

const signedHere = "rsa-sha256=pass here.test, ed25519-sha256=pass here.test"

// TestSigning sends mail of ours: to others and among us it is signed, and so is
// the report that it cannot be delivered.
func TestSigning(t *testing.T) {
	zone := dnstest.New(t)
	zone.Fail("far.test", dnstest.ServFail) // so that it stays in the queue
	s := startSenders(t, func(c *config.Config) { c.DNS.Servers = []string{zone.Addr()} })
	ann := mail.MustAddress("ann@here.test")
	text := []byte("From: ann@here.test\r\nSubject: x\r\n\r\nhello\r\n")
	for _, to := range []string{"eve@far.test", "ann@here.test"} {
		if err := s.Submit(t.Context(), ann, mail.MustAddress(to), text); err != nil {
			t.Fatal(err)
		}
	}
	records := s.publish(zone)
	for name, text := range map[string]string{"to others": s.queued("far.test"), "among us": s.box("INBOX")[0]} {
		if got := signaturesOf(t, zone, text); got != signedHere {
			t.Errorf("%s: %q\n%s", name, got, text)
		}
	}
	if _, err := s.Operations().Queue.Change(t.Context(), control.Change{Action: control.Bounce}); err != nil {
		t.Fatal(err)
	}
	account, err := s.site.store.Account(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	news, stop := account.Watch()
	defer stop()
	for len(s.box("INBOX")) < 2 { // a try may be under way
		select {
		case <-news:
		case <-time.After(time.Minute):
			t.Fatal("there is no report")
		}
	}
	if inbox := s.box("INBOX"); len(inbox) != 2 || signaturesOf(t, zone, inbox[1]) != signedHere {
		t.Errorf("the report is not signed: %q", inbox)
	}
	// The keys are rotated when the next ones are published.
	o := s.Operations().DKIM
	if err := o.Rotate(t.Context(), "here.test", false); err == nil {
		t.Error("rotated to no keys")
	}
	for _, err := range o.Prepare(t.Context(), "here.test") {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Rotate(t.Context(), "here.test", false); err == nil {
		t.Error("rotated to keys that are not published")
	}
	s.publish(zone)
	if err := o.Rotate(t.Context(), "here.test", false); err != nil {
		t.Error(err)
	}
	if now := s.publish(zone); len(now) != 4 || now[0].Value == records[0].Value || !now[0].Published {
		t.Errorf("after a rotation: %+v", now)
	}
	for _, err := range o.Keys(t.Context(), "there.test") {
		if err == nil {
			t.Error("keys of a domain of others")
		}
	}
}

// TestSealing sends a stranger's mail on to others: what we have found is sealed.
func TestSealing(t *testing.T) {
	zone := dnstest.New(t, `strict.test 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"`, `_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject"`, "strict.test 60 IN MX 10 mx.strict.test.")
	zone.Fail("far.test", dnstest.ServFail)
	s := startSenders(t, func(c *config.Config) { c.DNS.Servers, c.Rewrite.DMARC = []string{zone.Addr()}, config.KeepAuthor })
	if err := s.Operations().Directory.AddAlias(t.Context(), control.Alias{Address: "fwd@here.test", Targets: []string{"eve@far.test"}}); err != nil {
		t.Fatal(err)
	}
	if got := s.send("bob@strict.test", "fwd@here.test", "From: bob@strict.test\r\nSubject: x\r\n\r\nhello\r\n"); !strings.HasPrefix(got, "250") {
		t.Fatal(got)
	}
	s.publish(zone)
	text := s.queued("far.test")
	chain, err := (&arc.Verifier{Resolver: dns.New(dns.Options{Servers: []string{zone.Addr()}}), Now: time.Now}).Verify(t.Context(), readSigned(t, text))
	if err != nil || chain.Status != arc.Pass || len(chain.Sets) != 1 || chain.Sets[0].Domain != "here.test" || !strings.Contains(chain.Sets[0].Results, "dmarc=pass") {
		t.Errorf("%+v %v\n%s", chain, err, text)
	}
	if got := signaturesOf(t, zone, text); got != "" {
		t.Errorf("mail of others is signed as ours: %s", got)
	}
}
