package internet

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"plic/internal/journal"
	"plic/test/world"
)

// judge is an independent implementation that checks the signatures and the
// chain of seals of a message. Not every version of it knows Ed25519.
const judge = `
use strict; use Mail::DKIM::Verifier; use Mail::DKIM::ARC::Verifier; use Mail::DKIM::DNS; use Net::DNS::Resolver;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => [$ARGV[0]]));
my ($dkim, $arc) = (Mail::DKIM::Verifier->new(), Mail::DKIM::ARC::Verifier->new());
local $/ = undef; my $text = <STDIN>;
$_->PRINT($text), $_->CLOSE for $dkim, $arc;
print join(",", map { $_->result } grep { $_->algorithm eq "rsa-sha256" } $dkim->signatures), " arc=", $arc->result, "\n";
`

// judged asks the judge.
func judged(t *testing.T, w *world.World, text string) string {
	t.Helper()
	cmd := exec.Command("perl", "-e", judge, w.Resolver)
	cmd.Stdin = strings.NewReader(text)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("Mail::DKIM: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// publish puts the keys of a domain of a site into the DNS, as it prints them.
func publish(t *testing.T, p *world.Plic, domain string) {
	t.Helper()
	for line := range strings.Lines(p.Run(t, "dkim", "keys", domain, "--json")) {
		var r struct{ Name, Value string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		p.World.Record(t, r.Name+`. 60 IN TXT "`+r.Value[:20]+`" "`+r.Value[20:]+`"`)
	}
}

// Mail from a domain that wants everything refused that it has not signed goes
// directly, through a forwarder, and through a list that changes it; where those
// who sent it on are trusted, it arrives, and elsewhere what was changed does not.
func TestSender(t *testing.T) {
	t.Parallel()
	if exec.Command("perl", "-MMail::DKIM", "-e", "1").Run() != nil {
		world.Missing(t, "Mail::DKIM for Perl is not installed")
	}
	w := world.New(t, binary, "127.80.150")
	checked := func(host, domain string, more map[string]string) *world.Plic {
		settings := map[string]string{"senders.excepted_networks": "[]"}
		for k, v := range more {
			settings[k] = v
		}
		p := w.Plic(t, world.Site{Host: host, Domain: domain, Settings: settings})
		publish(t, p, domain)
		return p
	}
	one := checked("mx.one.test", "one.test", nil)
	w.Record(t, `one.test. 60 IN TXT "v=spf1 -all"`) // so that only signatures count
	w.Record(t, `_dmarc.one.test. 60 IN TXT "v=DMARC1; p=reject"`)
	two := checked("mx.two.test", "two.test", nil)
	rules := w.Dir + "/rules"
	if err := os.WriteFile(rules, []byte("/^Subject: (.*)/ replace Subject: [list] $1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	list := checked("mx.list.test", "list.test", map[string]string{
		"route.header_rules": `"regexp:` + rules + `"`, "rewrite.dmarc": `"keep"`,
	})
	trusting := checked("mx.three.test", "three.test", map[string]string{"senders.trusted_sealers": `["list.test", "two.test"]`})
	strict := checked("mx.four.test", "four.test", nil)
	bea, dan := trusting.Account(t, "bea"), strict.Account(t, "dan")
	two.Alias(t, "bea@two.test", bea)
	two.Alias(t, "list@two.test", "list@list.test")
	list.Alias(t, "list@list.test", bea, dan)

	for _, x := range []struct{ subject, to, judge, said string }{
		{"direct", bea, "pass arc=none", "dmarc=pass"},
		{"forwarded", "bea@two.test", "pass arc=pass", "dmarc=pass"},
		{"changed", "list@two.test", "fail arc=pass", "dmarc=fail"},
	} {
		send(t, one, one.Account(t, x.subject), x.subject, x.to)
		got := trusting.WaitMail(t, bea, x.subject)
		if verdict := judged(t, w, got); verdict != x.judge {
			t.Errorf("%s: Mail::DKIM says %s, want %s\n%s", x.subject, verdict, x.judge, got)
		}
		has(t, x.subject, got, "Authentication-Results: mx.three.test;", x.said, "spf=fail")
	}
	e := trusting.WaitJournal(t, "<changed@test>", journal.Accept)
	said := ""
	for _, e := range trusting.Journal(t, e.Message.String()) {
		if e.Kind == journal.Sender {
			said = e.Reason
		}
	}
	has(t, "the journal", said, "DMARC is not followed: ", "whose seals we trust, saw that it was from one.test")
	refused := list.WaitJournal(t, "<changed@test>", journal.Bounce)
	has(t, "the answer of those who trust nobody", refused.Status, "550 5.7.1 this is not from one.test")
}
