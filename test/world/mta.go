package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/test/peers"
)

// MTA is a host with a real server of others, which finds other hosts in the
// DNS of the world, offers and uses STARTTLS, and keeps the mail of its users
// in Maildirs.
type MTA struct {
	World    *World
	Dir      string
	Hostname string
	Address  string
	Domain   string
	Trusted  string // address from which it relays

	server server
}

// server is how each of them is run.
type server interface {
	Start(context.Context) error
	Stop() error
	Log() string
}

const postfixSettings = `virtual_mailbox_domains = %[1]s
virtual_mailbox_base = %[2]s/mail
virtual_mailbox_maps = inline:{ %[3]s }
virtual_uid_maps = static:8
virtual_gid_maps = static:8
virtual_minimum_uid = 1
mynetworks = %[4]s/32
smtpd_tls_cert_file = %[5]s
smtpd_tls_key_file = %[6]s
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
smtp_tls_security_level = may
smtp_tls_CAfile = %[7]s
smtp_tls_loglevel = 1
smtputf8_enable = yes
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
smtp_connect_timeout = 5s
smtpd_client_connection_count_limit = 0
smtp_address_preference = ipv4
%[8]s
`

// Postfix starts Postfix on a host, the MX of its domain, with some users.
func (w *World) Postfix(tb testing.TB, host, domain string, users []string, settings string) *MTA {
	tb.Helper()
	return w.PostfixAsking(tb, w.Resolver, host, domain, users, settings)
}

// PostfixAsking is Postfix that asks another resolver than the world's.
func (w *World) PostfixAsking(tb testing.TB, resolver, host, domain string, users []string, settings string) *MTA {
	tb.Helper()
	m, cert, key := w.mta(tb, host, domain)
	var boxes []string
	for _, user := range users {
		boxes = append(boxes, fmt.Sprintf("{ %s@%s = %s/ }", user, domain, user))
	}
	fatal(tb, os.MkdirAll(m.Dir+"/mail", 0o755))
	fatal(tb, os.Chown(m.Dir+"/mail", 8, 8)) // mail.mail, as Debian numbers it
	return m.start(tb, &peers.Postfix{Dir: m.Dir, Address: m.Address, Hostname: host, Resolver: resolver,
		Settings: fmt.Sprintf(postfixSettings, domain, m.Dir, strings.Join(boxes, ", "), m.Trusted, cert, key, w.CAFile, settings)})
}

// Exim starts Exim on a host, the MX of its domain, with some users. Mail for the
// stored domain goes by LMTP to the store.
func (w *World) Exim(tb testing.TB, host, domain string, users []string, stored, store string) *MTA {
	tb.Helper()
	m, cert, key := w.mta(tb, host, domain)
	return m.start(tb, &peers.Exim{Dir: m.Dir, Address: m.Address, Hostname: host, Resolver: w.Resolver,
		Domain: domain, Users: users, Trusted: m.Trusted, Cert: cert, Key: key, CAFile: w.CAFile, Stored: stored, Store: store})
}

// OpenSMTPD starts OpenSMTPD on a host, the MX of its domain, with some users. Mail for the
// stored domain goes by LMTP to the store.
func (w *World) OpenSMTPD(tb testing.TB, host, domain string, users []string, stored, store string) *MTA {
	tb.Helper()
	m, cert, key := w.mta(tb, host, domain)
	return m.start(tb, &peers.OpenSMTPD{Dir: m.Dir, Address: m.Address, Hostname: host, Resolver: w.Resolver,
		Domain: domain, Users: users, Trusted: m.Trusted, Cert: cert, Key: key, CAFile: w.CAFile, Stored: stored, Store: store})
}

// mta makes the place for a server.
func (w *World) mta(tb testing.TB, host, domain string) (m *MTA, cert, key string) {
	tb.Helper()
	m = &MTA{World: w, Dir: filepath.Join(w.Dir, host), Hostname: host, Address: w.Host(tb, host), Domain: domain, Trusted: w.Address()}
	w.MX(tb, domain, 10, host)
	cert, key = w.Certificate(tb, host)
	return m, cert, key
}

// start runs a server until the end of the test.
func (m *MTA) start(tb testing.TB, s server) *MTA {
	tb.Helper()
	m.server = s
	err := s.Start(tb.Context())
	if errors.Is(err, peers.ErrMissing) {
		Missing(tb, err.Error())
	}
	tb.Cleanup(func() {
		s.Stop()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", m.Hostname, tail(s.Log(), 12<<10))
		}
	})
	fatal(tb, err)
	return m
}

// Dial is an SMTP session that may relay.
func (m *MTA) Dial(tb testing.TB) *Conn {
	tb.Helper()
	return m.World.Dial(tb, m.Trusted, m.Address+":25", m.Hostname).Greet()
}

// Mail is what a user has got.
func (m *MTA) Mail(tb testing.TB, user string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(m.Dir, "mail", user, "new", "*"))
	fatal(tb, err)
	var texts []string
	for _, name := range names {
		text, err := os.ReadFile(name)
		fatal(tb, err)
		texts = append(texts, string(text))
	}
	return texts
}

// WaitMail waits for a message with a text in it to come to a user, and gives
// it. Its lines end in LF.
func (m *MTA) WaitMail(tb testing.TB, user, text string) string {
	tb.Helper()
	var found string
	Wait(tb, fmt.Sprintf("mail with %q for %s at %s", text, user, m.Hostname), func() bool {
		for _, got := range m.Mail(tb, user) {
			if strings.Contains(got, text) {
				found = got
				return true
			}
		}
		return false
	})
	return found
}

// Log is what the server wrote so far.
func (m *MTA) Log() string { return m.server.Log() }
