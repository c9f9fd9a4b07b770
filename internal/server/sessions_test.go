package server

import (
	"fmt"
	"strings"
	"testing"

	"plic/internal/config"
	"plic/internal/control"
)

// Sessions of every service are listed under their account, and end with a word
// when they are told to, or when their account is closed or removed.
func TestSessions(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	here := []string{"127.0.0.1:0"}
	c.Listen = config.Listen{Submissions: here, IMAPS: here, POP3S: here, Sieve: here}
	s, at, _ := start(t, c)
	o := s.Operations()
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(o.Directory.AddDomain(t.Context(), "here.test"))
	names := []string{"ended", "closed", "removed", "stays"}
	wires := map[string][]*wire{}
	for _, name := range names {
		try(o.Directory.AddAccount(t.Context(), name+"@here.test", "secret"))
		for _, service := range loginDoors() {
			w := dialWire(t, service, at[service], nil)
			if ok, last, _ := w.login("PLAIN", "\x00"+name+"@here.test\x00secret"); !ok {
				t.Fatalf("%s at %s: %s", name, service, last)
			}
			wires[name] = append(wires[name], w)
		}
	}
	count := func(f control.SessionFilter) (n int) {
		for x, err := range o.Sessions.List(t.Context(), f) {
			if try(err); x.Remote.Addr().String() != "127.0.0.1" || x.Since.IsZero() {
				t.Errorf("%+v", x)
			}
			n++
		}
		return n
	}
	for _, service := range []string{"submission", "imap", "pop3", "sieve"} {
		if n := count(control.SessionFilter{Service: service}); n != len(names) {
			t.Errorf("%d sessions of %s", n, service)
		}
	}
	if n, err := o.Sessions.End(t.Context(), control.SessionFilter{Account: "ended@here.test"}); n != len(loginDoors()) || err != nil {
		t.Errorf("%d sessions end, %v", n, err)
	}
	try(o.Logins.SetLogin(t.Context(), control.Login{Name: "closed@here.test", Disabled: true}))
	try(o.Directory.RemoveAccount(t.Context(), "removed@here.test", false))
	goodbyes := map[string]string{"submissions": "421 ", "imaps": "* BYE ", "pop3s": "-ERR ", "sieve": "BYE "}
	for _, name := range names[:3] {
		for _, w := range wires[name] {
			if got := w.line(); !strings.HasPrefix(got, goodbyes[w.service]) {
				t.Errorf("%s at %s: %s", name, w.service, got)
			}
			if rest, err := w.r.ReadString('\n'); err == nil {
				t.Errorf("%s at %s goes on: %s", name, w.service, rest)
			}
		}
	}
	noop := map[string]string{"submissions": "NOOP", "imaps": "n NOOP", "pop3s": "NOOP", "sieve": "NOOP"}
	for _, w := range wires["stays"] {
		fmt.Fprintf(w.conn, "%s\r\n", noop[w.service])
		if got := w.line(); strings.Contains(got, "BYE") || strings.HasPrefix(got, "421") || strings.HasPrefix(got, "-ERR") {
			t.Errorf("stays at %s: %s", w.service, got)
		}
	}
	if n := count(control.SessionFilter{Account: "stays@here.test"}); n != len(loginDoors()) {
		t.Errorf("%d sessions go on", n)
	}
}
