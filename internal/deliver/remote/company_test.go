package remote_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/mail"
)

// all delivers one message to domains together and gives the codes by domain.
func all(t *testing.T, tr *remote.Transport, edit func(*mail.Item), domains ...string) map[string]string {
	t.Helper()
	body := delivertest.Body(text)
	var items []*mail.Item
	var bodies []mail.Body
	for _, domain := range domains {
		item := delivertest.Item(body, "x@"+domain)
		if len(items) > 0 {
			item.Envelope, item.Body = items[0].Envelope, items[0].Body
		}
		item.Hop = mail.Hop{Kind: mail.HopRemote, Host: domain}
		if edit != nil {
			edit(item)
		}
		items, bodies = append(items, item), append(bodies, body)
	}
	var mu sync.Mutex
	got := map[string]string{}
	tr.DeliverAll(t.Context(), items, bodies, func(i int, outcomes []mail.Outcome) {
		mu.Lock()
		defer mu.Unlock()
		var codes []string
		for _, o := range outcomes {
			codes = append(codes, fmt.Sprint(o.Status.Code))
		}
		got[domains[i]] = strings.Join(codes, " ")
	})
	return got
}

// Domains with the same hosts get a message in one transaction, if what each
// asks of the host's TLS was shown; whoever asks for more gets a session of its
// own, and whoever is refused keeps nobody.
func TestCompany(t *testing.T) {
	t.Parallel()
	bad := func(tls.ConnectionState) error { return errors.New("not for this domain") }
	records := []string{
		"one.test MX 10 mx.test.", "two.test MX 5 mx.test.", "three.test MX 7 mx.test.", "other.test MX 7 mx.test.", "other.test MX 8 mx2.test.",
		"mx.test A 192.0.2.1", "mx2.test A 192.0.2.2",
	}
	for _, test := range []struct {
		name    string
		domains []string
		policy  map[string]remote.Requirement
		edit    func(*mail.Item)
		on      func(c *delivertest.Conn, step, args string) bool
		want    []string // recipients of each transaction
		codes   string   // by domain, if not all 250
		conns   int
	}{
		{name: "alike", domains: []string{"one.test", "two.test", "three.test"}, want: []string{"one two three"}, conns: 1},
		{name: "one verified", domains: []string{"one.test", "two.test", "three.test"}, want: []string{"one three", "two"}, conns: 2,
			policy: map[string]remote.Requirement{"two.test": {TLS: remote.Verified}}},
		{name: "the first verified", domains: []string{"one.test", "two.test"}, want: []string{"one two"}, conns: 1,
			policy: map[string]remote.Requirement{"one.test": {TLS: remote.Verified}}},
		{name: "one cannot be satisfied", domains: []string{"one.test", "two.test", "three.test"}, want: []string{"one three"}, conns: 2, codes: "250 451 250",
			policy: map[string]remote.Requirement{"two.test": {TLS: remote.Verified, Verify: bad}}},
		{name: "the first cannot be satisfied", domains: []string{"one.test", "two.test", "three.test"}, want: []string{"two three"}, conns: 2, codes: "451 250 250",
			policy: map[string]remote.Requirement{"one.test": {TLS: remote.Verified, Verify: bad}}},
		{name: "one is refused", domains: []string{"one.test", "two.test", "three.test"}, want: []string{"two three"}, conns: 1, codes: "550 250 250",
			policy: map[string]remote.Requirement{"one.test": {Refuse: &mail.Failure{Op: "x", Status: mail.Reply(550, "5.7.1", "no")}}}},
		{name: "one in clear", domains: []string{"one.test", "two.test"}, want: []string{"one", "two"}, conns: 2,
			policy: map[string]remote.Requirement{"two.test": {TLS: remote.Cleartext}}},
		{name: "another host as well", domains: []string{"one.test", "other.test"}, want: []string{"one", "other"}, conns: 2},
		{name: "one does not exist", domains: []string{"one.test", "none.test", "two.test"}, want: []string{"one two"}, conns: 1, codes: "250 550 250"},
		{name: "TLS is asked for by the message", domains: []string{"one.test", "two.test"}, want: []string{"one", "two"}, conns: 2,
			edit: func(i *mail.Item) { i.Envelope.TLSOptional = true }},
		{name: "another prefix", domains: []string{"one.test", "two.test"}, want: []string{"one", "two"}, conns: 2,
			edit: func(i *mail.Item) { i.Prefix = []byte("X: " + i.Hop.Host + "\r\n") }},
		{name: "another sender", domains: []string{"one.test", "two.test"}, want: []string{"one", "two"}, conns: 2,
			edit: func(i *mail.Item) { i.Envelope.From = mail.MustAddress("from@" + i.Hop.Host) }},
		{name: "the host has too much to do", domains: []string{"one.test", "two.test", "three.test"}, conns: 1, codes: "421 421 421",
			on: func(c *delivertest.Conn, step, _ string) bool {
				if step == "CONNECT" {
					c.Reply("421 later")
					c.End()
				}
				return step == "CONNECT"
			}},
		{name: "one recipient is refused", domains: []string{"one.test", "two.test", "three.test"}, want: []string{"one three"}, conns: 1, codes: "250 550 250",
			on: func(c *delivertest.Conn, step, args string) bool {
				if step == "RCPT" && strings.Contains(args, "two") {
					c.Reply("550 5.1.1 no such user")
					return true
				}
				return false
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				certificate, roots := delivertest.Certificate("mx.test")
				on := func(c *delivertest.Conn, step, args string) bool {
					if step == "CONNECT" {
						time.Sleep(time.Second) // so that who is ready at the same time comes by itself
					}
					return test.on != nil && test.on(c, step, args)
				}
				host := &delivertest.Remote{Extensions: full, On: on, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
				w := newWorld(t, map[string]*delivertest.Remote{place: host}, records...)
				asked := map[string]int{}
				var mu sync.Mutex
				tr := w.transport(func(o *remote.Options) {
					o.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
					o.Policy = func(_ context.Context, p remote.Peer, _ *mail.Envelope) remote.Requirement {
						mu.Lock()
						defer mu.Unlock()
						asked[p.Hop.Host+" "+p.Host]++
						return test.policy[p.Hop.Host]
					}
				})
				codes := all(t, tr, test.edit, test.domains...)
				w.end(tr)
				var got []string
				for _, m := range host.Messages() {
					var names []string
					for _, to := range m.To {
						names = append(names, strings.TrimSuffix(strings.TrimPrefix(to, "<x@"), ".test>"))
					}
					got = append(got, strings.Join(names, " "))
				}
				slices.Sort(got)
				if !slices.Equal(got, test.want) || host.Connections() != test.conns {
					t.Errorf("transactions %q over %d connections, want %q over %d", got, host.Connections(), test.want, test.conns)
				}
				if test.codes == "" {
					test.codes = strings.TrimSpace(strings.Repeat("250 ", len(test.domains)))
				}
				var list []string
				for _, domain := range test.domains {
					list = append(list, codes[domain])
				}
				if strings.Join(list, " ") != test.codes {
					t.Errorf("outcomes %q, want %q", list, test.codes)
				}
				for who, n := range asked {
					if n > 1 {
						t.Errorf("the policy of %s was asked for %d times", who, n)
					}
				}
			})
		})
	}
}

// More recipients than a transaction may have go in several, over one session;
// a domain whose name servers are slow delays nobody.
func TestCompanyOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		records := []string{"mx.test A 192.0.2.1"}
		var domains []string
		for i := range 120 {
			domains = append(domains, fmt.Sprintf("d%d.test", i))
			records = append(records, domains[i]+" MX 10 mx.test.")
		}
		host := &delivertest.Remote{Extensions: full}
		w := newWorld(t, map[string]*delivertest.Remote{place: host}, records...)
		slow := 0
		tr := w.transport(func(o *remote.Options) {
			o.Policy = func(ctx context.Context, p remote.Peer, _ *mail.Envelope) remote.Requirement {
				if p.Hop.Host == "d7.test" {
					select {
					case <-time.After(20 * time.Second):
					case <-ctx.Done():
					}
					slow++
				}
				return remote.Requirement{}
			}
		})
		began := time.Now()
		codes := all(t, tr, nil, domains...)
		w.end(tr)
		sizes := map[int]int{}
		for _, m := range host.Messages() {
			sizes[len(m.To)]++
		}
		for _, domain := range domains {
			if codes[domain] != "250" {
				t.Errorf("%s: %s", domain, codes[domain])
			}
		}
		if sizes[50] != 2 || sizes[19] != 1 || sizes[1] != 1 || slow != 2 || time.Since(began) > 30*time.Second {
			t.Errorf("transactions by recipients %v after %v, the slow one asked for %d times", sizes, time.Since(began), slow)
		}
	})
}
