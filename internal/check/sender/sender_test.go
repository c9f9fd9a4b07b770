package sender

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/arc"
	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/message"
)

// world is a DNS server, and somebody who can sign for any domain in it.
type world struct {
	t    testing.TB
	dns  *dnstest.Server
	key  ed25519.PrivateKey
	text string // of the key
}

func newWorld(t testing.TB, records ...string) *world {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text, err := dkim.Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, dnstest.Offline(t, records...), key, text}
}

func (w *world) signer(domain string) *dkim.Signer {
	w.t.Helper()
	if err := w.dns.Add(`s._domainkey.` + domain + ` 60 IN TXT "` + w.text + `"`); err != nil {
		w.t.Fatal(err)
	}
	return &dkim.Signer{Domain: domain, Selector: "s", Key: w.key, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: time.Now}
}

func read(t testing.TB, text string) *dkim.Message {
	t.Helper()
	m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// signed puts a signature of a domain before a message.
func (w *world) signed(domain, text string) string {
	w.t.Helper()
	field, err := w.signer(domain).Sign(read(w.t, text))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(field) + text
}

// sealed extends the chain of a message, with the results given.
func (w *world) sealed(domain, results, text string) string {
	w.t.Helper()
	v := arc.Verifier{Resolver: w.resolver(), Now: time.Now}
	m := read(w.t, text)
	chain, err := v.Verify(w.t.Context(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	set, err := arc.Seal(w.signer(domain), m, chain, domain+"; "+results)
	if err != nil || set == nil {
		w.t.Fatal(set, err)
	}
	return string(set) + text
}

func (w *world) resolver() *dns.Client {
	return dns.New(dns.Options{Servers: []string{"192.0.2.53"}, Dial: w.dns.Dial, Timeout: time.Second, Rounds: 1})
}

// check looks at a message from 192.0.2.1, mx.there.test.
func (w *world) check(o Options, from, text string) *Findings {
	w.t.Helper()
	o.Resolver, o.Host = w.resolver(), "mx.here.test"
	env := envelope("192.0.2.1")
	if from != "" {
		env.From = mail.MustAddress(from)
	}
	msg, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	c := New(o)
	f, err := c.Check(w.t.Context(), env, msg, mail.Bytes([]byte(text)))
	if err != nil {
		w.t.Fatal(err)
	}
	// What is recorded leads to the same once more, and not to more for those who only tell.
	if got, why := c.Replay(f.Record()); got != f.Action() {
		w.t.Errorf("a replay of %q says %s (%s), not %s", f.Record(), got, why, f.Action())
	}
	o.DMARC = Tell
	if got, _ := New(o).Replay(f.Record()); got != Accept {
		w.t.Errorf("a replay of %q for those who only tell says %s", f.Record(), got)
	}
	return f
}

func envelope(ip string) *mail.Envelope {
	return &mail.Envelope{Origin: mail.Origin{Service: "smtp", Remote: netip.AddrPortFrom(netip.MustParseAddr(ip), 1), Name: "mx.there.test", Helo: "mx.there.test"}}
}

// fate is what becomes of a message, in a word.
func (f *Findings) fate() string {
	switch {
	case f.Refuse != nil:
		return f.Refuse.Status.String()[:9]
	case f.Junk != "":
		return "junk"
	case f.Pardon != "":
		return "pardon"
	}
	return "take"
}

func has1(text string, all ...string) bool {
	for _, want := range all {
		if !strings.Contains(text, want) {
			return false
		}
	}
	return true
}

const letter = "From: Ann <ann@strict.test>\r\nTo: bob@here.test\r\nSubject: hello\r\n\r\nHello!\r\n"

func as(domain string) string { return strings.Replace(letter, "strict.test", domain, 1) }

func zone() []string {
	return []string{
		`_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject"`, `strict.test 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`_dmarc.xn--bcher-kva.test 60 IN TXT "v=DMARC1; p=reject"`, `xn--bcher-kva.test 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`_dmarc.shy.test 60 IN TXT "v=DMARC1; p=quarantine"`, `_dmarc.lax.test 60 IN TXT "v=DMARC1; p=none"`,
		`_dmarc.half.test 60 IN TXT "v=DMARC1; p=reject; pct=50"`, `_dmarc.trying.test 60 IN TXT "v=DMARC1; p=reject; t=y"`,
		`mx.there.test 60 IN TXT "v=spf1 a -all"`, `mx.there.test 60 IN A 192.0.2.1`,
		`lists.test 60 IN TXT "v=spf1 ip4:192.0.2.1 -all"`,
	}
}

// TestDecide goes through what domains may ask for, and what follows.
func TestDecide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, zone()...)
		twice := "From: Eve <eve@other.test>\r\n" + letter
		for name, x := range map[string]struct {
			o                Options
			from, text, want string
			said             string
		}{
			"SPF vouches":            {Options{}, "x@strict.test", letter, "take", "dmarc=pass"},
			"HELO does not":          {Options{}, "", letter, "550 5.7.1", "spf=pass"},
			"DKIM vouches":           {Options{}, "x@lists.test", w.signed("strict.test", letter), "take", "dmarc=pass"},
			"others do not":          {Options{}, "x@lists.test", w.signed("lists.test", letter), "550 5.7.1", "dmarc=fail"},
			"a changed text":         {Options{}, "x@lists.test", w.signed("strict.test", letter) + "more\r\n", "550 5.7.1", "dkim=fail"},
			"a trusted list":         {Options{Forwarders: []string{".test"}}, "x@lists.test", letter, "pardon", "dmarc=fail"},
			"softened":               {Options{DMARC: Soften}, "", letter, "junk", "dmarc=fail"},
			"told only":              {Options{DMARC: Tell}, "", letter, "take", "dmarc=fail"},
			"quarantine":             {Options{}, "", as("shy.test"), "junk", "dmarc=fail"},
			"quarantine, told only":  {Options{DMARC: Tell}, "", as("shy.test"), "take", "dmarc=fail"},
			"none":                   {Options{}, "", as("lax.test"), "take", "dmarc=fail"},
			"no policy":              {Options{}, "", as("plain.test"), "take", "dmarc=none"},
			"half of it":             {Options{Sample: func() int { return 50 }}, "", as("half.test"), "junk", "dmarc=fail"},
			"the other half":         {Options{Sample: func() int { return 49 }}, "", as("half.test"), "550 5.7.1", "dmarc=fail"},
			"a test":                 {Options{}, "", as("trying.test"), "junk", "dmarc=fail"},
			"two authors":            {Options{}, "x@strict.test", twice, "550 5.7.1", "dmarc=permerror"},
			"two authors, softened":  {Options{DMARC: Soften}, "x@strict.test", twice, "junk", "dmarc=permerror"},
			"two domains in one":     {Options{}, "x@strict.test", strings.Replace(letter, "From: ", "From: eve@other.test, ", 1), "550 5.7.1", "dmarc=permerror"},
			"no author":              {Options{}, "x@strict.test", strings.Replace(letter, "From: ", "X-From: ", 1), "550 5.7.1", "dmarc=permerror"},
			"no header":              {Options{}, "x@strict.test", "\r\nHello!\r\n", "550 5.7.1", "dmarc=permerror"},
			"no domain":              {Options{}, "x@strict.test", "From: root\r\n\r\nHello!\r\n", "550 5.7.1", "dmarc=permerror"},
			"a report without one":   {Options{}, "", "From: Mail Delivery System <MAILER-DAEMON>\r\n\r\nHello!\r\n", "take", "dmarc=permerror"},
			"two authors in one":     {Options{}, "", twice, "550 5.7.1", "dmarc=permerror"},
			"U-labels":               {Options{}, "", as("bücher.test"), "550 5.7.1", "header.from=xn--bcher-kva.test"},
			"U-labels, vouched":      {Options{}, "x@bücher.test", as("bücher.test"), "take", "dmarc=pass"},
			"a signature not of our": {Options{}, "x@strict.test", "DKIM-Signature: rubbish\r\n" + letter, "take", "dkim="},
		} {
			f := w.check(x.o, x.from, x.text)
			if got := f.fate(); got != x.want {
				t.Errorf("%s: %s, want %s: %s", name, got, x.want, f.Summary())
			}
			if field := string(f.Field()); !has1(field, "Authentication-Results: mx.here.test;", "iprev=pass", x.said) {
				t.Errorf("%s: %s", name, field)
			}
		}
	})
}

// TestSealers believes a chain of seals as far as all who sealed are trusted.
func TestSealers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, zone()...)
		trust := Options{Sealers: []string{"one.test", "two.test"}}
		saw := "dmarc=pass header.from=strict.test"
		one := w.sealed("one.test", saw, letter)
		for name, x := range map[string]struct{ text, want string }{
			"one":             {one, "pardon"},
			"two":             {w.sealed("two.test", "arc=pass", "X-More: 1\r\n"+one), "pardon"},
			"a stranger":      {w.sealed("three.test", saw, letter), "550 5.7.1"},
			"a stranger last": {w.sealed("three.test", "arc=pass", one), "550 5.7.1"},
			"another author":  {w.sealed("one.test", "dmarc=pass header.from=other.test", letter), "550 5.7.1"},
			"it failed there": {w.sealed("one.test", "dmarc=fail header.from=strict.test", letter), "550 5.7.1"},
			"changed after":   {one + "more\r\n", "550 5.7.1"},
		} {
			f := w.check(trust, "x@lists.test", x.text)
			if got := f.fate(); got != x.want {
				t.Errorf("%s: %s, want %s: %s", name, got, x.want, f.Summary())
			}
			if !strings.Contains(string(f.Field()), "arc=") {
				t.Errorf("%s: %s", name, f.Field())
			}
		}
		if f := w.check(Options{}, "x@lists.test", one); f.fate() != "550 5.7.1" {
			t.Errorf("nobody is trusted: %s", f.Summary())
		}
	})
}

// TestSilence has a DNS that does not answer: nothing takes longer than it may,
// and mail is put off where another answer could have it refused.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, x := range map[string]struct {
			silent     []string
			from, text string
			want, said string
		}{
			"SPF of the author":      {[]string{"strict.test"}, "x@strict.test", letter, "451 4.7.1", "spf=temperror"},
			"SPF of another":         {[]string{"lists.test"}, "x@lists.test", letter, "550 5.7.1", "spf=temperror"},
			"SPF where all is taken": {[]string{"lax.test"}, "x@lax.test", as("lax.test"), "take", "spf=temperror"},
			"the key":                {[]string{"s._domainkey.strict.test"}, "x@lists.test", "signed", "451 4.7.1", "dkim=temperror"},
			"the policy":             {[]string{"_dmarc.strict.test"}, "x@lists.test", letter, "451 4.7.1", "dmarc=temperror"},
			"the policy, vouched":    {[]string{"_dmarc.strict.test"}, "x@strict.test", letter, "take", "dmarc=temperror"},
			"all":                    {[]string{"*"}, "x@lists.test", letter, "451 4.7.1", "dmarc=temperror"},
		} {
			w := newWorld(t, zone()...)
			if x.text == "signed" {
				x.text = w.signed("strict.test", letter)
			}
			for _, name := range x.silent {
				w.dns.Fail(name, dnstest.Silent)
			}
			began := time.Now()
			f := w.check(Options{Timeout: 5 * time.Second}, x.from, x.text)
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
			if got := f.fate(); got != x.want || !strings.Contains(string(f.Field()), x.said) {
				t.Errorf("%s: %s, want %s and %s: %s", name, got, x.want, x.said, f.Summary())
			}
		}
	})
}

// TestWants sees whose mail is looked at.
func TestWants(t *testing.T) {
	c := New(Options{Excepted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")}})
	mine, relay := envelope("198.51.100.1"), envelope("198.51.100.1")
	mine.Origin.Account, relay.Origin.Service = "ann@here.test", "lmtp"
	for _, x := range []struct {
		env  *mail.Envelope
		want bool
	}{
		{envelope("198.51.100.1"), true}, {envelope("::2"), true}, {envelope("192.0.2.1"), false}, {envelope("::ffff:192.0.2.1"), false},
		{envelope("::1"), false}, {mine, false}, {relay, false}, {&mail.Envelope{Origin: mail.Origin{Service: "smtp"}}, false},
	} {
		if got := c.Wants(x.env); got != x.want {
			t.Errorf("%+v: %v", x.env.Origin, got)
		}
	}
}
