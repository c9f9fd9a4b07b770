package dns

import (
	"bytes"
	"strings"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

func packed(tb testing.TB, edit func(*wire.Msg), records ...string) []byte {
	tb.Helper()
	m := new(wire.Msg)
	m.SetQuestion("a.test.", wire.TypeMX)
	m.Id, m.Response, m.Compress = 7, true, true
	for _, text := range records {
		rr, err := wire.NewRR(text)
		if err != nil {
			tb.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if edit != nil {
		edit(m)
	}
	raw, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestReadReply(t *testing.T) {
	t.Parallel()
	soa := func(m *wire.Msg) {
		rr, _ := wire.NewRR("test. 90 IN SOA ns.test. h.test. 1 1 1 1 30")
		m.Ns = append(m.Ns, rr)
	}
	for name, test := range map[string]struct {
		raw       []byte
		err       error
		rrs       int
		at        string
		kind      Kind
		ttl       time.Duration
		cacheable bool
	}{
		"records of others are ignored": {raw: packed(t, nil, "b.test. 1 IN MX 1 evil.test.", "a.test. 60 IN A 192.0.2.1", "a.test. 60 CH MX 1 c.test.", "a.test. 60 IN MX 1 x.test."), rrs: 1, at: "a.test", ttl: time.Minute, cacheable: true},
		"chain out of order":            {raw: packed(t, nil, "b.test. 60 IN MX 1 x.test.", "A.test. 30 IN CNAME B.test."), rrs: 1, at: "b.test", ttl: 30 * time.Second, cacheable: true},
		"chain leads elsewhere":         {raw: packed(t, nil, "a.test. 30 IN CNAME b.other."), at: "b.other", kind: Temporary, ttl: 30 * time.Second, cacheable: true},
		"no data":                       {raw: packed(t, soa), at: "a.test", kind: NoData, ttl: 30 * time.Second, cacheable: true},
		"no data, no SOA":               {raw: packed(t, nil), at: "a.test", kind: NoData, ttl: 1<<31*time.Second - time.Second},
		"no name":                       {raw: packed(t, func(m *wire.Msg) { soa(m); m.Rcode = wire.RcodeNameError }), at: "a.test", kind: NoName, ttl: 30 * time.Second, cacheable: true},
		"TTL with the top bit set":      {raw: packed(t, nil, "a.test. 4294967295 IN MX 1 x.test."), rrs: 1, at: "a.test", ttl: 0, cacheable: true},
		"truncated":                     {raw: packed(t, func(m *wire.Msg) { m.Truncated = true }), err: errTruncated},
		"wrong id":                      {raw: packed(t, func(m *wire.Msg) { m.Id = 8 }), err: errNotOurs},
		"a query":                       {raw: packed(t, func(m *wire.Msg) { m.Response = false }), err: errNotOurs},
		"other question":                {raw: packed(t, func(m *wire.Msg) { m.Question[0].Name = "b.test." }), err: errNotOurs},
		"other type":                    {raw: packed(t, func(m *wire.Msg) { m.Question[0].Qtype = wire.TypeA }), err: errNotOurs},
		"no question":                   {raw: packed(t, func(m *wire.Msg) { m.Question = nil }), err: errNotOurs},
		"update":                        {raw: packed(t, func(m *wire.Msg) { m.Opcode = wire.OpcodeUpdate }), err: errNotOurs},
		"SERVFAIL":                      {raw: packed(t, func(m *wire.Msg) { m.Rcode = wire.RcodeServerFailure }), err: rcodeError(wire.RcodeServerFailure)},
		"short":                         {raw: []byte{0, 7, 0x80}, err: errNotOurs},
	} {
		r, err := readReply(test.raw, 7, "a.test.", wire.TypeMX)
		if err != test.err {
			t.Errorf("%s: error %v, want %v", name, err, test.err)
			continue
		}
		if err != nil {
			continue
		}
		if len(r.rrs) != test.rrs || r.name != test.at || r.kind != test.kind || r.ttl != test.ttl || r.cacheable != test.cacheable {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Whatever comes, reading ends, does not panic, and gives records of the type
// asked for only.
func FuzzReadReply(f *testing.F) {
	f.Add(packed(f, nil, "a.test. 60 IN MX 1 x.test."), uint16(wire.TypeMX))
	f.Add(packed(f, nil, "a.test. 60 IN CNAME a.test."), uint16(wire.TypeMX))
	f.Add(packed(f, nil, `a.test. 60 IN TXT "a" "b\000"`, "a.test. 60 IN TLSA 3 1 1 00"), uint16(wire.TypeTXT))
	f.Add(packed(f, nil, "a.test. 60 IN A 192.0.2.1", "a.test. 60 IN AAAA 2001:db8::1"), uint16(wire.TypeA))
	loop := packed(f, nil)
	loop[7] = 1
	f.Add(append(loop, 0xc0, byte(len(loop)), 0, 1, 0, 1), uint16(wire.TypeMX))
	f.Fuzz(func(t *testing.T, raw []byte, qtype uint16) {
		if len(raw) > 12 { // so that more than the header is tried
			raw[0], raw[1], raw[2] = 0, 7, raw[2]|0x80
		}
		r, err := readReply(raw, 7, "a.test.", qtype)
		if err != nil {
			return
		}
		if r.steps > maxChain || r.ttl < 0 {
			t.Fatalf("%+v", r)
		}
		for _, rr := range r.rrs {
			if !typeMatches(rr, qtype) || canonical(rr.Header().Name) != r.name {
				t.Fatalf("record %v", rr)
			}
		}
	})
}

// A name is refused, or is on the wire exactly the labels that it is.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"a.test", "A.Test.", "", ".", "a..b", `a\.b`, `q"(;)@$ ` + "\x00\xff", strings.Repeat("a", 63) + ".b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		escaped, err := wireName(name)
		if err != nil {
			return
		}
		buf := make([]byte, 300)
		n, err := wire.PackDomainName(escaped, buf, 0, nil, false)
		if err != nil {
			t.Fatalf("%q as %q: %v", name, escaped, err)
		}
		var want []byte
		if trimmed := strings.TrimSuffix(name, "."); trimmed != "" {
			for label := range strings.SplitSeq(trimmed, ".") {
				want = append(append(want, byte(len(label))), lower(label)...)
			}
		}
		if want = append(want, 0); !bytes.Equal(buf[:n], want) {
			t.Fatalf("%q is packed as %q, want %q", name, buf[:n], want)
		}
	})
}

// unescape gives back the octets of every character string.
func FuzzUnescape(f *testing.F) {
	f.Add("plain", "")
	f.Add("\x00\"\\\xff", `\`)
	f.Fuzz(func(t *testing.T, s, junk string) {
		unescape(junk)
		s = s[:min(len(s), 255)]
		rr := &wire.TXT{Hdr: wire.RR_Header{Name: ".", Rrtype: wire.TypeTXT, Class: wire.ClassINET}}
		raw := append([]byte{0, 0, 16, 0, 1, 0, 0, 0, 0, byte((len(s) + 1) >> 8), byte(len(s) + 1), byte(len(s))}, s...)
		got, _, err := wire.UnpackRR(raw, 0)
		if err != nil {
			t.Fatal(err)
		}
		rr = got.(*wire.TXT)
		if got := unescape(rr.Txt[0]); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

func FuzzParseSystem(f *testing.F) {
	f.Add("nameserver 127.0.0.1\noptions trust-ad")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := ParseSystem(strings.NewReader(text)); err == nil && len(s.Servers) > 8 {
			t.Fatalf("%d servers", len(s.Servers))
		}
	})
}
