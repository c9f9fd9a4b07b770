package remote_test

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
)

func offline(t *testing.T, dial delivertest.Dial) delivertest.Transport {
	return remote.New(remote.Options{Resolver: dns.New(dns.Options{Dial: dnstest.Offline(t).Dial}), Hostname: "client.test", Dial: dial})
}

func TestConformance(t *testing.T) {
	t.Parallel()
	delivertest.Conformance(t, offline)
}

func TestLMTPConformance(t *testing.T) {
	t.Parallel()
	delivertest.LMTP(t, offline)
}

// A hop may be a socket of this host; another may want to be reached from an
// address of ours.
func TestWays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		hop  mail.Hop
		want string
	}{
		{mail.Hop{Kind: mail.HopLMTP, Host: "unix:/run/lmtp", Exact: true}, "unix /run/lmtp"},
		{mail.Hop{Kind: mail.HopLMTP, Host: "192.0.2.7", Exact: true}, "tcp 192.0.2.7:24"},
		{mail.Hop{Kind: mail.HopRemote, Host: "192.0.2.7", Exact: true}, "tcp 192.0.2.7:25"},
		{mail.Hop{Kind: mail.HopRemote, Host: "192.0.2.7", Exact: true, Source: "2001:db8::1 192.0.2.9"}, "from 192.0.2.9 tcp 192.0.2.7:25"},
		{mail.Hop{Kind: mail.HopRemote, Host: "2001:db8::7", Exact: true, Source: "2001:db8::1 192.0.2.9"}, "from 2001:db8::1 tcp [2001:db8::7]:25"},
		{mail.Hop{Kind: mail.HopRemote, Host: "2001:db8::7", Exact: true, Source: "192.0.2.9"}, "tcp [2001:db8::7]:25"},
	} {
		host := &delivertest.Remote{LMTP: c.hop.Kind == mail.HopLMTP}
		w := newWorld(t, nil)
		var dialed string
		tr := w.transport(func(o *remote.Options) {
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				dialed = network + " " + address
				return host.Dial(ctx, network, address)
			}
			o.DialFrom = func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
				dialed = "from " + from.String() + " " + network + " " + address
				return host.Dial(ctx, network, address)
			}
		})
		item, body := to(c.hop, "a")
		o := tr.Deliver(t.Context(), item, body)[0]
		tr.Close()
		host.Settle()
		if dialed != c.want || o.Status.Code != 250 || len(host.Messages()) != 1 {
			t.Errorf("%+v: dialled %q, want %q; %v", c.hop, dialed, c.want, o)
		}
	}
}
