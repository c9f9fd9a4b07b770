package server

import (
	"net/netip"
	"strings"
	"testing"

	"plic/internal/config"
	"plic/internal/directory"
)

// guessed is a running server with ann and every service where people log in.
func guessed(t *testing.T, change func(*config.Config)) (*Server, map[string]string) {
	t.Helper()
	c := testConfig(t)
	here := []string{"127.0.0.1:0"}
	c.Listen = config.Listen{Submissions: here, IMAPS: here, POP3S: here, Sieve: here}
	change(c)
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	s, at, _ := start(t, c)
	if err := s.Operations().Directory.AddDomain(t.Context(), "here.test"); err != nil {
		t.Fatal(err)
	}
	if err := s.Operations().Directory.AddAccount(t.Context(), "ann@here.test", "password of ann"); err != nil {
		t.Fatal(err)
	}
	return s, at
}

func plain(user, password string) string { return "\x00" + user + "\x00" + password }

// A1: wrong passwords at all services of a server add up, so that one at each is
// enough to be refused at any; and a right one from elsewhere is let in.
func TestGuessingAtAllServices(t *testing.T) {
	t.Parallel()
	_, at := guessed(t, func(c *config.Config) { c.Auth.RefuseAfter = len(loginDoors()) })
	for _, service := range loginDoors() {
		if ok, last, _ := dialWire(t, service, at[service], nil).login("PLAIN", plain("ann@here.test", "guess at "+service)); ok {
			t.Fatalf("%s: %s", service, last)
		}
	}
	for _, service := range loginDoors() {
		ok, last, _ := dialWire(t, service, at[service], nil).login("PLAIN", plain("ann@here.test", "password of ann"))
		if ok || !strings.Contains(last, "later") {
			t.Errorf("%s after one guess at each service: %s", service, last)
		}
		if ok, last, _ := dialWireFrom(t, "127.9.9.9", service, at[service], nil).login("PLAIN", plain("ann@here.test", "password of ann")); !ok {
			t.Errorf("%s from elsewhere: %s", service, last)
		}
	}
}

// A3: at each service somebody who does not exist gets the words that a wrong
// password gets, for as many hashes.
func TestUnknownUsersAtAllServices(t *testing.T) {
	t.Parallel()
	s, at := guessed(t, func(c *config.Config) {
		c.Auth.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // so that no failure delays others
	})
	for _, service := range loginDoors() {
		hashes := func() uint64 {
			s.tries.mu.Lock()
			defer s.tries.mu.Unlock()
			return s.tries.hashes[directory.Protocol(service)]
		}
		for _, mechanism := range []string{"PLAIN", "LOGIN"} {
			try := func(user string) (words string, cost uint64) {
				before := hashes()
				initial, answers := plain(user, "guess"), []string(nil)
				if mechanism == "LOGIN" {
					initial, answers = user, []string{"guess"}
				}
				ok, last, _ := dialWire(t, service, at[service], nil).login(mechanism, initial, answers...)
				if ok {
					t.Errorf("%s lets %s in", service, user)
				}
				return last, hashes() - before
			}
			known, cost := try("ann@here.test")
			for _, user := range []string{"nobody@here.test", "ann@elsewhere.test", "ann"} {
				if words, hashes := try(user); words != known || hashes != cost || hashes != 1 {
					t.Errorf("%s %s: %q after %d hashes for %s, %q after %d for one who exists", service, mechanism, words, hashes, user, known, cost)
				}
			}
		}
	}
	page := ""
	for _, m := range s.metrics() {
		if m.Name == "plic_logins_total" {
			page += m.Labels[0][1] + " " + m.Labels[1][1] + "\n"
		}
	}
	for _, protocol := range []string{"imap", "pop3", "sieve", "smtp"} {
		if !strings.Contains(page, protocol+" unknown") || !strings.Contains(page, protocol+" wrong") {
			t.Errorf("the metrics have no failures of %s:\n%s", protocol, page)
		}
	}
}
