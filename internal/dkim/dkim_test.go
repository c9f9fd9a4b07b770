package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
)

// example is the message of RFC 8463 appendix A.3 with both its signatures.
const example = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`

var exampleKeys = []string{
	`brisbane._domainkey.football.example.com 60 IN TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`,
	`test._domainkey.football.example.com 60 IN TXT "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/b" "yYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"`,
}

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

func read(t testing.TB, text string) *Message {
	t.Helper()
	m, err := Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var today = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func verifier(t *testing.T, records ...string) (*Verifier, *dnstest.Server) {
	t.Helper()
	s := dnstest.New(t, records...)
	return &Verifier{
		Resolver: dns.New(dns.Options{Servers: []string{s.Addr()}}),
		Now:      func() time.Time { return today },
	}, s
}

func verify(t *testing.T, v *Verifier, text string) []Result {
	t.Helper()
	results, err := v.Verify(t.Context(), read(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return results
}

func TestRFCExample(t *testing.T) {
	v, _ := verifier(t, exampleKeys...)
	got := verify(t, v, crlf(example))
	if len(got) != 2 || got[0].Status != Pass || got[1].Status != Pass {
		t.Fatalf("%+v", got)
	}
	if got[0].Algorithm != Ed25519SHA256 || got[1].Bits != 1024 || got[1].Selector != "test" || got[0].Identity != "@football.example.com" {
		t.Errorf("%+v", got)
	}
}

// TestChanges has changes that a signature must and must not survive.
func TestChanges(t *testing.T) {
	v, _ := verifier(t, exampleKeys...)
	for _, x := range []struct {
		name, old, new string
		want           Status
	}{
		{"folding", "Subject: Is dinner", "Subject:   Is\r\n\t dinner", Pass},
		{"trailing space", "Hi.\r\n", "Hi.  \t\r\n", Pass},
		{"empty lines at the end", "Joe.\r\n", "Joe.\r\n\r\n \r\n\r\n", Pass},
		{"field that is not signed", "From: Joe", "X-Seen: yes\r\nFrom: Joe", Pass},
		{"subject", "Is dinner", "Is supper", Fail},
		{"second subject", "Subject: Is dinner", "Subject: Buy\r\nSubject: Is dinner", Fail},
		{"body", "hungry", "angry", Fail},
		{"space in the body", "game.  Are", "game.Are", Fail},
		{"text after", "Joe.\r\n", "Joe.\r\nPS\r\n", Fail},
	} {
		for i, r := range verify(t, v, strings.Replace(crlf(example), x.old, x.new, 1)) {
			if r.Status != x.want {
				t.Errorf("%s, signature %d: %+v, want %s", x.name, i, r, x.want)
			}
		}
	}
}

func newKeys(t testing.TB) map[string]crypto.Signer {
	t.Helper()
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]crypto.Signer{"rsa": strong, "ed": ed}
}

func publish(t testing.TB, s *dnstest.Server, selector, domain string, key crypto.Signer) {
	t.Helper()
	record, err := Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Add(fmt.Sprintf(`%s._domainkey.%s 60 IN TXT "%s" "%s"`, selector, domain, record[:40], record[40:])); err != nil {
		t.Fatal(err)
	}
}

const letter = "From: ann@example.org\r\nTo: bob@example.com,\r\n  carl@example.com\r\nSubject:  A  letter \r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\n\r\nLine one \r\n\r\nLine  two\r\n\r\n\r\n"

func TestSign(t *testing.T) {
	v, server := verifier(t)
	keys := newKeys(t)
	for name, key := range keys {
		publish(t, server, name, "example.org", key)
	}
	for name, key := range keys {
		for _, header := range []Canon{Simple, Relaxed} {
			for _, body := range []Canon{Simple, Relaxed} {
				for _, text := range []string{letter, "From: a@example.org\r\n\r\n", "From: a@example.org\r\n\r\nno line end", "From: a@example.org\r\n"} {
					s := &Signer{Domain: "example.org", Selector: name, Key: key, Header: header, Body: body, Now: v.Now, Lifetime: time.Hour}
					field, err := s.Sign(read(t, text))
					if err != nil {
						t.Fatal(err)
					}
					for line := range strings.SplitSeq(string(field), "\r\n") {
						if len(line) > 78 {
							t.Errorf("line of %d octets: %s", len(line), line)
						}
					}
					got := verify(t, v, string(field)+text)
					if len(got) != 1 || got[0].Status != Pass {
						t.Errorf("%s %v/%v: %+v\n%s", name, header, body, got, field)
					}
					forged := strings.Replace(text, "From:", "Reply-To: eve@example.net\r\nFrom:", 1)
					if got := verify(t, v, string(field)+forged); got[0].Status != Fail {
						t.Errorf("a field could be added: %+v", got)
					}
				}
			}
		}
	}
}

// TestRefused has signatures that can or must not count.
func TestRefused(t *testing.T) {
	v, server := verifier(t,
		`revoked._domainkey.example.org 60 IN TXT "v=DKIM1; p="`,
		`weak._domainkey.example.org 60 IN TXT "p=MEgCQQDGQpf49OXYBBBWlbV6A4xsR2eXd3bUvl4HvSBD5O1Ha6V6GZ2yF+TDxr9r2qFf3TpFBnXrzlhx0QQVbbA1hkjJAgMBAAE="`,
		`kind._domainkey.example.org 60 IN TXT "k=dsa; p=AAAA"`,
		`other._domainkey.example.org 60 IN TXT "s=tlsrpt; p=AAAA"`,
	)
	server.Fail("slow._domainkey.example.org", dnstest.ServFail)
	key := newKeys(t)["ed"]
	publish(t, server, "good", "example.org", key)
	record, err := Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	huge := "huge._domainkey.example.org 60 IN TXT" + strings.Repeat(` "`+strings.Repeat("A", 255)+`"`, 240)
	if err := server.Add(strings.Replace(huge, `"AAA`, `"p=A`, 1)); err != nil {
		t.Fatal(err)
	}
	if err := server.Add(fmt.Sprintf(`strict._domainkey.example.org 60 IN TXT "%s; t=s:y"`, record)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("hello\r\n"))
	bh := base64.StdEncoding.EncodeToString(sum[:])
	for _, x := range []struct {
		tags string
		want Status
		says string
	}{
		{"v=2; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA", Neutral, "version"},
		{"v=1; a=rsa-sha1; d=example.org; s=good; h=from; bh=BH; b=AAAA", Policy, "SHA-1"},
		{"v=1; a=dsa-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA", Neutral, "algorithm"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; l=5", Policy, "part of the body"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=subject; bh=BH; b=AAAA", PermError, "From"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; x=1000", Fail, "ran out"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; t=9; x=8", PermError, "before it begins"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; t=99999999999", Fail, "a time to come"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; l=0", Policy, "part of the body"},
		{"v=1; a=rsa-sha256; d=example.org; s=huge; h=from; bh=BH; b=AAAA", PermError, "huge._domainkey.example.org"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; i=ann@example.com", PermError, "not within"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; d=example.com", PermError, "twice"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=*", PermError, "base64"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH", PermError, "missing"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; c=odd", PermError, "canonicalisation"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA; q=http", Neutral, "not in DNS"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA", Fail, "does not fit"},
		{"v=1; a=ed25519-sha256; d=example.org; s=good; h=from; bh=AAAA; b=AAAA", Fail, "body was changed"},
		{"v=1; a=rsa-sha256; d=example.org; s=good; h=from; bh=BH; b=AAAA", PermError, "the key is for ed25519"},
		{"v=1; a=ed25519-sha256; d=example.org; s=strict; h=from; bh=BH; b=AAAA; i=a@b.example.org", PermError, "only for example.org itself"},
		{"v=1; a=rsa-sha256; d=example.org; s=revoked; h=from; bh=BH; b=AAAA", PermError, "revoked"},
		{"v=1; a=rsa-sha256; d=example.org; s=weak; h=from; bh=BH; b=AAAA", Policy, "too weak"},
		{"v=1; a=rsa-sha256; d=example.org; s=kind; h=from; bh=BH; b=AAAA", PermError, "unknown"},
		{"v=1; a=rsa-sha256; d=example.org; s=other; h=from; bh=BH; b=AAAA", PermError, "not for e-mail"},
		{"v=1; a=rsa-sha256; d=example.org; s=absent; h=from; bh=BH; b=AAAA", PermError, "no key"},
		{"v=1; a=rsa-sha256; d=example.org; s=slow; h=from; bh=BH; b=AAAA", TempError, "could not be asked"},
		{"v=1; a=rsa-sha256; d=a..b; s=good; h=from; bh=BH; b=AAAA", PermError, "no place of a key"},
		{"rubbish", PermError, "no tag"},
	} {
		text := "DKIM-Signature: " + strings.ReplaceAll(x.tags, "BH", bh) + "\r\nFrom: ann@example.org\r\n\r\nhello\r\n"
		got := verify(t, v, text)
		if len(got) != 1 || got[0].Status != x.want || !strings.Contains(got[0].Reason, x.says) {
			t.Errorf("%s: %+v, want %s, %s", x.tags, got, x.want, x.says)
		}
	}
}

func TestManySignatures(t *testing.T) {
	v, server := verifier(t)
	text := strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=x; h=from; bh=AAAA; b=AAAA\r\n", 1000) + letter
	if got := verify(t, v, text); len(got) != MaxSignatures {
		t.Errorf("%d results", len(got))
	}
	if n := len(server.Queries()); n > MaxSignatures {
		t.Errorf("%d questions", n)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(crlf(example))
	f.Add("DKIM-Signature: v=1; b=; b\r\n =\r\n\r\n \r\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Read(strings.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		for _, field := range m.Fields {
			sig, err := ParseSignature(field.Raw)
			if err == nil {
				if err := sig.Check(m, field.Raw, Key{Public: ed25519.PublicKey(make([]byte, 32))}); err == nil {
					t.Errorf("a signature of nobody fits")
				}
			}
		}
	})
}

func FuzzBody(f *testing.F) {
	f.Add([]byte("a \t b\r\n\r\n \r\nc\r\n\r\n"), 3)
	f.Fuzz(func(t *testing.T, text []byte, cut int) {
		for _, c := range []Canon{Simple, Relaxed} {
			var whole, pieces strings.Builder
			w := newBody(c, &whole)
			w.Write(text)
			w.end()
			p := newBody(c, &pieces)
			cut = min(max(cut, 0), len(text))
			p.Write(text[:cut])
			p.Write(text[cut:])
			p.end()
			if whole.String() != pieces.String() {
				t.Errorf("%v: %q in one piece, %q in two", c, whole.String(), pieces.String())
			}
			var again strings.Builder
			a := newBody(c, &again)
			a.Write([]byte(whole.String()))
			a.end()
			if again.String() != whole.String() {
				t.Errorf("%v: %q is canonical, and becomes %q", c, whole.String(), again.String())
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	keys := newKeys(b)
	text := "From: ann@example.org\r\n\r\n" + strings.Repeat("Some words to hash, in a line as long as most.\r\n", 20<<10/48)
	for name, key := range keys {
		s := &Signer{Domain: "example.org", Selector: name, Key: key, Header: Relaxed, Body: Relaxed, Now: time.Now}
		field, err := s.Sign(read(b, text))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				m := read(b, string(field)+text)
				sig, err := ParseSignature(m.Fields[0].Raw)
				if err == nil {
					err = sig.Check(m, m.Fields[0].Raw, Key{Public: key.Public()})
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
