package peers

import (
	"context"
	"os"
	"path/filepath"
)

// Dovecot is an instance of Dovecot that takes any user with one password and
// offers IMAP on port 143, POP3 on 110 and LMTP on 24 of its address.
type Dovecot struct {
	Dir      string // made if missing; the caller removes it
	Address  string
	Password string
	Format   string // of mailboxes: "sdbox", "mdbox", "maildir"
	Users    string // a passwd-file, in the place of any user with one password
	Settings string // further configuration
}

const dovecotConf = `base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/state
log_path = {{.Dir}}/dovecot.log
protocols = imap pop3 lmtp
listen = {{.Address}}
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = {{.Format}}:{{.Dir}}/mail/%u
mail_max_userip_connections = 10000
{{if .Users}}
passdb {
  driver = passwd-file
  args = username_format=%Lu {{.Users}}
}
userdb {
  driver = passwd-file
  args = username_format=%Lu {{.Users}}
}
{{else}}
passdb {
  driver = static
  args = password={{.Password}}
}
userdb {
  driver = static
  args = uid=mail gid=mail home={{.Dir}}/mail/%u allow_all_users=yes
}
{{end}}
namespace inbox {
  inbox = yes
}
service lmtp {
  inet_listener lmtp {
    address = {{.Address}}
    port = 24
  }
}
service imap-login {
  client_limit = 20000
  process_min_avail = 1
  service_count = 0
  inet_listener imaps {
    port = 0
  }
}
service pop3-login {
  service_count = 0
  inet_listener pop3s {
    port = 0
  }
}
service imap {
  process_limit = 10000
}
service anvil {
  client_limit = 20000
}
service auth {
  client_limit = 20000
}
default_client_limit = 20000
{{.Settings}}
`

// Start runs it until Stop.
func (d *Dovecot) Start(ctx context.Context) error {
	if err := usable("dovecot"); err != nil {
		return err
	}
	if err := write(filepath.Join(d.Dir, "dovecot.conf"), dovecotConf, d); err != nil {
		return err
	}
	if err := owned(filepath.Join(d.Dir, "mail"), "mail"); err != nil {
		return err
	}
	if err := run("dovecot", "-c", filepath.Join(d.Dir, "dovecot.conf")); err != nil {
		return err
	}
	return WaitFor(ctx, d.Address+":143")
}

// Log is what it wrote so far.
func (d *Dovecot) Log() string {
	text, _ := os.ReadFile(filepath.Join(d.Dir, "dovecot.log"))
	return string(text)
}

// Again starts it after a Stop.
func (d *Dovecot) Again(ctx context.Context) error {
	if err := run("dovecot", "-c", filepath.Join(d.Dir, "dovecot.conf")); err != nil {
		return err
	}
	return WaitFor(ctx, d.Address+":143")
}

// Stop ends it.
func (d *Dovecot) Stop() error {
	return run("doveadm", "-c", filepath.Join(d.Dir, "dovecot.conf"), "stop")
}
