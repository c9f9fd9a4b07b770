package remote_test

import (
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	delivertest.Conformance(t, func(t *testing.T, dial delivertest.Dial) delivertest.Transport {
		return remote.New(remote.Options{Resolver: dns.New(dns.Options{Dial: dnstest.Offline(t).Dial}), Hostname: "client.test", Dial: dial})
	})
}
