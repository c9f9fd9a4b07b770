package remote_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
)

// world is a DNS and hosts by address, in memory.
type world struct {
	dns   *dnstest.Server
	hosts map[string]*delivertest.Remote // by address and port
	mu    sync.Mutex
	dials []string
}

func newWorld(t *testing.T, hosts map[string]*delivertest.Remote, records ...string) *world {
	return &world{dns: dnstest.Offline(t, records...), hosts: hosts}
}

func (w *world) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials = append(w.dials, address)
	w.mu.Unlock()
	if host := w.hosts[address]; host != nil {
		return host.Dial(ctx, network, address)
	}
	return nil, syscall.ECONNREFUSED
}

func (w *world) transport(edit func(*remote.Options)) *remote.Transport {
	o := remote.Options{Resolver: dns.New(dns.Options{Dial: w.dns.Dial}), Hostname: "client.test", Dial: w.dial}
	if edit != nil {
		edit(&o)
	}
	return remote.New(o)
}

// end closes the transport and waits for the hosts.
func (w *world) end(tr *remote.Transport) {
	tr.Close()
	for _, host := range w.hosts {
		host.Settle()
	}
}

const text = "Subject: test\r\n\r\ntext\r\n"

// to is an item for the MX of mx.test.
func to(hop mail.Hop, names ...string) (*mail.Item, mail.Body) {
	body := delivertest.Body(text)
	item := delivertest.Item(body, names...)
	item.Hop = hop
	return item, body
}

var toMX = mail.Hop{Kind: mail.HopRemote, Host: "mx.test"}

func (w *world) verbs(address string) string {
	var verbs []string
	for _, c := range w.hosts[address].Commands() {
		verbs = append(verbs, strings.Fields(c)[1])
	}
	return strings.Join(verbs, " ")
}
