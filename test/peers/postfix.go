package peers

import (
	"context"
	"os"
	"path/filepath"
)

// Postfix is an instance of Postfix with its own configuration and queue.
type Postfix struct {
	Dir      string // made if missing; the caller removes it
	Address  string // where port 25 is opened
	Hostname string
	Settings string // further main.cf lines
	Resolver string // address of a DNS server that it asks; "" for the system's
}

const mainCF = `compatibility_level = 3.6
queue_directory = {{.Dir}}/spool
data_directory = {{.Dir}}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {{.Dir}}/mail.log
maillog_file_prefixes = {{.Dir}}
mail_owner = postfix
myhostname = {{.Hostname}}
mydestination =
mynetworks =
inet_interfaces = loopback-only
inet_protocols = ipv4
smtp_bind_address = {{.Address}}
smtp_host_lookup = dns
alias_maps =
alias_database =
biff = no
{{.Settings}}
`

const masterCF = `{{.Address}}:25 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

// Start runs it until Stop.
func (p *Postfix) Start(ctx context.Context) error {
	if err := usable("postfix"); err != nil {
		return err
	}
	etc := filepath.Join(p.Dir, "etc")
	if err := write(filepath.Join(etc, "main.cf"), mainCF, p); err != nil {
		return err
	}
	if err := write(filepath.Join(etc, "master.cf"), masterCF, p); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(p.Dir, "spool"), 0o755); err != nil {
		return err
	}
	if err := owned(filepath.Join(p.Dir, "data"), "postfix"); err != nil {
		return err
	}
	start := []string{"postfix", "-c", etc, "start"}
	if p.Resolver != "" {
		// Postfix asks whom /etc/resolv.conf names; in a mount namespace of its
		// own it has its own.
		conf := filepath.Join(etc, "resolv.conf")
		if err := os.WriteFile(conf, []byte("nameserver "+p.Resolver+"\n"), 0o644); err != nil {
			return err
		}
		start = append([]string{"unshare", "--mount", "sh", "-ec", `mount --bind "$0" /etc/resolv.conf; exec "$@"`, conf}, start...)
	}
	if err := run(start[0], start[1:]...); err != nil {
		return err
	}
	return WaitFor(ctx, p.Address+":25")
}

// Flush tries everything in the queue now.
func (p *Postfix) Flush() error { return run("postqueue", "-c", filepath.Join(p.Dir, "etc"), "-f") }

// Log is what it wrote so far.
func (p *Postfix) Log() string {
	text, _ := os.ReadFile(filepath.Join(p.Dir, "mail.log"))
	return string(text)
}

// Stop ends it.
func (p *Postfix) Stop() error { return run("postfix", "-c", filepath.Join(p.Dir, "etc"), "stop") }
