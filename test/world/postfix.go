package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/test/peers"
)

// Postfix is a host with real Postfix, which finds other hosts in the DNS of
// the world, offers and uses STARTTLS, and keeps the mail of its users in
// Maildirs.
type Postfix struct {
	peers.Postfix
	World   *World
	Domain  string
	Trusted string // address from which it relays
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
func (w *World) Postfix(tb testing.TB, host, domain string, users []string, settings string) *Postfix {
	tb.Helper()
	p := &Postfix{World: w, Domain: domain, Trusted: w.Address()}
	p.Dir, p.Address, p.Hostname, p.Resolver = filepath.Join(w.Dir, "p"), w.Host(tb, host), host, w.Resolver
	w.MX(tb, domain, 10, host)
	var boxes []string
	for _, user := range users {
		boxes = append(boxes, fmt.Sprintf("{ %s@%s = %s/ }", user, domain, user))
	}
	fatal(tb, os.MkdirAll(p.Dir+"/mail", 0o755))
	fatal(tb, os.Chown(p.Dir+"/mail", 8, 8)) // mail.mail, as Debian numbers it
	cert, key := w.Certificate(tb, host)
	p.Settings = fmt.Sprintf(postfixSettings, domain, p.Dir, strings.Join(boxes, ", "), p.Trusted, cert, key, w.CAFile, settings)
	err := p.Start(tb.Context())
	if errors.Is(err, peers.ErrMissing) {
		Missing(tb, err.Error())
	}
	tb.Cleanup(func() {
		p.Stop()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", host, tail(p.Log(), 12<<10))
		}
	})
	fatal(tb, err)
	return p
}

// Dial is an SMTP session that may relay.
func (p *Postfix) Dial(tb testing.TB) *Conn {
	tb.Helper()
	return p.World.Dial(tb, p.Trusted, p.Address+":25", p.Hostname).Greet()
}

// Mail is what a user has got.
func (p *Postfix) Mail(tb testing.TB, user string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(p.Dir, "mail", user, "new", "*"))
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
func (p *Postfix) WaitMail(tb testing.TB, user, text string) string {
	tb.Helper()
	var found string
	Wait(tb, fmt.Sprintf("mail with %q for %s at %s", text, user, p.Hostname), func() bool {
		for _, m := range p.Mail(tb, user) {
			if strings.Contains(m, text) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}
