package internet

import (
	"crypto/tls"
	gonet "net"
	"net/http"
	"strings"
	"testing"
	"time"

	"plic/internal/dane"
	"plic/internal/deliver/delivertest"
	"plic/internal/journal"
	"plic/internal/pki"
	"plic/internal/vfs"
	"plic/test/world"
)

// secured is a site that asks a resolver that validates, and hosts that prove
// who they are, or cannot.
type secured struct {
	*world.World
	one, two *world.Plic
	hosts    map[string]*world.Sink // by domain
}

// ownTLS is what a host has that signed its certificate itself: no root makes
// it good.
func ownTLS(t *testing.T, host string) (*tls.Config, dane.Record) {
	t.Helper()
	ca, err := pki.Open(vfs.NewMemory(), "ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue([]string{host}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}, dane.New(cert.Leaf, dane.EE, dane.PublicKey, dane.SHA256)
}

// web serves an MTA-STS policy at the policy host of a domain.
func web(t *testing.T, w *world.World, domain, policy string) {
	t.Helper()
	host := "mta-sts." + domain
	l, err := gonet.Listen("tcp", w.Host(t, host)+":443")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{TLSConfig: w.ServerTLS(t, host), Handler: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		rw.Write([]byte(policy))
	})}
	go s.ServeTLS(l, "", "")
	t.Cleanup(func() { s.Close() })
	w.Record(t, "_mta-sts."+domain+". 60 IN TXT \"v=STSv1; id=1\"")
}

var offers = []string{"PIPELINING", "8BITMIME", "SMTPUTF8"}

func TestSecure(t *testing.T) {
	t.Parallel()
	n := &secured{World: world.New(t, binary, "127.80.20"), hosts: map[string]*world.Sink{}}
	sink := func(host string, r *delivertest.Remote) string {
		s := n.Sink(t, host, r)
		_, domain, _ := strings.Cut(host, ".")
		n.hosts[domain] = s
		return s.Address
	}
	signed := func(domain, address, tlsa string) world.Zone {
		return world.Zone{Name: domain, Records: []string{
			domain + ". 60 IN MX 10 mx." + domain + ".", "mx." + domain + ". 60 IN A " + address, "_25._tcp.mx." + domain + ". 60 IN TLSA " + tlsa,
		}}
	}
	good, goodKey := ownTLS(t, "mx.dane.test")
	_, otherKey := ownTLS(t, "mx.imposter.test")
	imposter, _ := ownTLS(t, "mx.imposter.test")
	forged, forgedKey := ownTLS(t, "mx.forged.test")
	zones := []world.Zone{
		signed("dane.test", sink("mx.dane.test", &delivertest.Remote{Extensions: offers, TLS: good}), goodKey.String()),
		signed("imposter.test", sink("mx.imposter.test", &delivertest.Remote{Extensions: offers, TLS: imposter}), otherKey.String()),
		signed("stripped.test", sink("mx.stripped.test", &delivertest.Remote{Extensions: offers}), goodKey.String()),
		signed("forged.test", sink("mx.forged.test", &delivertest.Remote{Extensions: offers, TLS: forged}), otherKey.String()),
	}
	// Whoever forges the record cannot sign it.
	zones[3].Forge = func(text string) string {
		return strings.ReplaceAll(text, strings.ToLower(otherKey.String()[6:]), forgedKey.String()[6:])
	}
	n.two = n.NewPlic(t, world.Site{Host: "mx.keeps.test", Domain: "keeps.test"})
	zones = append(zones, world.Zone{Name: "keeps.test", Records: []string{
		"keeps.test. 60 IN MX 10 mx.keeps.test.", "mx.keeps.test. 60 IN A " + n.two.Address,
	}})
	sink("mx.sts.test", &delivertest.Remote{Extensions: offers, TLS: n.ServerTLS(t, "mx.sts.test")})
	sink("mx.badsts.test", &delivertest.Remote{Extensions: offers, TLS: good})
	sink("mx.moved.test", &delivertest.Remote{Extensions: offers, TLS: n.ServerTLS(t, "mx.moved.test")})
	const policy = "version: STSv1\r\nmode: enforce\r\nmx: mx.sts.test\r\nmx: mx.badsts.test\r\nmx: mail.moved.test\r\nmax_age: 86400\r\n"
	for _, domain := range []string{"sts.test", "badsts.test", "moved.test"} {
		web(t, n.World, domain, policy)
	}
	resolver := n.Validate(t, zones...)
	settings := map[string]string{"dns.servers": `["` + resolver + `:53"]`, "dns.trusted": "true", "queue.warn_after": `"4h"`, "remote.tls_policies": `{` +
		`".table.test" = "encrypt", "none.table.test" = "none", "may.table.test" = "may", "verify.table.test" = "verify", "unproven.table.test" = "verify", ` +
		`"danes.table.test" = "dane-only", "key.table.test" = "fingerprint sha256:` + goodKey.String()[6:] + `", "otherkey.table.test" = "fingerprint sha256:` + otherKey.String()[6:] + `"}`}
	n.one = n.Plic(t, world.Site{Host: "mx.careful.test", Domain: "careful.test", Settings: settings})
	n.two.Configure(t, settings)
	n.two.Start(t)
	n.two.Run(t, "domain", "add", "keeps.test")
	for _, x := range []struct {
		name string
		test func(*testing.T, *secured)
	}{
		{"DANE", daneHost}, {"DANERefused", daneRefused}, {"MTASTS", stsHosts}, {"Downgrade", downgrade},
		{"RequireTLS", requireTLS}, {"PolicyIsTold", policyIsTold}, {"Table", func(t *testing.T, n *secured) { siteTable(t, n, good) }},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			x.test(t, n)
		})
	}
}

// attempt waits for a try at a host, and gives it.
func attempt(t *testing.T, p *world.Plic, id, host string) journal.Event {
	t.Helper()
	var found journal.Event
	world.Wait(t, "a try at "+host, func() bool {
		for _, e := range p.Journal(t, id) {
			if e.Kind == journal.Attempt && e.Host == host {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

// A host that shows what its signed zone names gets the mail, although no root
// vouches for it.
func daneHost(t *testing.T, n *secured) {
	id, _ := send(t, n.one, n.one.Account(t, "dane"), "dane", "carl@dane.test")
	n.hosts["dane.test"].Wait(t, 1)
	if e := attempt(t, n.one, id, "mx.dane.test"); e.Policy != "dane: 1 TLSA of mx.dane.test" || !strings.HasPrefix(e.TLS, "TLS 1.3") || e.Status != "" {
		t.Errorf("%+v", e)
	}
}

// A host with another key, one whose STARTTLS was taken away (S5), and one
// whose record was forged get nothing, and the mail waits.
func daneRefused(t *testing.T, n *secured) {
	ann := n.one.Account(t, "refused")
	for domain, want := range map[string][2]string{
		"imposter.test": {"451 4.7.0", "no TLSA record matches"},
		"stripped.test": {"451 4.7.0", ""},
		"forged.test":   {"451 4.7.5", "SERVFAIL"},
	} {
		id, _ := send(t, n.one, ann, "refused-"+domain, "carl@"+domain)
		e := n.one.WaitJournal(t, id, journal.Defer)
		if !strings.HasPrefix(e.Status, want[0]) {
			t.Errorf("%s: deferred with %+v", domain, e)
		}
		if e := attempt(t, n.one, id, "mx."+domain); !strings.HasPrefix(e.Policy, "dane: ") || !strings.Contains(e.Reason, want[1]) {
			t.Errorf("%s: %+v", domain, e)
		}
		if s := n.hosts[domain]; len(s.Messages()) > 0 || s.Said("MAIL") {
			t.Errorf("%s got mail, or its envelope", domain)
		}
	}
}

// The policy of a domain decides: its host with a good certificate gets mail,
// one with another certificate does not, nor one that the policy does not name.
func stsHosts(t *testing.T, n *secured) {
	ann := n.one.Account(t, "sts")
	id, _ := send(t, n.one, ann, "sts", "carl@sts.test")
	n.hosts["sts.test"].Wait(t, 1)
	if e := attempt(t, n.one, id, "mx.sts.test"); e.Policy != "mta-sts: enforce, policy 1 of sts.test" || !strings.HasPrefix(e.TLS, "TLS 1.3") {
		t.Errorf("%+v", e)
	}
	for domain, status := range map[string]string{"badsts.test": "451 4.7.0", "moved.test": "451 4.7.5"} {
		id, _ := send(t, n.one, ann, "sts-"+domain, "carl@"+domain)
		if e := n.one.WaitJournal(t, id, journal.Defer); !strings.HasPrefix(e.Status, status) {
			t.Errorf("%s: deferred with %+v", domain, e)
		}
		if s := n.hosts[domain]; len(s.Messages()) > 0 || s.Said("MAIL") {
			t.Errorf("%s got mail, or its envelope", domain)
		}
	}
}

// An attacker takes STARTTLS away from a domain without any policy: mail waits
// rather than go in clear, and goes when the postmaster
// says that it may.
func downgrade(t *testing.T, n *secured) {
	ann := n.one.Account(t, "downgrade")
	remote := &delivertest.Remote{Extensions: offers, TLS: n.ServerTLS(t, "mx.trusting.test")}
	s := n.Sink(t, "mx.trusting.test", remote)
	send(t, n.one, ann, "before", "carl@trusting.test")
	s.Wait(t, 1)
	s.Down()
	attacker := &delivertest.Remote{Name: "mx.trusting.test", Extensions: offers}
	s.Remote = attacker
	s.Up(t)
	world.Wait(t, "the session that was kept to end", func() bool {
		id, _ := send(t, n.one, ann, "probe", "carl@trusting.test")
		e := n.one.WaitJournal(t, id, journal.Defer)
		return strings.HasPrefix(e.Status, "451 4.7.0")
	})
	id, _ := send(t, n.one, ann, "stripped", "carl@trusting.test")
	n.one.WaitJournal(t, id, journal.Defer)
	if e := attempt(t, n.one, id, "mx.trusting.test"); !strings.HasPrefix(e.Policy, "remembered: TLS was there on ") || !strings.HasPrefix(e.Status, "451 4.7.0") || !strings.Contains(e.Status, "(remembered: TLS was there on ") {
		t.Errorf("%+v", e)
	}
	if attacker.Messages() != nil || s.Said("MAIL") {
		t.Error("mail, or its envelope, went in clear")
	}
	has(t, "plic tls policy", n.one.Run(t, "tls", "policy", "trusting.test"), "remembered: TLS was there on ", "TLS with whoever it is", "the host has no TLS since ")
	n.one.Run(t, "tls", "forget", "trusting.test")
	s.Wait(t, 2)
}

// A message with REQUIRETLS reaches a host that keeps to it over a way that
// DNSSEC vouches for, and comes back from one that does not.
func requireTLS(t *testing.T, n *secured) {
	ann, bea := n.one.Account(t, "require"), n.two.Account(t, "bea")
	post := func(subject, to string) string {
		c := n.one.Submission(t, ann)
		defer c.Close()
		return c.Deliver(world.Letter{From: ann, FromParams: "REQUIRETLS", To: []string{to}, Text: text(ann, to, subject)})
	}
	id := post("required", bea)
	n.two.WaitMail(t, bea, "Subject: required")
	if e := attempt(t, n.one, id, "mx.keeps.test"); !strings.HasPrefix(e.TLS, "TLS 1.3") {
		t.Errorf("%+v", e)
	}
	for _, to := range []string{"carl@dane.test", "carl@nopolicy.test"} {
		if strings.HasSuffix(to, "nopolicy.test") {
			n.Sink(t, "mx.nopolicy.test", &delivertest.Remote{Extensions: append(offers, "REQUIRETLS"), TLS: n.ServerTLS(t, "mx.nopolicy.test")})
		}
		id := post("cannot", to)
		if e := n.one.WaitJournal(t, id, journal.Bounce); !strings.HasPrefix(e.Status, "550 5.7.30") {
			t.Errorf("%s: %+v", to, e)
		}
	}
}

// What the site knows of a domain decides before all else, and the journal says
// so.
func siteTable(t *testing.T, n *secured, own *tls.Config) {
	ann := n.one.Account(t, "table")
	for domain, c := range map[string]struct {
		tls    *tls.Config
		policy string // as the journal has it
		taken  bool
		over   bool // TLS
	}{
		"none.table.test":     {n.ServerTLS(t, "mx.none.table.test"), "none", true, false},
		"may.table.test":      {nil, "may", true, false},
		"other.table.test":    {own, "encrypt", true, true},
		"bare.table.test":     {nil, "encrypt", false, false},
		"verify.table.test":   {n.ServerTLS(t, "mx.verify.table.test"), "verify", true, true},
		"unproven.table.test": {own, "verify", false, false},
		"danes.table.test":    {own, "dane-only", false, false},
		"key.table.test":      {own, "fingerprint", true, true},
		"otherkey.table.test": {own, "fingerprint", false, false},
	} {
		t.Run(domain, func(t *testing.T) {
			t.Parallel()
			s := n.Sink(t, "mx."+domain, &delivertest.Remote{Extensions: offers, TLS: c.tls})
			id, _ := send(t, n.one, ann, domain, "carl@"+domain)
			if c.taken {
				if m := s.Wait(t, 1)[0]; m.TLS != c.over {
					t.Errorf("it came with TLS: %v", m.TLS)
				}
			} else if e := n.one.WaitJournal(t, id, journal.Defer); !strings.HasPrefix(e.Status, "451 4.7.") || s.Said("MAIL") {
				t.Errorf("deferred with %+v, the host was told %q", e, s.Commands())
			}
			if e := attempt(t, n.one, id, "mx."+domain); !strings.HasPrefix(e.Policy, c.policy+":") {
				t.Errorf("%+v", e)
			}
		})
	}
}

// The command shows the decision with its evidence.
func policyIsTold(t *testing.T, n *secured) {
	has(t, "plic tls policy", n.one.Run(t, "tls", "policy", "dane.test"), "dane: 1 TLSA of mx.dane.test", "TLSA of _25._tcp.mx.dane.test, validated: 3 1 1 ")
	has(t, "plic tls policy", n.one.Run(t, "tls", "policy", "forged.test"), "no mail goes there now", "451 4.7.5")
	has(t, "plic tls policy", n.one.Run(t, "tls", "policy", "sts.test", "--json"), `"policy":"mta-sts: enforce, policy 1 of sts.test"`)
}
