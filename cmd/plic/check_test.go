package main

import (
	"strings"
	"testing"

	"plic/internal/dns/dnstest"
)

func TestCheckSPF(t *testing.T) {
	zone := dnstest.New(t,
		`example.org 60 IN TXT "v=spf1 ip4:192.0.2.3 -all exp=why.example.org"`,
		`why.example.org 60 IN TXT "ask %{r} for %{i}"`)
	for _, x := range []struct {
		args string
		code int
		want string
	}{
		{"192.0.2.3 mx.example.org ann@example.org", exitOK, `pass 192.0.2.3 matches "ip4:192.0.2.3" of example.org` + "\n"},
		{"192.0.2.4 mx.example.org <ann@example.org>", exitOK, "fail 192.0.2.4 matches \"-all\" of example.org; the domain says: ask mx.plic.test for 192.0.2.4\n"},
		{"192.0.2.4 mx.example.org <>", exitOK, "none mx.example.org has no record\n"},
		{"192.0.2.3 mx.example.org ann@example.org --json", exitOK, `"result":"pass"`},
		{"192.0.2.300 mx.example.org ann@example.org", exitUsage, "is no IP address"},
		{"192.0.2.3 mx.example.org", exitUsage, "is missing"},
	} {
		args := append([]string{"check", "spf", "--resolver", zone.Addr(), "--host", "mx.plic.test"}, strings.Fields(x.args)...)
		got := plic(t, t.TempDir(), "", args...)
		if got.code != x.code || !strings.Contains(got.out+got.err, x.want) {
			t.Errorf("%s: exit %d\n%s%s", x.args, got.code, got.out, got.err)
		}
	}
}
