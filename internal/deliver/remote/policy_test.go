package remote_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/dns"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/vfs"
)

// What a policy asks of a host is asked before the message goes, and what came
// of it is told once for each session.
func TestRequirements(t *testing.T) {
	t.Parallel()
	wrong := errors.New("not this one")
	refuse := &mail.Failure{Op: "choose", Status: mail.Reply(451, "4.7.5", "no TLSA answer")}
	verify := func(err error) func(tls.ConnectionState) error { return func(tls.ConnectionState) error { return err } }
	breaks := func(c *delivertest.Conn, step, _ string) bool {
		if step == "HANDSHAKE" {
			c.End()
		}
		return step == "HANDSHAKE"
	}
	for _, c := range []struct {
		name   string
		need   remote.Requirement
		offers []string
		tls    bool
		on     func(*delivertest.Conn, string, string) bool
		env    mail.Envelope
		status string
		told   string // offered, TLS and error of each result
		mail   string // how MAIL ends
	}{
		{name: "nothing, and no TLS", status: "250", told: "- - -"},
		{name: "nothing, and TLS", tls: true, status: "250", told: "offered TLS -"},
		{name: "nothing, and TLS that breaks", tls: true, on: breaks, status: "250", told: "offered - error"},
		{name: "TLS, and none", need: remote.Requirement{TLS: remote.Encrypted, Why: "test: x"}, told: "- - error",
			status: "451 4.7.0 the host is not secure enough: it does not offer TLS, which is required (test: x)"},
		{name: "TLS, and it breaks", need: remote.Requirement{TLS: remote.Encrypted}, tls: true, on: breaks, status: "451 4.7.5", told: "offered - error"},
		{name: "a check that passes", need: remote.Requirement{TLS: remote.Encrypted, Verify: verify(nil)}, tls: true, status: "250", told: "offered TLS -"},
		{name: "a check that fails", need: remote.Requirement{TLS: remote.Encrypted, Verify: verify(wrong)}, tls: true, status: "451 4.7.0", told: "offered - error"},
		{name: "a check in place of the roots", need: remote.Requirement{TLS: remote.Verified, Verify: verify(nil)}, tls: true, status: "250", told: "offered TLS -"},
		{name: "an unknown root", need: remote.Requirement{TLS: remote.Verified}, tls: true, status: "451 4.7.0", told: "offered - error"},
		{name: "refused", need: remote.Requirement{Refuse: refuse}, tls: true, status: "451 4.7.5 no TLSA answer"},
		{name: "REQUIRETLS", need: remote.Requirement{TLS: remote.Encrypted, Offer: "REQUIRETLS"}, tls: true, offers: []string{"REQUIRETLS"},
			env: mail.Envelope{RequireTLS: true}, status: "250", told: "offered TLS -", mail: " REQUIRETLS"},
		{name: "REQUIRETLS, not offered", need: remote.Requirement{TLS: remote.Encrypted, Offer: "REQUIRETLS"}, tls: true,
			env: mail.Envelope{RequireTLS: true}, status: "550 5.7.30", told: "offered TLS -"},
		{name: "REQUIRETLS, without TLS", need: remote.Requirement{TLS: remote.Encrypted, Offer: "REQUIRETLS"}, offers: []string{"REQUIRETLS"},
			env: mail.Envelope{RequireTLS: true}, status: "550 5.7.10", told: "- - error"},
		{name: "a report of REQUIRETLS", tls: true, offers: []string{"REQUIRETLS"},
			env: mail.Envelope{RequireTLS: true}, status: "250", told: "offered TLS -", mail: " REQUIRETLS"},
		{name: "a report of REQUIRETLS, not offered", tls: true, env: mail.Envelope{RequireTLS: true}, status: "250", told: "offered TLS -"},
		{name: "a report of REQUIRETLS, without TLS", offers: []string{"REQUIRETLS"},
			env: mail.Envelope{RequireTLS: true}, status: "250", told: "- - -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &delivertest.Remote{Extensions: c.offers, On: c.on}
				if c.tls {
					host.TLS = delivertest.ServerTLS("mx.test")
				}
				w := oneHost(t, host)
				var told []string
				tr := w.transport(func(o *remote.Options) {
					o.Policy = func(_ context.Context, p remote.Peer, env *mail.Envelope) remote.Requirement {
						if p.Host != "mx.test" || p.Port != 25 || p.Canonical != "mx.test" || p.Secure || env.RequireTLS != c.env.RequireTLS {
							t.Errorf("asked for %+v", p)
						}
						need := c.need
						need.Done = func(r remote.Result) {
							word := func(yes bool, what string) string { return map[bool]string{true: what, false: "-"}[yes] }
							told = append(told, word(r.Offered, "offered")+" "+word(r.TLS != nil, "TLS")+" "+word(r.Err != nil, "error"))
							if r.Err != nil && strings.Contains(c.name, "check") && !errors.Is(r.Err, wrong) {
								t.Errorf("told of %v", r.Err)
							}
						}
						return need
					}
				})
				item, body := to(toMX, "a")
				c.env.ID = item.Envelope.ID
				if !strings.HasPrefix(c.name, "a report") {
					c.env.From = item.Envelope.From
				}
				item.Envelope = c.env
				o := tr.Deliver(t.Context(), item, body)[0]
				w.end(tr)
				if !strings.HasPrefix(o.Status.String(), c.status) {
					t.Errorf("%v (%v), want %s", o.Status, o.Err, c.status)
				}
				if strings.Join(told, ", ") != c.told {
					t.Errorf("told %q, want %q", told, c.told)
				}
				if m := host.Messages(); (len(m) == 1) != (c.status == "250") || len(m) == 1 && !strings.HasSuffix(m[0].From, ">"+c.mail) {
					t.Errorf("the host has %+v", m)
				}
			})
		})
	}
}

// Whoever wants more or less of TLS than others shares no session with them.
func TestApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		host := &delivertest.Remote{Extensions: full}
		w := oneHost(t, host)
		tr := w.transport(nil)
		for _, optional := range []bool{false, true, false, true, false} {
			item, body := to(toMX, "a")
			item.Envelope.TLSOptional = optional
			if o := tr.Deliver(t.Context(), item, body)[0]; o.Status.Code != 250 {
				t.Errorf("%v %v", o.Status, o.Err)
			}
		}
		w.end(tr)
		if host.Connections() != 3 {
			t.Errorf("%d connections, want one for all that are alike and one for each other", host.Connections())
		}
	})
}

// Explain tells of the hosts what a delivery would be told, with what the DNS
// vouches for; the journal of a delivery names the policy.
func TestExplain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, map[string]*delivertest.Remote{"192.0.2.1:25": {}}, "mx.test MX 10 alias.test.", "mx.test MX 20 b.test.", "alias.test CNAME a.test.", "a.test A 192.0.2.1", "b.test AAAA 2001:db8::1", "b.test A 192.0.2.2")
		w.dns.Authentic("*", true)
		w.dns.Authentic("b.test", false)
		log, err := journal.Open(journal.Options{FS: vfs.NewMemory(), Dir: "journal"})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		tr := w.transport(func(o *remote.Options) {
			o.Resolver, o.Journal = dns.New(dns.Options{Dial: w.dns.Dial, TrustAD: true}), log
			o.Policy = func(_ context.Context, p remote.Peer, _ *mail.Envelope) remote.Requirement {
				return remote.Requirement{Why: "test: of " + p.Host}
			}
		})
		list, err := tr.Explain(t.Context(), toMX, &mail.Envelope{})
		if err != nil || len(list) != 2 || list[0].Peer.Host != "alias.test" || list[0].Peer.Canonical != "a.test" || !list[0].Peer.Secure || !list[0].Peer.Validated ||
			list[0].Requirement.Why != "test: of alias.test" || list[1].Peer.Validated || !list[1].Peer.Secure || len(list[1].Addrs) != 2 {
			t.Errorf("%+v %v", list, err)
		}
		if _, err := tr.Explain(t.Context(), mail.Hop{Kind: mail.HopRemote, Host: "nowhere.test"}, &mail.Envelope{}); mail.StatusOf(err).Enhanced.String() != "5.1.2" {
			t.Errorf("a domain that is not there: %v", err)
		}
		item, body := to(toMX, "a")
		tr.Deliver(t.Context(), item, body)
		w.end(tr)
		found := false
		for e := range log.Find(t.Context(), journal.Query{Message: item.Envelope.ID}) {
			found = found || e.Kind == journal.Attempt && e.Policy == "test: of alias.test"
		}
		if !found {
			t.Error("the journal does not name the policy")
		}
	})
}
