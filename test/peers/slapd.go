package peers

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Slapd is an OpenLDAP server on port 1389 of its address, and on the socket
// "ldapi" in its directory.
type Slapd struct {
	Dir     string // made if missing, and used again if it is there
	Address string
	Suffix  string // "dc=plic,dc=test"; its administrator is cn=admin below
	// Schema are definitions beside those of core, cosine, nis and
	// inetorgperson, and Settings more of the configuration.
	Schema, Settings string
	Entries          string // LDIF to begin with
	TLS              bool   // on port 1636, too, by certificates of Settings
	daemon           daemon
}

// SlapdPassword is that of cn=admin.
const SlapdPassword = "secret"

const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/misc.schema
{{.Schema}}
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {{.Dir}}/pid
{{.Settings}}
database mdb
suffix "{{.Suffix}}"
rootdn "cn=admin,{{.Suffix}}"
rootpw ` + SlapdPassword + `
directory {{.Dir}}/data
maxsize 67108864
dbnosync
access to attrs=userPassword by anonymous auth by self write by * none
access to * by users read by * none
`

// Start runs it until Stop or Kill.
func (s *Slapd) Start(ctx context.Context) error {
	server, err := found("slapd", "/usr/sbin")
	if err != nil {
		return err
	}
	s.daemon.dir, s.daemon.user = s.Dir, "openldap"
	if err := s.daemon.make(); err != nil {
		return err
	}
	data, conf := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "slapd.conf")
	if _, err := os.Stat(data); err != nil {
		if err := write(conf, slapdConf, s); err != nil {
			return err
		}
		if _, err := s.daemon.run("", "mkdir", data); err != nil {
			return err
		}
		if _, err := s.daemon.run(s.Entries, "/usr/sbin/slapadd", "-q", "-f", conf); err != nil {
			return err
		}
	}
	secure := ""
	if s.TLS {
		secure = "ldaps://" + s.Address + ":1636/ "
	}
	if err := s.daemon.start(server, "-f", conf, "-d", "0", "-h", secure+"ldap://"+s.Address+":1389/ ldapi://"+strings.ReplaceAll(filepath.Join(s.Dir, "ldapi"), "/", "%2F")); err != nil {
		return err
	}
	return s.daemon.up(ctx, listens(s.Address+":1389"))
}

// Replace has other entries in place of those that are there.
func (s *Slapd) Replace(ctx context.Context, entries string) error {
	if err := s.Stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(s.Dir, "data")); err != nil {
		return err
	}
	s.Entries = entries
	return s.Start(ctx)
}

// Stop ends it in order.
func (s *Slapd) Stop() error { return s.daemon.signal(syscall.SIGTERM, true) }

// Kill ends it at once.
func (s *Slapd) Kill() error { return s.daemon.signal(syscall.SIGKILL, true) }

// Freeze has it answer nothing, until Thaw.
func (s *Slapd) Freeze() error { return s.daemon.signal(syscall.SIGSTOP, false) }

// Thaw ends Freeze.
func (s *Slapd) Thaw() error { return s.daemon.signal(syscall.SIGCONT, false) }

// Log is the end of what it wrote.
func (s *Slapd) Log() string { return s.daemon.log() }
