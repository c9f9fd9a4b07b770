package remote_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
)

func refusing(reply string) *delivertest.Remote {
	return &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
		if step == "CONNECT" {
			c.Reply(reply)
			c.Line()
			c.End()
		}
		return step == "CONNECT"
	}}
}

// silentAfterDot takes the message, perhaps, and goes without a word.
func silentAfterDot() *delivertest.Remote {
	return &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
		if step == "." {
			c.End()
		}
		return step == "."
	}}
}

// Where mail goes, RFC 5321 section 5.1.
func TestPlaces(t *testing.T) {
	t.Parallel()
	type hosts = map[string]*delivertest.Remote
	ok := func() *delivertest.Remote { return &delivertest.Remote{} }
	dead := "192.0.2.99:25"
	for _, test := range []struct {
		name    string
		records []string
		faults  map[string]dnstest.Fault
		hosts   hosts
		hop     mail.Hop
		edit    func(*remote.Options)
		status  string // how it begins
		dials   []string
	}{
		{name: "by preference", records: []string{"mx.test MX 20 b.test.", "mx.test MX 10 a.test.", "a.test A 192.0.2.1", "b.test A 192.0.2.2"},
			hosts: hosts{"192.0.2.1:25": ok(), "192.0.2.2:25": ok()}, status: "250", dials: []string{"192.0.2.1:25"}},
		{name: "next when dead", records: []string{"mx.test MX 20 b.test.", "mx.test MX 10 a.test.", "a.test A 192.0.2.99", "b.test A 192.0.2.2"},
			hosts: hosts{"192.0.2.2:25": ok()}, status: "250", dials: []string{dead, "192.0.2.2:25"}},
		{name: "next after 421", records: []string{"mx.test MX 20 b.test.", "mx.test MX 10 a.test.", "a.test A 192.0.2.1", "b.test A 192.0.2.2"},
			hosts: hosts{"192.0.2.1:25": refusing("421 4.3.2 busy"), "192.0.2.2:25": ok()}, status: "250", dials: []string{"192.0.2.1:25", "192.0.2.2:25"}},
		{name: "next after 554", records: []string{"mx.test MX 20 b.test.", "mx.test MX 10 a.test.", "a.test A 192.0.2.1", "b.test A 192.0.2.2"},
			hosts: hosts{"192.0.2.1:25": refusing("554 no service"), "192.0.2.2:25": ok()}, status: "250", dials: []string{"192.0.2.1:25", "192.0.2.2:25"}},
		{name: "all say 554", records: []string{"mx.test MX 20 b.test.", "mx.test MX 10 a.test.", "a.test A 192.0.2.1", "b.test A 192.0.2.2"},
			hosts: hosts{"192.0.2.1:25": refusing("554 no service"), "192.0.2.2:25": refusing("521 5.3.2 never")}, status: "521 5.3.2", dials: []string{"192.0.2.1:25", "192.0.2.2:25"}},
		{name: "554 and dead", records: []string{"mx.test MX 20 b.test.", "mx.test MX 10 a.test.", "a.test A 192.0.2.99", "b.test A 192.0.2.2"},
			hosts: hosts{"192.0.2.2:25": refusing("554 no service")}, status: "451 4.4.1", dials: []string{dead, "192.0.2.2:25"}},
		{name: "dead and 421", records: []string{"mx.test MX 20 b.test.", "mx.test MX 10 a.test.", "a.test A 192.0.2.99", "b.test A 192.0.2.2"},
			hosts: hosts{"192.0.2.2:25": refusing("421 4.3.2 busy")}, status: "421 4.3.2", dials: []string{dead, "192.0.2.2:25"}},
		{name: "nowhere else when it may have been taken", records: []string{"mx.test MX 20 b.test.", "mx.test MX 10 a.test.", "a.test A 192.0.2.1", "b.test A 192.0.2.2"},
			hosts: hosts{"192.0.2.1:25": silentAfterDot(), "192.0.2.2:25": ok()}, status: "451 4.4.2", dials: []string{"192.0.2.1:25"}},
		{name: "all dead", records: []string{"mx.test MX 10 a.test.", "a.test A 192.0.2.99"}, status: "451 4.4.1", dials: []string{dead}},
		{name: "no MX", records: []string{"mx.test A 192.0.2.1"}, hosts: hosts{"192.0.2.1:25": ok()}, status: "250", dials: []string{"192.0.2.1:25"}},
		{name: "A is no way round dead MXs", records: []string{"mx.test MX 10 a.test.", "a.test A 192.0.2.99", "mx.test A 192.0.2.1"},
			hosts: hosts{"192.0.2.1:25": ok()}, status: "451", dials: []string{dead}},
		{name: "A is no way round MXs without address", records: []string{"mx.test MX 10 a.test.", "mx.test A 192.0.2.1"}, hosts: hosts{"192.0.2.1:25": ok()}, status: "550 5.4.4"},
		{name: "IPv6", records: []string{"mx.test MX 10 a.test.", "a.test AAAA 2001:db8::1"}, hosts: hosts{"[2001:db8::1]:25": ok()}, status: "250", dials: []string{"[2001:db8::1]:25"}},
		{name: "IPv6 dead, IPv4 good", records: []string{"mx.test MX 10 a.test.", "a.test AAAA 2001:db8::1", "a.test A 192.0.2.1"},
			hosts: hosts{"192.0.2.1:25": ok()}, status: "250", dials: []string{"[2001:db8::1]:25", "192.0.2.1:25"}},
		{name: "CNAMEs", records: []string{"mx.test CNAME real.test.", "real.test MX 10 alias.test.", "alias.test CNAME a.test.", "a.test A 192.0.2.1"},
			hosts: hosts{"192.0.2.1:25": ok()}, status: "250", dials: []string{"192.0.2.1:25"}},
		{name: "null MX", records: []string{"mx.test MX 0 .", "mx.test A 192.0.2.1"}, hosts: hosts{"192.0.2.1:25": ok()}, status: "556 5.1.10"},
		{name: "no such domain", status: "550 5.1.2"},
		{name: "domain without addresses", records: []string{"mx.test TXT x"}, status: "550 5.4.4"},
		{name: "MX fails", records: []string{"mx.test A 192.0.2.1"}, faults: map[string]dnstest.Fault{"mx.test": dnstest.ServFail}, hosts: hosts{"192.0.2.1:25": ok()}, status: "451 4.4.3"},
		{name: "DNS is silent", records: []string{"mx.test A 192.0.2.1"}, faults: map[string]dnstest.Fault{"*": dnstest.Silent}, status: "451 4.4.3"},
		{name: "CNAME loop", records: []string{"mx.test CNAME mx.test."}, status: "451 4.4.3"},
		{name: "one MX cannot be found now", records: []string{"mx.test MX 10 a.test."}, faults: map[string]dnstest.Fault{"a.test": dnstest.ServFail}, status: "451 4.4.3"},
		{name: "MX 0.0.0.0", records: []string{"mx.test MX 10 a.test.", "a.test A 0.0.0.0"}, status: "550 5.4.4"},
		{name: "too many addresses", records: []string{"mx.test A 192.0.2.91", "mx.test A 192.0.2.92", "mx.test A 192.0.2.93"}, edit: func(o *remote.Options) { o.MaxAddresses = 1 }, status: "451 4.4.1", dials: []string{"?"}},

		{name: "we are the only MX", records: []string{"mx.test MX 10 Client.Test.", "client.test A 192.0.2.1"}, hosts: hosts{"192.0.2.1:25": ok()}, status: "554 5.4.6"},
		{name: "we are the best by another name", records: []string{"mx.test MX 10 alias.test.", "mx.test MX 20 b.test.", "alias.test A 192.0.2.1", "b.test A 192.0.2.2"}, hosts: hosts{"192.0.2.2:25": ok()},
			edit: func(o *remote.Options) { o.LocalNames = []string{"alias.test"} }, status: "554 5.4.6"},
		{name: "we are the second by address", records: []string{"mx.test MX 10 a.test.", "mx.test MX 20 us.test.", "mx.test MX 20 same.test.", "mx.test MX 30 c.test.", "a.test A 192.0.2.99", "us.test A 192.0.2.7", "same.test A 192.0.2.8", "c.test A 192.0.2.9"},
			hosts: hosts{"192.0.2.8:25": ok(), "192.0.2.9:25": ok()}, edit: func(o *remote.Options) { o.LocalAddrs = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:25")} }, status: "451 4.4.1", dials: []string{dead}},
		{name: "we are the implicit MX", records: []string{"mx.test A 192.0.2.7"}, edit: func(o *remote.Options) { o.LocalAddrs = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:25")} }, status: "554 5.4.6"},
		{name: "it greets as us", records: []string{"mx.test A 192.0.2.1"}, hosts: hosts{"192.0.2.1:25": {Name: "client.test"}}, status: "554 5.4.6", dials: []string{"192.0.2.1:25"}},

		{name: "literal", hop: mail.Hop{Host: "[192.0.2.1]"}, hosts: hosts{"192.0.2.1:25": ok()}, status: "250", dials: []string{"192.0.2.1:25"}},
		{name: "IPv6 literal", hop: mail.Hop{Host: "[IPv6:2001:db8::1]"}, hosts: hosts{"[2001:db8::1]:25": ok()}, status: "250", dials: []string{"[2001:db8::1]:25"}},
		{name: "literal of us", hop: mail.Hop{Host: "[192.0.2.7]"}, edit: func(o *remote.Options) { o.LocalAddrs = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:25")} }, status: "554 5.4.6"},
		{name: "exact host and port", hop: mail.Hop{Host: "a.test", Port: 2525, Exact: true}, records: []string{"a.test MX 10 b.test.", "a.test A 192.0.2.1"}, hosts: hosts{"192.0.2.1:2525": ok()}, status: "250", dials: []string{"192.0.2.1:2525"}},
		{name: "exact host on our address, other port", hop: mail.Hop{Host: "client.test", Port: 2525, Exact: true}, records: []string{"client.test A 192.0.2.7"}, hosts: hosts{"192.0.2.7:2525": {Name: "client.test"}},
			edit: func(o *remote.Options) { o.LocalAddrs = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.7:25")} }, status: "250", dials: []string{"192.0.2.7:2525"}},
		{name: "port of ours", records: []string{"mx.test A 192.0.2.1"}, hosts: hosts{"192.0.2.1:10025": ok()}, edit: func(o *remote.Options) { o.Port = 10025 }, status: "250", dials: []string{"192.0.2.1:10025"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var records []string
				for _, r := range test.records {
					records = append(records, insertTTL(r))
				}
				w := newWorld(t, test.hosts, records...)
				for name, fault := range test.faults {
					w.dns.Fail(name, fault)
				}
				hop := test.hop
				if hop.Kind = mail.HopRemote; hop.Host == "" {
					hop = toMX
				}
				tr := w.transport(test.edit)
				item, body := to(hop, "a", "b")
				outcomes := tr.Deliver(t.Context(), item, body)
				w.end(tr)
				for _, o := range outcomes {
					if got := o.Status.String(); len(got) < len(test.status) || got[:len(test.status)] != test.status {
						t.Errorf("%q (%v), want %s", got, o.Err, test.status)
					}
				}
				if len(test.dials) == 1 && test.dials[0] == "?" {
					test.dials = w.dials[:1]
				}
				if !slices.Equal(w.dials, test.dials) {
					t.Errorf("dialled %v, want %v", w.dials, test.dials)
				}
			})
		})
	}
}

func insertTTL(record string) string {
	var name, rest string
	fmt.Sscan(record, &name)
	rest = record[len(name):]
	return name + " 60 IN" + rest
}

// Hosts of the same preference share the load.
func TestEqualPreference(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := &delivertest.Remote{}, &delivertest.Remote{}
		w := newWorld(t, map[string]*delivertest.Remote{"192.0.2.1:25": a, "192.0.2.2:25": b},
			"mx.test 60 IN MX 10 a.test.", "mx.test 60 IN MX 10 b.test.", "a.test 60 IN A 192.0.2.1", "b.test 60 IN A 192.0.2.2")
		tr := w.transport(func(o *remote.Options) { o.MaxIdle = -1 })
		for range 60 {
			item, body := to(toMX, "a")
			tr.Deliver(t.Context(), item, body)
		}
		w.end(tr)
		if a.Connections() < 10 || b.Connections() < 10 || a.Connections()+b.Connections() != 60 {
			t.Errorf("%d and %d connections", a.Connections(), b.Connections())
		}
	})
}
