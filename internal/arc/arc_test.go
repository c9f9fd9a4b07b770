package arc

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
)

const letter = "From: ann@example.org\r\nTo: list@example.net\r\nSubject: A letter\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\nWords.\r\n"

// forwarder seals in the name of a domain.
type forwarder struct {
	*dkim.Signer
	v *Verifier
}

func forwarders(t *testing.T, domains ...string) (*Verifier, *dnstest.Server, []forwarder) {
	t.Helper()
	server := dnstest.New(t)
	now := func() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }
	v := &Verifier{Resolver: dns.New(dns.Options{Servers: []string{server.Addr()}}), Now: now}
	var out []forwarder
	for _, d := range domains {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		record, err := dkim.Record(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Add(fmt.Sprintf(`s._domainkey.%s 60 IN TXT "%s"`, d, record)); err != nil {
			t.Fatal(err)
		}
		out = append(out, forwarder{&dkim.Signer{Domain: d, Selector: "s", Key: key, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: now}, v})
	}
	return v, server, out
}

func verify(t *testing.T, v *Verifier, text string) Chain {
	t.Helper()
	m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := v.Verify(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (f forwarder) forward(t *testing.T, text string) string {
	t.Helper()
	c := verify(t, f.v, text)
	m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	set, err := Seal(f.Signer, m, c, f.Domain+"; spf=pass smtp.mailfrom=example.org; arc="+string(c.Status))
	if err != nil {
		t.Fatal(err)
	}
	return string(set) + text
}

func TestChain(t *testing.T) {
	v, _, f := forwarders(t, "a.example", "b.example", "c.example")
	if c := verify(t, v, letter); c.Status != None {
		t.Errorf("without seals: %+v", c)
	}
	text := f[1].forward(t, f[0].forward(t, letter))
	before := verify(t, v, text)
	// A mailing list verifies, changes the message, and seals what it changed.
	changed := strings.Replace(text, "Words.", "Words.\r\n-- \r\nthe list", 1)
	m, err := dkim.Read(strings.NewReader(changed), int64(len(changed)))
	if err != nil {
		t.Fatal(err)
	}
	set, err := Seal(f[2].Signer, m, before, "c.example; arc=pass")
	if err != nil {
		t.Fatal(err)
	}
	c := verify(t, v, string(set)+changed)
	if c.Status != Pass || len(c.Sets) != 3 || c.Intact != 3 {
		t.Errorf("%+v", c)
	}
	if c.Sets[0].Domain != "a.example" || c.Sets[0].Results != "a.example; spf=pass smtp.mailfrom=example.org; arc=none" {
		t.Errorf("%+v", c.Sets[0])
	}
	if c := verify(t, v, text); c.Status != Pass || c.Intact != 1 {
		t.Errorf("unchanged since the first: %+v", c)
	}
}

func TestBroken(t *testing.T) {
	v, server, f := forwarders(t, "a.example", "b.example")
	text := f[1].forward(t, f[0].forward(t, letter))
	for _, x := range []struct{ name, old, new, says string }{
		{"body", "Words.", "Swords.", "body was changed"},
		{"field", "Subject: A letter", "Subject: A bill", "does not fit"},
		{"results of the first", "a.example; spf=pass", "a.example; spf=fail", "seal 2"},
		{"seal missing", "ARC-Seal: i=1", "X-Seal: i=1", "missing"},
		{"gap", "ARC-Seal: i=2", "ARC-Seal: i=3", "missing"},
		{"twice", "ARC-Seal: i=2", "ARC-Seal: i=1", "twice"},
		{"instance", "ARC-Seal: i=2", "ARC-Seal: i=51", "instance"},
		{"first says pass", "cv=none", "cv=pass", "cv="},
		{"second says none", "cv=pass", "cv=none", "cv="},
		{"unknown word", "cv=pass", "cv=good", "cv="},
		{"results without i=", "ARC-Authentication-Results: i=2;", "ARC-Authentication-Results: b.example;", "does not begin"},
		{"h= in a seal", "cv=pass;", "cv=pass; h=from;", "tag h"},
		{"other key", "d=b.example", "d=a.example", "does not fit"},
		{"no key", "s=s;", "s=t;", "no key"},
	} {
		if !strings.Contains(text, x.old) {
			t.Fatalf("%s: %q is not in the message", x.name, x.old)
		}
		c := verify(t, v, strings.Replace(text, x.old, x.new, 1))
		if c.Status != Fail || !strings.Contains(c.Reason, x.says) || c.Temporary {
			t.Errorf("%s: %+v, want %q", x.name, c, x.says)
		}
	}
	server.Remove("s._domainkey.a.example")
	server.Fail("s._domainkey.a.example", dnstest.ServFail)
	fresh := &Verifier{Resolver: dns.New(dns.Options{Servers: []string{server.Addr()}}), Now: v.Now}
	if c := verify(t, fresh, text); c.Status != Fail || !c.Temporary {
		t.Errorf("DNS does not answer: %+v", c)
	}
}

// TestSealedOff has a chain that was found broken: it is sealed once more, and
// never again.
func TestSealedOff(t *testing.T) {
	v, _, f := forwarders(t, "a.example", "b.example", "c.example")
	text := strings.Replace(f[0].forward(t, letter), "Words.", "Swords.", 1)
	text = f[1].forward(t, text)
	if c := verify(t, v, text); c.Status != Fail || len(c.Sets) != 2 || c.Sets[1].Said != Fail {
		t.Errorf("%+v", c)
	}
	if again := f[2].forward(t, text); again != text {
		t.Error("a broken chain was sealed again")
	}
}

func FuzzCollect(f *testing.F) {
	f.Add("ARC-Seal: i=1; cv=none; d=a; s=b; b=AA\r\nARC-Message-Signature: i=1; a=b\r\nARC-Authentication-Results: i=1; x\r\n\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		sets, err := collect(m)
		if len(sets) > maxSets || err != nil && sets != nil {
			t.Errorf("%d sets, %v", len(sets), err)
		}
	})
}
