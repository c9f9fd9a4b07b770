package mtasts

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		texts []string
		id    string // "" for none
	}{
		{[]string{"v=STSv1; id=20160831085700Z;"}, "20160831085700Z"},
		{[]string{"v=STSv1;id=a"}, "a"},
		{[]string{"v=STSv1 ; ext=x; id = 7 ;"}, "7"},
		{[]string{"v=spf1 -all", "v=STSv1; id=1;"}, "1"},
		{nil, ""},
		{[]string{"v=STSv1"}, ""},
		{[]string{"v=STSv1; id=;"}, ""},
		{[]string{"v=STSv1; id=a-b;"}, ""},
		{[]string{"v=STSv1; id=" + strings.Repeat("a", 33)}, ""},
		{[]string{"id=1; v=STSv1"}, ""},
		{[]string{"v=STSv12; id=1"}, ""},
		{[]string{"v=STSv1; id=1;", "v=STSv1; id=1;"}, ""},
	} {
		id, err := ParseRecord(c.texts)
		if id != c.id && err == nil || (err == nil) != (c.id != "") || err != nil && !errors.Is(err, ErrNoRecord) {
			t.Errorf("%q: id %q, %v; want %q", c.texts, id, err, c.id)
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	good, err := Parse([]byte("version: STSv1\r\nmode: enforce\r\nmx: MAIL.example.org.\r\nmx: *.example.net\r\nfuture: x\r\nmode: none\r\nmax_age: 604800\r\n"))
	if err != nil || good.Mode != Enforce || !slices.Equal(good.MX, []string{"mail.example.org", "*.example.net"}) || good.MaxAge != 7*24*time.Hour {
		t.Errorf("%+v %v", good, err)
	}
	again, err := Parse(good.Text())
	if err != nil || string(again.Text()) != string(good.Text()) {
		t.Errorf("%q came back as %q, %v", good.Text(), again.Text(), err)
	}
	for text, want := range map[string]time.Duration{
		"version: STSv1\nmode: none\nmax_age: 1":                       time.Second,
		"version:STSv1\nmode:testing\nmax_age:99999999\nmx:a.test\n\n": MaxAge,
	} {
		if p, err := Parse([]byte(text)); err != nil || p.MaxAge != want {
			t.Errorf("%q: %+v %v", text, p, err)
		}
	}
	for _, bad := range []string{
		"", "\n\n", "mode: enforce\nversion: STSv1\nmx: a\nmax_age: 1", "version: STSv2\nmode: none\nmax_age: 1",
		"version: STSv1\nmode: enforce\nmax_age: 1", "version: STSv1\nmode: none", "version: STSv1\nmax_age: 1",
		"version: STSv1\nmode: strict\nmax_age: 1\nmx: a", "version: STSv1\nmode: none\nmax_age: -1",
		"version: STSv1\nmode: none\nmax_age: 12345678901", "version: STSv1\nmode: testing\nmx: a..b\nmax_age: 1",
		"version: STSv1\nmode: testing\nmx: a.*.b\nmax_age: 1", "version: STSv1\nmode: testing\nmx: [192.0.2.1]\nmax_age: 1",
		"<html>", "version: STSv1\nmode: none\nmax_age: 1\n" + strings.Repeat("x: y\n", MaxSize/5),
		"version: STSv1\nmode: none\nmax_age: 1\n" + strings.Repeat("mx: a\n", maxHosts+1),
	} {
		if p, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%.60q is read as %+v", bad, p)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	p := Policy{MX: []string{"mail.example.org", "*.example.net"}}
	for host, want := range map[string]bool{
		"mail.example.org": true, "MAIL.EXAMPLE.ORG.": true, "x.mail.example.org": false, "example.org": false,
		"a.example.net": true, "a.b.example.net": false, "example.net": false, "aexample.net": false, "": false,
	} {
		if p.Matches(host) != want {
			t.Errorf("%q matches: %v", host, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("version: STSv1\r\nmode: enforce\r\nmx: mail.example.org\r\nmax_age: 604800\r\n"))
	f.Add([]byte("version: STSv1\nmode: none\nmax_age: 4294967296\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(p.Text())
		if err != nil || string(again.Text()) != string(p.Text()) {
			t.Errorf("%q was read as %+v, written as %q, which gives %+v, %v", text, p, p.Text(), again, err)
		}
		ParseRecord([]string{string(text)})
	})
}
