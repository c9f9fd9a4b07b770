package server

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"plic/internal/arc"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/journal"
	"plic/internal/queue"
)

// onwardSite is a site whose addresses lead elsewhere, and authors of whom SPF speaks
// well, if the client is this host.
func onwardSite(t *testing.T, change func(*config.Config)) (*senders, *dnstest.Server) {
	t.Helper()
	zone := dnstest.New(t, `lax.test 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"`, `_dmarc.lax.test 60 IN TXT "v=DMARC1; p=none"`, "lax.test 60 IN MX 10 mx.lax.test.",
		`strict.test 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"`, `_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject"`, "strict.test 60 IN MX 10 mx.strict.test.",
		`forged.test 60 IN TXT "v=spf1 -all"`, `_dmarc.forged.test 60 IN TXT "v=DMARC1; p=quarantine"`, "forged.test 60 IN MX 10 mx.forged.test.")
	zone.Fail("far.test", dnstest.ServFail) // so that it stays in the queue
	zone.Fail("further.test", dnstest.ServFail)
	s := startSenders(t, func(c *config.Config) {
		c.DNS.Servers = []string{zone.Addr()}
		c.Route.HeaderRules = []string{`inline:{"Subject: a list" = "replace Subject: [list] a list"}`}
		if change != nil {
			change(c)
		}
	})
	for _, name := range []string{"fwd", "other"} {
		targets := []string{map[string]string{"fwd": "eve@far.test", "other": "eve@further.test"}[name]}
		if err := s.Operations().Directory.AddAlias(t.Context(), control.Alias{Address: name + "@here.test", Targets: targets}); err != nil {
			t.Fatal(err)
		}
	}
	s.publish(zone)
	return s, zone
}

// redirects gives ann a filter script.
func (s *senders) redirects(script string) {
	s.t.Helper()
	ann, err := s.site.store.Account(s.t.Context(), "ann@here.test")
	if err == nil {
		err = s.site.scripts.Put(s.t.Context(), ann, "main", script)
	}
	if err == nil {
		err = s.site.scripts.Activate(s.t.Context(), ann, "main")
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// onward are the reasons that the journal has for how mail was sent on.
func (s *senders) onward() (all []string) {
	s.t.Helper()
	for e, err := range s.Operations().Journal.Find(s.t.Context(), journal.Query{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		if e.Kind == journal.Onward {
			all = append(all, e.Reason)
		}
	}
	return all
}

// empty takes all out of the queue. What is just being tried goes when that has ended.
func (s *senders) empty() {
	s.t.Helper()
	for left := true; left; {
		if _, err := s.Operations().Queue.Change(s.t.Context(), control.Change{Action: control.Remove}); err != nil {
			s.t.Fatal(err)
		}
		left = false
		for _, err := range s.Operations().Queue.List(s.t.Context(), queue.Filter{}) {
			if err != nil {
				s.t.Fatal(err)
			}
			left = true
		}
	}
}

// TestOnward sends mail of strangers on: what passes DMARC at the next host by its
// signature goes as it came, and what does not gets an author of ours and our
// signature. What is not proven to be the author's is never made to look so.
func TestOnward(t *testing.T) {
	s, zone := onwardSite(t, func(c *config.Config) { c.Senders.DMARC = config.TellDMARC })
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	record, err := dkim.Record(public)
	if err != nil {
		t.Fatal(err)
	}
	if err := zone.Add(`s._domainkey.strict.test 60 IN TXT "` + record + `"`); err != nil {
		t.Fatal(err)
	}
	by := &dkim.Signer{Domain: "strict.test", Selector: "s", Key: key, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: time.Now}
	signed := func(text string) string {
		field, err := by.Sign(readSigned(t, text))
		if err != nil {
			t.Fatal(err)
		}
		return string(field) + text
	}
	letter := func(domain, subject string) string {
		return "From: Ann Ö <ann@" + domain + ">\r\nSubject: " + subject + "\r\n\r\nhello\r\n"
	}
	const kept, replaced = "From: Ann Ö <ann@", "From: =?utf-8?Q?Ann_=C3=96_via_here=2Etest?= <fwd@here.test>\r\n"
	s.redirects(`require "editheader"; if header "subject" "edit" { deleteheader "subject"; addheader "Subject" "edited"; }
		if header "subject" ["redirect", "edit", "edited"] { redirect "eve@far.test"; }`)
	for name, x := range map[string]struct{ to, text, want, why string }{
		"only SPF":              {"fwd", letter("strict.test", "x"), replaced, "its author is now fwd@here.test: strict.test asks for reject (DMARC), and no signature of strict.test goes along"},
		"signed":                {"fwd", signed(letter("strict.test", "x")), kept, "it goes on as it is: strict.test asks for reject (DMARC), and the signature of strict.test goes along"},
		"signed, and changed":   {"fwd", signed(letter("strict.test", "a list")), replaced, "its author is now fwd@here.test: strict.test asks for reject (DMARC), and the signature of strict.test does not hold for what is sent on"},
		"nothing is asked for":  {"fwd", letter("lax.test", "x"), kept, ""},
		"not from there at all": {"fwd", letter("forged.test", "x"), kept, "it goes on as it is: it is not proven to be from forged.test"},
		"a filter that changes": {"ann", signed(letter("strict.test", "edit")), strings.Replace(replaced, "fwd@", "ann@", 1), "its author is now ann@here.test: strict.test asks for reject (DMARC), and the signature of strict.test does not hold for what is sent on"},
		"a filter, and signed":  {"ann", signed(letter("strict.test", "redirect")), kept, "it goes on as it is: strict.test asks for reject (DMARC), and the signature of strict.test goes along"},
		"a filter":              {"ann", letter("strict.test", "redirect"), strings.Replace(replaced, "fwd@", "ann@", 1), "its author is now ann@here.test: strict.test asks for reject (DMARC), and no signature of strict.test goes along"},
	} {
		before := len(s.onward())
		_, domain, _ := strings.Cut(x.text[strings.Index(x.text, "<ann@"):], "@")
		domain, _, _ = strings.Cut(domain, ">")
		if got := s.send("ann@"+domain, x.to+"@here.test", x.text); !strings.HasPrefix(got, "250") {
			t.Fatal(got)
		}
		text := s.queued("far.test")
		s.empty()
		why := strings.Join(s.onward()[before:], "; ")
		if !strings.Contains(text, x.want) || why != x.why {
			t.Errorf("%s: %q\n%s", name, why, text)
		}
		signatures := signaturesOf(t, zone, text)
		chain, err := (&arc.Verifier{Resolver: dns.New(dns.Options{Servers: []string{zone.Addr()}}), Now: time.Now}).Verify(t.Context(), readSigned(t, text))
		if err != nil || chain.Status != arc.Pass {
			t.Errorf("%s: the seal: %s %s %v", name, chain.Status, chain.Reason, err)
		}
		if x.want == kept {
			if strings.Contains(text, "X-Original-From") || strings.Contains(signatures, "here.test") {
				t.Errorf("%s: %s\n%s", name, signatures, text)
			}
			continue
		}
		if !strings.HasPrefix(signatures, signedHere) || !strings.Contains(text, "X-Original-From: Ann Ö <ann@strict.test>\r\nReply-To: Ann Ö <ann@strict.test>\r\n") {
			t.Errorf("%s: %s\n%s", name, signatures, text)
		}
	}
}

// TestOnwardEach gives each recipient of a message only its own address, leaves where
// answers are to go, and replaces nobody where that is not wanted.
func TestOnwardEach(t *testing.T) {
	s, _ := onwardSite(t, nil)
	const letter = "From: ann@strict.test\r\nReply-To: office@strict.test\r\nSubject: x\r\n\r\nhello\r\n"
	conn, r := dialLine(t, s.at["smtp"])
	defer conn.Close()
	for _, line := range []string{"HELO mx.there.test", "MAIL FROM:<ann@strict.test>", "RCPT TO:<fwd@here.test>", "RCPT TO:<other@here.test>", "DATA", letter + "."} {
		if got := say(t, conn, r, line); got[0] > '3' {
			t.Fatalf("%s: %s", line, got)
		}
	}
	for host, want := range map[string]string{"far.test": "From: \"ann via here.test\" <fwd@here.test>\r\n", "further.test": "From: \"ann via here.test\" <other@here.test>\r\n"} {
		text := s.queued(host)
		if !strings.Contains(text, want+"X-Original-From: ann@strict.test\r\nReply-To: office@strict.test\r\n") || strings.Count(text, "\nReply-To:") != 1 {
			t.Errorf("%s: %s", host, text)
		}
	}
}

// TestOnwardOtherwise keeps or refuses what would have another author; what a filter
// may not send on stays with its account.
func TestOnwardOtherwise(t *testing.T) {
	const letter = "From: ann@strict.test\r\nSubject: x\r\n\r\nhello\r\n"
	s, _ := onwardSite(t, func(c *config.Config) { c.Rewrite.DMARC = config.KeepAuthor })
	if got := s.send("ann@strict.test", "fwd@here.test", letter); !strings.HasPrefix(got, "250") {
		t.Fatal(got)
	}
	if text := s.queued("far.test"); !strings.Contains(text, letter) {
		t.Errorf("it is not kept: %s", text)
	}
	s, _ = onwardSite(t, func(c *config.Config) { c.Rewrite.DMARC = config.RefuseOnward })
	s.redirects(`redirect "eve@far.test";`)
	if got := s.send("ann@strict.test", "fwd@here.test", letter); !strings.HasPrefix(got, "550 5.7.1 mail of strict.test") {
		t.Error(got)
	}
	if got := s.send("ann@strict.test", "ann@here.test", letter); !strings.HasPrefix(got, "250") {
		t.Error(got)
	}
	if got := s.box("INBOX"); len(got) != 1 || !strings.Contains(got[0], letter) {
		t.Errorf("ann has %q", got)
	}
	conn, r := dialLine(t, s.at["smtp"])
	defer conn.Close()
	for _, line := range []string{"HELO mx.there.test", "MAIL FROM:<ann@strict.test>", "RCPT TO:<fwd@here.test>", "RCPT TO:<ann@here.test>", "DATA", letter + "."} {
		if got := say(t, conn, r, line); got[0] > '3' {
			t.Fatalf("%s: %s", line, got)
		}
	}
	report := s.queued("strict.test")
	if got := s.box("INBOX"); len(got) != 2 || !strings.Contains(report, "fwd@here.test") || !strings.Contains(report, "5.7.1") || strings.Contains(report, "eve@far.test") {
		t.Errorf("ann has %d messages; the report is\n%s", len(got), report)
	}
	for l, err := range s.Operations().Queue.List(t.Context(), queue.Filter{}) {
		if err != nil || l.Hop.Host == "far.test" {
			t.Errorf("%+v %v goes on", l, err)
		}
	}
}

// TestOnwardIsTold asks beforehand how mail would be sent on.
func TestOnwardIsTold(t *testing.T) {
	const letter = "From: ann@strict.test\r\nSubject: x\r\n\r\nhello\r\n"
	for how, want := range map[config.OnwardDMARC][2]string{
		config.ReplaceAuthor: {"it goes to eve@far.test at another host, in the name of fwd@here.test: strict.test asks for reject (DMARC), and no signature", "goes on in the name of fwd@here.test"},
		config.KeepAuthor:    {"it goes to eve@far.test at another host, as it is: strict.test asks", "goes on as it is"},
		config.RefuseOnward:  {"550 5.7.1 it is not sent on: strict.test asks", "is refused"},
	} {
		s, _ := onwardSite(t, func(c *config.Config) { c.Rewrite.DMARC = how })
		o := s.Operations()
		v, err := o.Spam.Judge(t.Context(), control.SpamQuestion{IP: "127.0.0.1", Helo: "mx.there.test", From: "ann@strict.test", To: []string{"fwd@here.test"}, Message: []byte(letter)})
		if err != nil || len(v.Ends) != 1 || !strings.HasPrefix(v.Ends[0].Says, want[0]) {
			t.Errorf("%s: %+v %v", how, v.Ends, err)
		}
		for from, said := range map[string]string{"ann@strict.test": "what has no signature of strict.test that holds " + want[1] + ": strict.test asks for reject (DMARC)", "ann@lax.test": "", "ann@here.test": "", "": ""} {
			way, err := o.Route.Explain(t.Context(), control.RouteQuery{From: from, To: "fwd@here.test"})
			if err != nil || len(way.Destinations) != 1 || way.Destinations[0].Onward != said {
				t.Errorf("%s, from %s: %+v %v", how, from, way, err)
			}
		}
	}
}
