package peers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Cyrus is an instance of Cyrus IMAP: it offers IMAP on port 143 and LMTP on 24
// of its address, where who delivers must log in, and LMTP at a socket, where
// nobody must. Its administrator is "cyrus". The package of its IMAP server cannot be
// installed beside Dovecot's, so that is unpacked beside.
type Cyrus struct {
	Dir       string // made if missing; the caller removes it
	Address   string
	Password  string   // of all
	Users     []string // "ann" of the default domain, or "ann@other.test"
	Separator byte     // of levels of mailboxes, '/' or '.'
	Cert, Key string   // files, for STARTTLS; may be missing
	Settings  string   // further imapd.conf lines

	d daemon
}

// CyrusAdmin may do everything to every mailbox.
const CyrusAdmin = "cyrus"

const cyrusDomain = "cyrus.test"

const imapdConf = `configdirectory: {{.Dir}}/var
partition-default: {{.Dir}}/spool
defaultpartition: default
servername: ` + cyrusDomain + `
admins: ` + CyrusAdmin + `
allowplaintext: yes
sasl_mech_list: PLAIN
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {{.Dir}}/sasldb2
virtdomains: userid
defaultdomain: ` + cyrusDomain + `
unixhierarchysep: {{if eq .Separator 47}}yes{{else}}no{{end}}
altnamespace: {{if eq .Separator 47}}yes{{else}}no{{end}}
lmtpsocket: {{.Dir}}/socket/lmtp
idlesocket: {{.Dir}}/socket/idle
notifysocket: {{.Dir}}/socket/notify
{{if .Cert}}tls_server_cert: {{.Cert}}
tls_server_key: {{.Key}}
{{end}}{{.Settings}}
`

const cyrusConf = `START {
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -r -C {{.Dir}}/imapd.conf"
}
SERVICES {
  imap cmd="` + unpacked + `/usr/lib/cyrus/bin/imapd -C {{.Dir}}/imapd.conf" listen="{{.Address}}:143" prefork=0
  lmtp cmd="lmtpd -C {{.Dir}}/imapd.conf" listen="{{.Address}}:24" prefork=0
  lmtpunix cmd="lmtpd -C {{.Dir}}/imapd.conf" listen="{{.Dir}}/socket/lmtp" prefork=0
}
EVENTS {
}
`

// Start runs it until Stop.
func (c *Cyrus) Start(ctx context.Context) error {
	const master = "/usr/lib/cyrus/bin/master"
	if err := errors.Join(usable(master), usable(unpacked+"/usr/lib/cyrus/bin/imapd"), usable("saslpasswd2")); err != nil {
		return err
	}
	// Its programs are of the user cyrus, but for the one that opens the ports.
	for _, dir := range []string{"", "spool", "socket", "var", "var/db", "var/lock", "var/log", "var/msg", "var/proc", "var/quota", "var/socket", "var/user"} {
		if err := owned(filepath.Join(c.Dir, dir), "cyrus"); err != nil {
			return err
		}
	}
	conf, services := filepath.Join(c.Dir, "imapd.conf"), filepath.Join(c.Dir, "cyrus.conf")
	if err := errors.Join(write(conf, imapdConf, c), write(services, cyrusConf, c)); err != nil {
		return err
	}
	of := daemon{dir: c.Dir, user: "cyrus"}
	for _, user := range append([]string{CyrusAdmin}, c.Users...) {
		name, domain, ok := strings.Cut(user, "@")
		if !ok {
			domain = cyrusDomain
		}
		if _, err := of.run(c.Password, "saslpasswd2", "-p", "-c", "-f", filepath.Join(c.Dir, "sasldb2"), "-u", domain, name); err != nil {
			return err
		}
	}
	c.d = daemon{dir: c.Dir, user: "root"}
	if err := c.d.start(master, "-C", conf, "-M", services, "-p", filepath.Join(c.Dir, "master.pid")); err != nil {
		return err
	}
	if err := c.d.up(ctx, listens(c.Address+":143")); err != nil {
		return errors.Join(err, c.Stop())
	}
	for _, user := range c.Users {
		if err := c.Ask(CyrusAdmin, `CREATE "`+c.Inbox(user)+`"`); err != nil {
			return errors.Join(err, c.Stop())
		}
	}
	return nil
}

// Inbox is what the administrator calls a user's mailbox.
func (c *Cyrus) Inbox(user string) string {
	name, domain, _ := strings.Cut(user, "@")
	if c.Separator == '.' {
		name = strings.ReplaceAll(name, ".", "^")
	}
	if name = "user" + string(c.Separator) + name; domain != "" {
		name += "@" + domain
	}
	return name
}

// Socket is where it takes mail by LMTP.
func (c *Cyrus) Socket() string { return filepath.Join(c.Dir, "socket", "lmtp") }

// Spool is where its mail is.
func (c *Cyrus) Spool() string { return filepath.Join(c.Dir, "spool") }

// Ask logs in by IMAP and gives commands, with literals as LITERAL+ has them. An
// answer that is not OK is an error.
func (c *Cyrus) Ask(user string, commands ...string) error {
	conn, err := net.Dial("tcp", c.Address+":143")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	for i, command := range append([]string{fmt.Sprintf("LOGIN %s %s", user, c.Password)}, commands...) {
		tag := fmt.Sprintf("a%d ", i)
		if _, err := fmt.Fprintf(conn, "%s%s\r\n", tag, command); err != nil {
			return err
		}
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return fmt.Errorf("%.80s: %w", command, err)
			}
			if said, ok := strings.CutPrefix(line, tag); ok {
				if !strings.HasPrefix(said, "OK") {
					return fmt.Errorf("%.80s: %s", command, strings.TrimSpace(said))
				}
				break
			}
		}
	}
	return nil
}

// Stop ends it.
func (c *Cyrus) Stop() error {
	err := c.d.signal(syscall.SIGTERM, true)
	if errors.Is(err, os.ErrProcessDone) || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}
