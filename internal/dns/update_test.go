package dns_test

import (
	"strings"
	"testing"
	"time"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
)

// Updates reach a server that checks their signature, and nothing else does.
func TestUpdate(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "example.test 60 IN A 192.0.2.1")
	secret := []byte("0123456789abcdef")
	s.AllowUpdates("example.test", "key.test", secret)
	u := dns.Update{Server: s.Addr(), Zone: "example.test", Key: dns.TSIG{Name: "key.test", Secret: secret}}
	const name = "_acme-challenge.mx.example.test"
	ctx, c := t.Context(), client(s, dns.Options{CacheBytes: -1})
	for _, text := range []string{"one", "two"} {
		if err := u.Set(ctx, name, text, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Clear(ctx, name, "one"); err != nil {
		t.Fatal(err)
	}
	if texts, _, err := c.TXT(ctx, name); err != nil || strings.Join(texts, " ") != "two" {
		t.Errorf("the name has %q, %v", texts, err)
	}
	u.Zone = "" // and finds it
	if err := u.Clear(ctx, name, "two"); err != nil {
		t.Fatal(err)
	}
	if texts, _, err := c.TXT(ctx, name); !dns.IsNotFound(err) {
		t.Errorf("the name has %q, %v", texts, err)
	}
	for what, bad := range map[string]dns.Update{
		"another secret": {Server: s.Addr(), Zone: "example.test", Key: dns.TSIG{Name: "key.test", Secret: []byte("guess")}},
		"another key":    {Server: s.Addr(), Zone: "example.test", Key: dns.TSIG{Name: "other.test", Secret: secret}},
		"no zone of its": {Server: s.Addr(), Key: dns.TSIG{Name: "key.test", Secret: []byte("guess")}},
		"no key":         {Server: s.Addr(), Zone: "example.test"},
		"another zone":   {Server: s.Addr(), Zone: "test", Key: dns.TSIG{Name: "key.test", Secret: secret}},
		"outside":        {Server: s.Addr(), Zone: "other.test", Key: dns.TSIG{Name: "key.test", Secret: secret}},
		"nobody there":   {Server: "127.0.0.1:1", Zone: "example.test"},
	} {
		if err := bad.Set(ctx, name, "x", time.Minute); err == nil {
			t.Errorf("%s: an update went through", what)
		}
	}
	if texts, _, err := c.TXT(ctx, name); !dns.IsNotFound(err) {
		t.Errorf("the name has %q, %v", texts, err)
	}
}

func TestParseTSIG(t *testing.T) {
	t.Parallel()
	k, err := dns.ParseTSIG("key \"acme.example.org.\" {\n\talgorithm HMAC-SHA256;\n\tsecret \"c2VjcmV0\";\n};\n")
	if err != nil || k.Name != "acme.example.org" || k.Algorithm != "hmac-sha256" || string(k.Secret) != "secret" {
		t.Errorf("%+v %v", k, err)
	}
	for _, bad := range []string{"", "key x { algorithm hmac-sha256; };", `key x { secret "!"; };`, "secret c2VjcmV0", "colour blue; key x; secret c2VjcmV0;"} {
		if k, err := dns.ParseTSIG(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, k)
		}
	}
}
