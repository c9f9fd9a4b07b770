package dns_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
)

func client(s *dnstest.Server, o dns.Options) *dns.Client {
	o.Servers = append(o.Servers, s.Addr())
	return dns.New(o)
}

func count(s *dnstest.Server, name, qtype, network string) int {
	n := 0
	for _, q := range s.Queries() {
		if q.Name == name && q.Type == qtype && (network == "" || q.Network == network) {
			n++
		}
	}
	return n
}

func TestLookups(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t,
		"Example.Test 300 IN MX 20 B.example.test.",
		"example.test 300 IN MX 10 a.example.test.",
		"null.test 300 IN MX 0 .",
		"a.example.test 300 IN A 192.0.2.1",
		"a.example.test 300 IN A 192.0.2.2",
		"a.example.test 300 IN AAAA 2001:db8::1",
		"a.example.test 300 IN AAAA ::ffff:192.0.2.9",
		"six.test 300 IN AAAA 2001:db8::6",
		`txt.test 300 IN TXT "v=spf1 " "a\"b\\c\001\255" " -all"`,
		`txt.test 300 IN TXT ""`,
		"1.2.0.192.in-addr.arpa 300 IN PTR Mail.Example.Test.",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa 300 IN PTR six.test.",
		"_25._tcp.a.example.test 300 IN TLSA 3 1 1 00ff10",
	)
	c, ctx := client(s, dns.Options{}), t.Context()

	mxs, a, err := c.MX(ctx, "EXAMPLE.test.")
	if want := []dns.MX{{"a.example.test", 10}, {"b.example.test", 20}}; err != nil || !slices.Equal(mxs, want) {
		t.Errorf("MX = %v, %v; want %v", mxs, err, want)
	}
	if a.Name != "example.test" || a.TTL != 300*time.Second || a.Authentic {
		t.Errorf("MX answer = %+v", a)
	}
	if mxs, _, err = c.MX(ctx, "null.test"); err != nil || len(mxs) != 1 || !mxs[0].Null() {
		t.Errorf("null MX = %v, %v", mxs, err)
	}
	addrs, _, err := c.Addrs(ctx, "a.example.test")
	slices.SortFunc(addrs, netip.Addr.Compare)
	if got := fmt.Sprint(addrs); err != nil || got != "[192.0.2.1 192.0.2.2 192.0.2.9 2001:db8::1]" {
		t.Errorf("Addrs = %v, %v", got, err)
	}
	if addrs, _, err = c.Addrs(ctx, "six.test"); err != nil || fmt.Sprint(addrs) != "[2001:db8::6]" {
		t.Errorf("Addrs of a host with IPv6 only = %v, %v", addrs, err)
	}
	texts, _, err := c.TXT(ctx, "txt.test")
	slices.Sort(texts)
	if want := []string{"", "v=spf1 a\"b\\c\x01\xff -all"}; err != nil || !slices.Equal(texts, want) {
		t.Errorf("TXT = %q, %v; want %q", texts, err, want)
	}
	for addr, want := range map[string]string{"192.0.2.1": "mail.example.test", "2001:db8::1": "six.test", "::ffff:192.0.2.1": "mail.example.test"} {
		if names, _, err := c.PTR(ctx, netip.MustParseAddr(addr)); err != nil || len(names) != 1 || names[0] != want {
			t.Errorf("PTR of %s = %v, %v; want %s", addr, names, err, want)
		}
	}
	tlsa, _, err := c.TLSA(ctx, "_25._tcp.a.example.test")
	if err != nil || len(tlsa) != 1 || tlsa[0].Usage != 3 || !bytes.Equal(tlsa[0].Data, []byte{0, 255, 16}) {
		t.Errorf("TLSA = %v, %v", tlsa, err)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "host.example.test 60 IN A 192.0.2.1", "dangling.test 60 IN CNAME gone.test.", "alias.test 60 IN CNAME host.example.test.")
	c := client(s, dns.Options{})
	for name, want := range map[string]dns.Kind{
		"host.example.test": dns.NoData, "example.test": dns.NoData, "nowhere.test": dns.NoName,
		"dangling.test": dns.NoName, "alias.test": dns.NoData,
		"a..b": dns.Malformed, strings.Repeat("a", 64) + ".test": dns.Malformed, strings.Repeat("a.", 127) + "test": dns.Malformed,
	} {
		_, _, err := c.MX(t.Context(), name)
		if dns.KindOf(err) != want || err == nil {
			t.Errorf("MX of %q: %v; want %v", name, err, want)
		}
		if dns.IsNotFound(err) != (want == dns.NoName || want == dns.NoData) || dns.IsTemporary(err) {
			t.Errorf("MX of %q: %v is judged wrongly", name, err)
		}
		var e *dns.Error
		if !errors.As(err, &e) || e.Type != "MX" {
			t.Errorf("MX of %q: error is %#v", name, err)
		}
	}
	if _, _, err := c.Addrs(t.Context(), "nowhere.test"); dns.KindOf(err) != dns.NoName {
		t.Errorf("Addrs of a name that is not there: %v", err)
	}
}

// An answer for one family is enough, but with one in doubt nobody can say
// that there is no host.
func TestAddrsHalf(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "four.test 60 IN A 192.0.2.1")
	half := dns.New(dns.Options{Servers: []string{s.Addr()}, Dial: refuse("AAAA"), Rounds: 1})
	if addrs, _, err := half.Addrs(t.Context(), "four.test"); err != nil || len(addrs) != 1 {
		t.Errorf("Addrs without an answer for AAAA = %v, %v", addrs, err)
	}
	if _, _, err := half.Addrs(t.Context(), "none.test"); !dns.IsTemporary(err) {
		t.Errorf("Addrs of nothing and an error: %v; want a temporary error", err)
	}
}

// refuse fails queries of one type.
func refuse(qtype string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return refusing{conn, qtype}, err
	}
}

type refusing struct {
	net.Conn
	qtype string
}

func (r refusing) Write(b []byte) (int, error) {
	if r.qtype == "AAAA" && bytes.Contains(b[12:], []byte{0, 28, 0, 1}) {
		return 0, net.ErrClosed
	}
	return r.Conn.Write(b)
}

func TestServers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		fault dnstest.Fault
		kind  dns.Kind
		tries int // of the bad server when alone
	}{
		{dnstest.ServFail, dns.Temporary, 2}, {dnstest.Refused, dns.Temporary, 2},
		{dnstest.HalfTCP, dns.Temporary, 4}, {dnstest.Undecoded, dns.Malformed, 1},
	} {
		bad := dnstest.New(t, "a.test 60 IN MX 1 x.test.")
		good := dnstest.New(t, "a.test 60 IN MX 1 x.test.")
		bad.Fail("a.test", test.fault)
		if mxs, _, err := dns.New(dns.Options{Servers: []string{bad.Addr(), good.Addr()}}).MX(t.Context(), "a.test"); err != nil || len(mxs) != 1 {
			t.Errorf("fault %d, then a good server: %v, %v", test.fault, mxs, err)
		}
		before := len(bad.Queries())
		_, _, err := client(bad, dns.Options{}).MX(t.Context(), "a.test")
		if err == nil || dns.KindOf(err) != test.kind {
			t.Errorf("fault %d: %v; want %v", test.fault, err, test.kind)
		}
		if got := len(bad.Queries()) - before; got != test.tries {
			t.Errorf("fault %d: %d queries, want %d", test.fault, got, test.tries)
		}
	}
}

func TestForgedAnswersAreIgnored(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "a.test 60 IN MX 1 true.test.")
	s.Fail("*", dnstest.Forged)
	if mxs, _, err := client(s, dns.Options{Rounds: 1}).MX(t.Context(), "a.test"); err != nil || len(mxs) != 1 || mxs[0].Host != "true.test" {
		t.Errorf("MX = %v, %v", mxs, err)
	}
}

func TestWithoutEDNS(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "a.test 60 IN MX 1 x.test.")
	s.Fail("*", dnstest.FormErr)
	if _, _, err := client(s, dns.Options{Rounds: 1}).MX(t.Context(), "a.test"); err != nil {
		t.Error(err)
	}
	q := s.Queries()
	if len(q) != 2 || q[0].EDNS != 1232 || q[1].EDNS != 0 {
		t.Errorf("queries were %+v", q)
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "small.test 60 IN MX 1 x.test.")
	for i := range 200 {
		if err := s.Add(fmt.Sprintf(`big.test 60 IN TXT "%d%s"`, i, strings.Repeat("x", 200))); err != nil {
			t.Fatal(err)
		}
	}
	s.Fail("small.test", dnstest.Truncate)
	c := client(s, dns.Options{})
	if texts, _, err := c.TXT(t.Context(), "big.test"); err != nil || len(texts) != 200 {
		t.Errorf("%d texts, %v", len(texts), err)
	}
	if _, _, err := c.MX(t.Context(), "small.test"); err != nil {
		t.Error(err)
	}
	if udp, tcp := count(s, "big.test", "TXT", "udp"), count(s, "big.test", "TXT", "tcp"); udp != 1 || tcp != 1 {
		t.Errorf("asked %d times by UDP and %d by TCP", udp, tcp)
	}
}

func TestChains(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "end.test 60 IN A 192.0.2.1", "loop1.test 60 IN CNAME loop2.test.", "loop2.test 60 IN CNAME loop1.test.", "self.test 60 IN CNAME self.test.")
	for i := range 20 {
		to := fmt.Sprintf("c%d.test.", i+1)
		if i == 19 {
			to = "end.test."
		}
		if err := s.Add(fmt.Sprintf("c%d.test 60 IN CNAME %s", i, to)); err != nil {
			t.Fatal(err)
		}
	}
	for _, fault := range []dnstest.Fault{dnstest.None, dnstest.OneStep} {
		s.Fail("*", fault)
		c := client(s, dns.Options{})
		addrs, a, err := c.Addrs(t.Context(), "c12.test") // 8 steps
		if err != nil || len(addrs) != 1 || a.Name != "end.test" {
			t.Errorf("chain of 8: %v %+v %v", addrs, a, err)
		}
		for _, name := range []string{"c11.test", "c0.test", "loop1.test", "self.test"} {
			if _, _, err := c.Addrs(t.Context(), name); dns.KindOf(err) != dns.Malformed || err == nil {
				t.Errorf("%s: %v; want a malformed chain", name, err)
			}
		}
	}
	if n := count(s, "c19.test", "A", ""); n > 1 {
		t.Errorf("the last link was asked for %d times", n)
	}
}

func TestAuthentic(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "a.test 60 IN A 192.0.2.1", "alias.test 60 IN CNAME a.test.", "bad.test 60 IN CNAME insecure.test.", "insecure.test 60 IN A 192.0.2.1")
	s.Authentic("*", true)
	s.Authentic("insecure.test", false)
	for name, want := range map[string]bool{"a.test": true, "alias.test": true, "bad.test": false} {
		for _, trust := range []bool{true, false} {
			_, a, err := client(s, dns.Options{TrustAD: trust}).Addrs(t.Context(), name)
			if err != nil || a.Authentic != (want && trust) {
				t.Errorf("%s, trusted %v: authentic %v, %v", name, trust, a.Authentic, err)
			}
		}
	}
	asked := map[bool]int{}
	for _, q := range s.Queries() {
		asked[q.AD]++
	}
	if asked[true] != 6 || asked[false] != 6 {
		t.Errorf("queries by AD bit: %v", asked)
	}
}

// One family may hide the other, but takes nothing from its proof; and the
// absence of one must be proved like its presence.
func TestAuthenticHalf(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "four.test 60 IN A 192.0.2.1", "six.test 60 IN AAAA 2001:db8::1", "alias.test 60 IN CNAME four.test.")
	s.Authentic("*", true)
	for _, hidden := range []string{"A", "AAAA"} {
		name := map[string]string{"A": "six.test", "AAAA": "four.test"}[hidden]
		half := dns.New(dns.Options{Servers: []string{s.Addr()}, Dial: refuse(hidden), Rounds: 1, TrustAD: true})
		if addrs, a, err := half.Addrs(t.Context(), name); err != nil || len(addrs) != 1 || !a.Authentic {
			t.Errorf("%s without an answer for %s: %v %+v %v", name, hidden, addrs, a, err)
		}
	}
	c := client(s, dns.Options{TrustAD: true})
	if name, a, err := c.CNAME(t.Context(), "alias.test"); err != nil || name != "four.test" || !a.Authentic {
		t.Errorf("CNAME of an alias: %q %+v %v", name, a, err)
	}
	if _, _, err := c.CNAME(t.Context(), "four.test"); dns.KindOf(err) != dns.NoData || err == nil {
		t.Errorf("CNAME of what is none: %v", err)
	}
	// RFC 7672 section 2.1.1: that there is no MX record can be proved too.
	if _, a, err := c.MX(t.Context(), "four.test"); !dns.IsNotFound(err) || !a.Authentic {
		t.Errorf("the absence of MX records: %+v %v", a, err)
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	s := dnstest.New(t, "a.test 60 IN MX 1 x.test.", "short.test 0 IN MX 1 x.test.", "long.test 4000000 IN MX 1 x.test.")
	c := client(s, dns.Options{Now: func() time.Time { return now }})
	steps := []struct {
		after   time.Duration
		name    string
		ttl     time.Duration
		queries int // so far for the name
	}{
		{0, "a.test", 60 * time.Second, 1}, {20 * time.Second, "A.test.", 40 * time.Second, 1}, {40 * time.Second, "a.test", 60 * time.Second, 2},
		{0, "short.test", 5 * time.Second, 1}, {4 * time.Second, "short.test", time.Second, 1}, {time.Second, "short.test", 5 * time.Second, 2},
		{0, "long.test", 24 * time.Hour, 1}, {23 * time.Hour, "long.test", time.Hour, 1}, {time.Hour, "long.test", 24 * time.Hour, 2},
		{0, "none.test", 0, 1}, {29 * time.Second, "none.test", 0, 1}, {time.Second, "none.test", 0, 2},
		{-10000 * time.Hour, "long.test", 24 * time.Hour, 3}, // the clock was set back
	}
	for i, step := range steps {
		now = now.Add(step.after)
		_, a, err := c.MX(t.Context(), step.name)
		if step.name == "none.test" {
			if dns.KindOf(err) != dns.NoName {
				t.Fatalf("step %d: %v", i, err)
			}
		} else if err != nil || a.TTL != step.ttl {
			t.Fatalf("step %d: TTL %v, %v; want %v", i, a.TTL, err, step.ttl)
		}
		if got := count(s, strings.ToLower(strings.TrimSuffix(step.name, ".")), "MX", ""); got != step.queries {
			t.Fatalf("step %d: %d queries for %s, want %d", i, got, step.name, step.queries)
		}
	}
}

func TestFailureIsNotCached(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t, "a.test 60 IN MX 1 x.test.")
	s.Fail("a.test", dnstest.ServFail)
	c := client(s, dns.Options{})
	if _, _, err := c.MX(t.Context(), "a.test"); !dns.IsTemporary(err) {
		t.Fatal(err)
	}
	s.Fail("a.test", dnstest.None)
	if _, _, err := c.MX(t.Context(), "a.test"); err != nil {
		t.Fatal(err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	s := dnstest.New(t)
	for i := range 100 {
		if err := s.Add(fmt.Sprintf("n%d.test 600 IN MX 1 x.test.", i)); err != nil {
			t.Fatal(err)
		}
	}
	c := client(s, dns.Options{CacheBytes: 8 << 10})
	for i := range 100 {
		if _, _, err := c.MX(t.Context(), fmt.Sprintf("n%d.test", i)); err != nil {
			t.Fatal(err)
		}
	}
	c.MX(t.Context(), "n99.test")
	c.MX(t.Context(), "n0.test")
	if got := count(s, "n99.test", "MX", ""); got != 1 {
		t.Errorf("the newest was asked for %d times", got)
	}
	if got := count(s, "n0.test", "MX", ""); got != 2 {
		t.Errorf("the oldest was asked for %d times, so the cache has no bound", got)
	}
}

// A server that says nothing costs 5 s a query and no more than the whole
// look-up may; the clock of the bubble stands for real time.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		o       dns.Options
		ctx     time.Duration
		want    time.Duration
		queries int
	}{
		{"each query", dns.Options{Servers: []string{"a", "b"}}, time.Hour, 20 * time.Second, 4},
		{"whole look-up", dns.Options{Servers: []string{"a", "b", "c", "d"}, Total: 27 * time.Second}, time.Hour, 27 * time.Second, 6},
		{"caller", dns.Options{Servers: []string{"a"}}, 3 * time.Second, 3 * time.Second, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queries := 0
				test.o.Dial = func(context.Context, string, string) (net.Conn, error) {
					near, far := net.Pipe()
					queries++
					go func() {
						buf := make([]byte, 4096)
						for {
							if _, err := far.Read(buf); err != nil {
								return
							}
						}
					}()
					return near, nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), test.ctx)
				defer cancel()
				start := time.Now()
				_, _, err := dns.New(test.o).MX(ctx, "a.test")
				if !dns.IsTemporary(err) {
					t.Errorf("error is %v", err)
				}
				if took := time.Since(start); took != test.want || queries != test.queries {
					t.Errorf("took %v and %d queries, want %v and %d", took, queries, test.want, test.queries)
				}
			})
		})
	}
}

func TestParseSystem(t *testing.T) {
	t.Parallel()
	s, err := dns.ParseSystem(strings.NewReader("# comment\nnameserver 192.0.2.1\nsearch example.test\nnameserver 2001:db8::1\nnameserver nonsense\nnameserver\noptions edns0 trust-ad\n"))
	if err != nil || fmt.Sprint(s.Servers) != "[192.0.2.1:53 [2001:db8::1]:53]" || !s.TrustAD {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err = dns.ReadSystem(t.TempDir() + "/none"); err != nil || len(s.Servers) != 0 {
		t.Errorf("no file: %+v, %v", s, err)
	}
	if _, err = dns.ParseSystem(strings.NewReader(strings.Repeat("x", 1<<17))); err == nil {
		t.Error("an endless line is read without complaint")
	}
}

func TestServerAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1:53", "2001:db8::1": "[2001:db8::1]:53", "127.0.0.1:5353": "127.0.0.1:5353", "ns.test:53": "ns.test:53"} {
		if got := dns.ServerAddress(in); got != want {
			t.Errorf("ServerAddress(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestOddOctets asks for a name with octets that are escaped in text: the
// answer must be known as one to the question.
func TestOddOctets(t *testing.T) {
	const name = `a b'c@d"e(f)g;h\i$j%k.example.org`
	server := dnstest.New(t, `a\032b\'c\@d\"e\(f\)g\;h\\i$j%k.example.org. 60 IN A 192.0.2.1`)
	c := dns.New(dns.Options{Servers: []string{server.Addr()}})
	for _, family := range []string{"ip4", "ip6"} {
		addrs, _, err := c.AddrsOf(t.Context(), family, name)
		if found := len(addrs) == 1 && err == nil; found != (family == "ip4") || !found && !dns.IsNotFound(err) {
			t.Errorf("%s: %v %v", family, addrs, err)
		}
	}
}
