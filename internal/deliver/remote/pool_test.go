package remote_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/mail"
)

// Domains whose mail goes to the same host share its sessions, as long as one is
// as secure as the next domain needs it.
func TestShared(t *testing.T) {
	t.Parallel()
	good := func(tls.ConnectionState) error { return nil }
	bad := func(tls.ConnectionState) error { return errors.New("not for this domain") }
	for _, test := range []struct {
		name        string
		tls         bool
		first, next remote.Requirement
		change      func(*mail.Hop)
		shared      bool
	}{
		{"alike", true, remote.Requirement{}, remote.Requirement{}, nil, true},
		{"no TLS at the host", false, remote.Requirement{}, remote.Requirement{}, nil, true},
		{"clear where TLS can be had", true, remote.Requirement{TLS: remote.Cleartext}, remote.Requirement{}, nil, false},
		{"clear by policy", true, remote.Requirement{}, remote.Requirement{TLS: remote.Cleartext}, nil, false},
		{"TLS is enough", true, remote.Requirement{}, remote.Requirement{TLS: remote.Encrypted}, nil, true},
		{"not verified", true, remote.Requirement{}, remote.Requirement{TLS: remote.Verified}, nil, false},
		{"verified", true, remote.Requirement{TLS: remote.Verified}, remote.Requirement{TLS: remote.Verified}, nil, true},
		{"judged as good", true, remote.Requirement{}, remote.Requirement{TLS: remote.Verified, Verify: good}, nil, true},
		{"judged as bad", true, remote.Requirement{}, remote.Requirement{TLS: remote.Encrypted, Verify: bad}, nil, false},
		{"by another name", true, remote.Requirement{}, remote.Requirement{TLS: remote.Encrypted, Name: "other.test"}, nil, false},
		{"from another address", true, remote.Requirement{}, remote.Requirement{}, func(h *mail.Hop) { h.Source = "192.0.2.200" }, false},
		{"as a smart host", true, remote.Requirement{}, remote.Requirement{}, func(h *mail.Hop) { h.Host, h.Exact = "mx.test", true }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				host := &delivertest.Remote{Extensions: full}
				certificate, roots := delivertest.Certificate("mx.test")
				if test.tls {
					host.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
				}
				w := newWorld(t, map[string]*delivertest.Remote{place: host}, "one.test MX 10 mx.test.", "two.test MX 5 mx.test.", "mx.test A 192.0.2.1")
				tr := w.transport(func(o *remote.Options) {
					o.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
					o.DialFrom = func(ctx context.Context, _ netip.Addr, network, address string) (net.Conn, error) {
						return w.dial(ctx, network, address)
					}
					o.Policy = func(_ context.Context, p remote.Peer, _ *mail.Envelope) remote.Requirement {
						if p.Hop.Host == "one.test" {
							return test.first
						}
						return test.next
					}
				})
				hops := []mail.Hop{{Kind: mail.HopRemote, Host: "one.test"}, {Kind: mail.HopRemote, Host: "two.test"}}
				if test.change != nil {
					test.change(&hops[1])
				}
				for _, hop := range hops {
					item, body := to(hop, "a")
					tr.Deliver(t.Context(), item, body)
				}
				w.end(tr)
				messages, connections := 2, 2
				if test.shared {
					connections = 1
				} else if test.name == "judged as bad" {
					messages = 1
				}
				if host.Connections() != connections || len(host.Messages()) != messages {
					t.Errorf("%d messages over %d connections", len(host.Messages()), host.Connections())
				}
			})
		})
	}
}
