package peers

import (
	"context"
	"path/filepath"
)

// OpenSMTPD is an instance of OpenSMTPD that keeps the mail of a domain's users
// in Maildirs below Dir/mail.
type OpenSMTPD struct {
	Dir, Address, Hostname, Resolver string // as with Postfix
	Domain                           string
	Users                            []string
	Trusted                          string // address from which it relays
	Cert, Key, CAFile                string
	Stored, Store                    string // a domain whose mail goes by LMTP, and to which host:port

	daemon confined
}

const smtpdConf = `ca trusted cert "{{.CAFile}}"
pki {{.Hostname}} cert "{{.Cert}}"
pki {{.Hostname}} key "{{.Key}}"
table users { {{range .Users}}"{{.}}" = "mail", {{end}}"postmaster" = "mail" }
listen on {{.Address}} port 25 tls pki {{.Hostname}} hostname {{.Hostname}}
action "store" maildir "{{.Dir}}/mail/%{dest.user}" virtual <users>
action "out" relay src {{.Address}} helo {{.Hostname}}
match from any for domain "{{.Domain}}" action "store"
{{if .Store}}action "lmtp" lmtp "{{.Store}}" rcpt-to virtual <users>
match from src {{.Trusted}} for domain "{{.Stored}}" action "lmtp"
{{end}}match from src {{.Trusted}} for any action "out"
match from local for any action "out"
`

// Start runs it until Stop.
func (o *OpenSMTPD) Start(ctx context.Context) error {
	if err := write(filepath.Join(o.Dir, "etc/smtpd.conf"), smtpdConf, o); err != nil {
		return err
	}
	if err := owned(filepath.Join(o.Dir, "mail"), "mail"); err != nil {
		return err
	}
	o.daemon = confined{dir: o.Dir, address: o.Address, resolver: o.Resolver, users: []string{"opensmtpd", "opensmtpq"},
		prepare: `mkdir -p /var/lib/opensmtpd/empty; mount --bind "$ROOT/usr/libexec" /usr/libexec; chmod 600 "$DIR/etc/smtpd.conf"`,
		command: []string{"usr/sbin/smtpd", "-dv", "-f", filepath.Join(o.Dir, "etc/smtpd.conf")}}
	return o.daemon.start(ctx)
}

// Log is what it wrote so far.
func (o *OpenSMTPD) Log() string { return o.daemon.log() }

// Stop ends it.
func (o *OpenSMTPD) Stop() error { return o.daemon.stop() }
