package mail

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	long := strings.Repeat("a", 64)
	label := strings.Repeat("b", 63)
	for _, c := range []struct{ text, want string }{
		{"bob@example.org", "bob@example.org"},
		{"Bob@EXAMPLE.org", "Bob@example.org"},
		{"a.b.c@d", "a.b.c@d"},
		{`"a b"@d`, `"a b"@d`},
		{`"bob"@d`, "bob@d"},
		{`""@d`, `""@d`},
		{`"a\"@d"@e`, `"a\"@d"@e`},
		{`"a\\b"@e`, `"a\\b"@e`},
		{`"a@b"@e`, `"a@b"@e`},
		{"büro@exämple.org", "büro@xn--exmple-cua.org"},
		{"b@XN--EXMPLE-CUA.org", "b@xn--exmple-cua.org"},
		{"a@[192.0.2.1]", "a@[192.0.2.1]"},
		{"a@[IPv6:2001:DB8::1]", "a@[IPv6:2001:db8::1]"},
		{long + "@d", long + "@d"},
		{"a@" + label + ".c", "a@" + label + ".c"},
		{"e\u0301@d", "\u00e9@d"}, // NFC
	} {
		a, err := ParseAddress(c.text)
		if err != nil || a.String() != c.want {
			t.Errorf("%q reads as %q, %v; want %q", c.text, a, err, c.want)
		}
	}
	for _, bad := range []string{
		"", "@", "a", "a@", "@d", "a@d.", "a@.d", "a..b@d", ".a@d", "a.@d", "a b@d", "a@b@c", "<a@d>", "a@d e",
		`"a@d`, `"a"b@d`, `"a\"@d`, "\"a\rb\"@d", "\"a\nb\"@d", "\"a\x00b\"@d", "a\x80@d", "a@d_e", "a@-d", "a@d-",
		"a@[IPv6:::]x", "a@[192.0.2]", "a@[2001:db8::1]", "a@[IPv6:192.0.2.1]", "a@[192.0.2.1", "a@[IPv6:fe80::1%eth0]",
		long + "a@d", "a@" + label + "b.c", "a@" + strings.Repeat("b.", 128) + "c",
		strings.Repeat("a", 64) + "@" + strings.Repeat("b.", 95) + "c",
	} {
		if a, err := ParseAddress(bad); err == nil {
			t.Errorf("%q reads as %q, want an error", bad, a)
		}
	}
}

func TestAddressForms(t *testing.T) {
	a := MustAddress("Ann+Lists@Example.ORG")
	if a.Key() != "ann+lists@example.org" || a.Path() != "<Ann+Lists@example.org>" {
		t.Error(a.Key(), a.Path())
	}
	if base, detail := a.Detail("+"); base.String() != "Ann@example.org" || detail != "Lists" {
		t.Error(base, detail)
	}
	for _, none := range []string{"", "-"} {
		if base, detail := a.Detail(none); base != a || detail != "" {
			t.Errorf("with separator %q: %v %q", none, base, detail)
		}
	}
	if base, detail := MustAddress("+x@d").Detail("+"); base.Local != "+x" || detail != "" {
		t.Error("nothing stands before the separator, yet it is split:", base, detail)
	}
	if !(Address{}).IsNull() || MustAddress(`""@d`).IsNull() || (Address{}).Path() != "<>" {
		t.Error("the null reverse-path is taken for another, or another for it")
	}
	if MustAddress("a@exämple.org").NeedsUTF8() || !MustAddress("ä@example.org").NeedsUTF8() {
		t.Error("only a local part outside ASCII needs SMTPUTF8: domains have A-labels")
	}
	if got := MustDomain("xn--exmple-cua.org").Unicode(); got != "exämple.org" {
		t.Error(got)
	}
}

func TestLiteral(t *testing.T) {
	for text, want := range map[string]string{"[192.0.2.1]": "192.0.2.1", "[IPv6:2001:db8::1]": "2001:db8::1"} {
		if got, ok := MustDomain(text).Literal(); !ok || got != netip.MustParseAddr(want) {
			t.Errorf("%s is %v, %v", text, got, ok)
		}
	}
	if _, ok := MustDomain("example.org").Literal(); ok {
		t.Error("a name is taken for a literal")
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for _, a := range []Address{{}, MustAddress(`"a b"@d.test`), MustAddress("ü@d.test"), {Local: "postmaster"}} {
		item := Item{ID: FirstID(timeOf(t)), Envelope: Envelope{From: a}, To: []ItemRcpt{{Recipient: Recipient{Address: a}, Last: Reply(450, "4.2.1", "later")}}}
		text, err := json.Marshal(item)
		if err != nil {
			t.Fatal(err)
		}
		var got Item
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got.Envelope.From != a || got.To[0].Address != a || got.To[0].Last != item.To[0].Last || got.ID != item.ID {
			t.Errorf("%s reads back as %+v", text, got)
		}
	}
	if err := new(Address).UnmarshalText([]byte("a b")); err == nil {
		t.Error("a bad address reads back")
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"a@b", `"a\"b"@c.d`, "ü@exämple.org", "a@[IPv6:::1]", `""@x`, "a@xn--a", "a\u0301@b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseAddress(text)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again != a {
			t.Errorf("%q reads as %q, which reads as %q, %v", text, a, again, err)
		}
		if strings.ContainsAny(a.String(), "\r\n\x00") {
			t.Errorf("%q lets a line end through", text)
		}
	})
}
