package lists

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/check/score"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/message"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"bl.test client 3": "",
		"bl.test client refuse 127.0.0.2=3 127.0.0.4-7=5": "",
		"wl.test client 127.0.*.1=-1":                     "",
		"dl.test domains 127.0.0.&2=4":                    "",
		"":                                                "write its zone",
		"bl client 3":                                     "is no zone",
		"bl.test 3":                                       "say whether",
		"bl.test domains refuse 3":                        "only clients",
		"bl.test client":                                  "no weight",
		"bl.test client x":                                "neither a weight",
		"bl.test client 10.0.0.1=2":                       "no answer of a list",
		"bl.test client 127.0.0.9-2=2":                    "backwards",
		"bl.test client 127.0.0.256=2":                    "not 0 to 255",
		"bl.test client 127.0.0.&0=2":                     "fits nothing",
		"bl.test client 127.0.0.2=1e9":                    "neither a weight",
	} {
		_, err := Parse(text)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReversed(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.99":                "99.2.0.192",
		"2001:db8:1:2:3:4:567:89ab": "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2",
	} {
		if got := reversed(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
	if reversed(netip.Addr{}) != "" {
		t.Error("no address has a name")
	}
}

// zone has lists with the test entries of RFC 5782, good and bad ones.
func zone() []string {
	return []string{
		"2.0.0.127.bl.test 60 IN A 127.0.0.2", "1.2.0.192.bl.test 60 IN A 127.0.0.2", "1.2.0.192.bl.test 60 IN A 127.0.0.4",
		`1.2.0.192.bl.test 60 IN TXT "see http://bl.test/1"`,
		"b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.test 60 IN A 127.0.0.2",
		"1.2.0.192.no.test 60 IN A 127.255.255.254", "1.2.0.192.parked.test 60 IN A 198.51.100.1", "1.2.0.192.zero.test 60 IN A 0.0.0.0",
		"1.2.0.192.dead.test 60 IN A 127.0.0.2", "1.0.0.127.dead.test 60 IN A 127.0.0.2",
		"9.2.0.192.wl.test 60 IN A 127.0.5.2", "9.2.0.192.bl.test 60 IN A 127.0.0.2",
		"evil.org.dl.test 60 IN A 127.0.0.6", "there.org.dl.test 60 IN A 127.0.0.1", "test.dl.test 60 IN A 127.0.0.2",
		"evil.org.dead.test 60 IN A 127.0.1.2", "invalid.deaddl.test 60 IN A 127.0.0.2", "evil.org.deaddl.test 60 IN A 127.0.0.2",
	}
}

func part(t testing.TB, resolver dns.Resolver, specs ...string) *Part {
	t.Helper()
	var all []List
	for _, s := range specs {
		l, err := Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return New(Options{Lists: all, Resolver: resolver, Timeout: 3 * time.Second})
}

func letter(t testing.TB, ip string) *score.Message {
	t.Helper()
	text := "From: Ann <ann@mail.there.org>\r\n\r\nsee http://www.evil.org/x and http://here.org/\r\n"
	parsed, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	m := score.NewMessage(&mail.Envelope{Origin: mail.Origin{Remote: netip.AddrPortFrom(netip.MustParseAddr(ip), 1), Helo: "mx.there.org"}}, parsed, mail.Bytes([]byte(text)))
	m.Found(nil)
	return m
}

func told(a score.Answer) string {
	var all []string
	for _, h := range a.Hits {
		all = append(all, h.Symbol+" "+strings.TrimSuffix(strings.TrimSuffix(time.Duration(h.Factor*1e9).String(), "s"), ".0"))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// TestLook asks lists about clients and domains. K9: an answer of 127.255.255.x or
// 0.0.0.0, a dead list, and one that is silent list nobody.
func TestLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := dnstest.Offline(t, zone()...)
		server.Fail("1.2.0.192.silent.test", dnstest.Silent)
		server.Fail("1.2.0.192.broken.test", dnstest.ServFail)
		resolver := dns.New(dns.Options{Servers: []string{"192.0.2.53"}, Dial: server.Dial, Timeout: time.Second, Rounds: 1})
		for name, x := range map[string]struct {
			ip      string
			lists   []string
			want    string
			trouble string
		}{
			"nobody":           {"192.0.2.7", []string{"bl.test client 3"}, "", ""},
			"the heaviest":     {"192.0.2.1", []string{"bl.test client 127.0.0.2=3 127.0.0.4-7=5"}, "LIST_BL_TEST 5", ""},
			"other answers":    {"192.0.2.1", []string{"bl.test client 127.0.0.9=3"}, "", ""},
			"IPv6":             {"2001:db8:1:2:3:4:567:89ab", []string{"bl.test client 3"}, "LIST_BL_TEST 3", ""},
			"good and bad":     {"192.0.2.9", []string{"bl.test client 3", "wl.test client 127.0.*.2=-2"}, "LIST_BL_TEST 3, LIST_WL_TEST -2", ""},
			"K9 no service":    {"192.0.2.1", []string{"no.test client 3", "bl.test client 3"}, "LIST_BL_TEST 3", "no.test will not answer us"},
			"K9 parked":        {"192.0.2.1", []string{"parked.test client 3", "zero.test client 3"}, "", ""},
			"K9 dead":          {"192.0.2.1", []string{"dead.test client 3"}, "", "dead.test lists 1.0.0.127"},
			"K9 dead, domains": {"192.0.2.7", []string{"deaddl.test domains 3"}, "", "deaddl.test lists invalid"},
			"K9 silent":        {"192.0.2.1", []string{"silent.test client 3", "broken.test client 3", "bl.test client 3"}, "LIST_BL_TEST 3", "silent.test does not answer"},
			"domains":          {"192.0.2.7", []string{"dl.test domains 127.0.0.&4=4 127.0.0.&1=1"}, "LIST_DL_TEST 4", ""},
		} {
			began := time.Now()
			a, err := part(t, resolver, x.lists...).Look(t.Context(), letter(t, x.ip))
			if got := told(a); got != x.want {
				t.Errorf("%s: %q, want %q", name, got, x.want)
			}
			if (err != nil) != (x.trouble != "") || err != nil && !strings.Contains(err.Error(), x.trouble) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("%s: it took %v", name, took)
			}
		}
	})
}

// TestRefused turns clients away at the door, but for those whom a list speaks for.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := dnstest.Offline(t, zone()...)
		resolver := dns.New(dns.Options{Servers: []string{"192.0.2.53"}, Dial: server.Dial, Timeout: time.Second, Rounds: 1})
		p := part(t, resolver, "bl.test client refuse 3", "wl.test client -2")
		for ip, want := range map[string]string{
			"192.0.2.1": "192.0.2.1 is listed by bl.test: see http://bl.test/1", "192.0.2.7": "", "192.0.2.9": "",
			"::ffff:192.0.2.1": "192.0.2.1 is listed by bl.test: see http://bl.test/1",
		} {
			if got := p.Refused(t.Context(), netip.MustParseAddr(ip)); got != want {
				t.Errorf("%s: %q", ip, got)
			}
		}
		if got := part(t, resolver, "bl.test client 3").Refused(t.Context(), netip.MustParseAddr("192.0.2.1")); got != "" {
			t.Errorf("one that only scores: %q", got)
		}
	})
}
