package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"plic/internal/config"
	"plic/internal/directory"
	"plic/internal/directory/cached"
	"plic/internal/directory/chain"
	"plic/internal/directory/database"
	"plic/internal/directory/dovecot"
	"plic/internal/directory/ldap"
	"plic/internal/directory/passwd"
	"plic/internal/directory/source"
	"plic/internal/table"
	"plic/internal/vfs"
)

// sources are the places of others that settings name.
type sources struct {
	settings  map[string]*config.Source
	databases map[string]*database.Database
	servers   map[string]*ldap.Server
	open      []io.Closer
	lookups   *lookups
}

func (s *sources) close() error {
	var errs []error
	for _, c := range s.open {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// openSources opens all sources, and makes one directory of those that are
// asked for people. Nothing is connected yet.
func (s *site) openSources() error {
	c := s.config
	s.sources = &sources{settings: map[string]*config.Source{}, databases: map[string]*database.Database{}, servers: map[string]*ldap.Server{}, lookups: newLookups()}
	for _, x := range c.Sources {
		s.sources.settings[x.Name] = x
		if err := s.sources.connect(x); err != nil {
			return fmt.Errorf("source.%s: %w", x.Name, err)
		}
	}
	o := chain.Options{Postmaster: c.Directory.Postmaster, Separator: c.Directory.PlusSeparator, Observe: s.sources.lookups.step}
	for _, name := range c.Directory.Sources {
		if name == config.Native {
			o.Sources = append(o.Sources, chain.Source{Name: name, Directory: s.directory})
			continue
		}
		x := s.sources.settings[name]
		d, err := s.sources.directory(x, c.Directory.PlusSeparator, s)
		if err != nil {
			return fmt.Errorf("source.%s: %w", name, err)
		}
		domains := x.Domains
		if x.Driver == config.PasswdFile || x.Driver == config.SystemDriver {
			domains = nil // which there are more than those of the file
		}
		o.Sources = append(o.Sources, chain.Source{Name: name, Domains: domains, Directory: cached.New(d, s.sources.memory(x))})
	}
	s.people = &everyone{Directory: chain.New(o), store: s.store, log: s.log}
	return nil
}

// memory is how long answers of a source are remembered.
func (s *sources) memory(x *config.Source) cached.Options {
	return cached.Options{
		Name: x.Name, Keep: x.Keep, Missing: x.KeepMissing, Stale: x.KeepStale, Entries: x.Entries, Timeout: 2 * x.Timeout,
		Observe: s.lookups.of(x.Name),
	}
}

// connect makes the connection of a source to be.
func (s *sources) connect(x *config.Source) error {
	trust, err := pool(x.CA)
	if err != nil {
		return fmt.Errorf("tls_ca: %w", err)
	}
	secure := func(host string) *tls.Config {
		return &tls.Config{ServerName: host, RootCAs: trust, MinVersion: tls.VersionTLS12}
	}
	switch x.Driver {
	case config.PostgreSQL, config.MySQL, config.SQLite:
		d, err := database.Open(database.Options{
			Kind: database.Kind(x.Driver), Hosts: x.Hosts, Database: x.Database, User: x.User, Password: firstLine(x.Password), File: x.File,
			Connections: x.Connections, Timeout: x.Timeout,
			TLS: func(host string) *tls.Config {
				if x.TLS == config.SourceOff || x.TLS == config.SourceAuto && near(host) {
					return nil
				}
				return secure(host)
			},
		})
		if err != nil {
			return err
		}
		s.databases[x.Name], s.open = d, append(s.open, d)
	case config.LDAP:
		d, err := ldap.Open(ldap.Options{
			Hosts: x.Hosts, Security: ldapSecurity(x), TLS: secure, BindDN: x.User, Password: firstLine(x.Password), Connections: x.Connections, Timeout: x.Timeout,
		})
		if err != nil {
			return err
		}
		s.servers[x.Name], s.open = d, append(s.open, d)
	}
	return nil
}

// ldapSecurity is how connections to LDAP servers are kept private.
func ldapSecurity(x *config.Source) ldap.Security {
	if x.TLS != config.SourceAuto {
		return ldap.Security(x.TLS)
	}
	for _, host := range x.Hosts {
		if _, port, err := net.SplitHostPort(host); err == nil && port == "636" {
			return ldap.TLS
		}
	}
	for _, host := range x.Hosts {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !near(host) {
			return ldap.StartTLS
		}
	}
	return ldap.Clear
}

// near says whether a host is this one.
func near(host string) bool {
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.HasPrefix(host, "/") || host == "localhost" || err == nil && a.IsLoopback()
}

// firstLine reads the first line of a file each time; none without a file.
func firstLine(path string) func() (string, error) {
	if path == "" {
		return nil
	}
	return func() (string, error) {
		text, err := os.ReadFile(path)
		line, _, _ := strings.Cut(string(text), "\n")
		return strings.TrimSuffix(line, "\r"), err
	}
}

// directory makes the directory of a source.
func (s *sources) directory(x *config.Source, separator string, site *site) (*source.Directory, error) {
	form := source.Form{Scheme: x.Scheme, Domain: x.DefaultDomain, Mailboxes: x.Mailboxes}
	file := passwd.Options{FS: vfs.Disk(), Path: x.File, Log: site.log, Form: form, Domains: x.Domains, Separator: separator}
	switch x.Driver {
	case config.LDAP:
		q, err := searches(x)
		if err != nil {
			return nil, err
		}
		return s.servers[x.Name].Directory(q, form, separator)
	case config.PasswdFile:
		return passwd.Open(file)
	case config.DovecotUsers:
		r := dovecot.New(dovecot.Options{
			Users: filepath.Join(x.Hosts[0], "auth-userdb"), Passwords: filepath.Join(x.Hosts[0], "auth-client"),
			Domains: x.Domains, Form: form, Connections: x.Connections, Timeout: x.Timeout,
		})
		s.open = append(s.open, r)
		return source.New(r, separator), nil
	case config.SystemDriver:
		o := passwd.System{Options: file}
		if x.Helper != "" {
			o.Helper = passwd.NewHelper(x.Helper, x.Connections, x.Timeout)
		}
		return passwd.OpenSystem(o)
	}
	q := database.Queries{}
	if x.Schema != "" {
		var err error
		if q, err = database.Schema(database.Kind(x.Driver), x.Schema); err != nil {
			return nil, err
		}
	}
	replace(&q.Domain, x.DomainQuery)
	replace(&q.Account, x.AccountQuery)
	replace(&q.Mailbox, x.MailboxQuery)
	replace(&q.Aliases, x.AliasQuery)
	replace(&q.Senders, x.SenderQuery)
	replace(&q.Groups, x.GroupQuery)
	return s.databases[x.Name].Directory(q, form, separator)
}

// replace puts what settings say in the place of what a schema says.
func replace(p *string, text string) {
	if text != "" {
		*p = text
	}
}

// searches are those of a source of LDAP.
func searches(x *config.Source) (ldap.Search, error) {
	q := ldap.Search{Attributes: map[string]string{}}
	if x.Schema != "" {
		var err error
		if q, err = ldap.Schema(x.Schema); err != nil {
			return q, err
		}
	}
	q.Base, q.Domains, q.Bind, q.Compare, q.UserDN = x.Base, x.Domains, x.Bind, x.Compare, x.UserName
	replace(&q.Domain, x.DomainQuery)
	replace(&q.Account, x.AccountQuery)
	replace(&q.Mailbox, x.MailboxQuery)
	replace(&q.Alias, x.AliasQuery)
	replace(&q.Groups, x.GroupQuery)
	replace(&q.Members, x.MemberQuery)
	if len(x.Targets) > 0 {
		q.Targets = x.Targets
	}
	maps.Copy(q.Attributes, x.Attributes)
	return q, nil
}

// tables are what tables are opened with: among others by what sources have.
func (s *site) tables() table.Options {
	o := table.Options{FS: vfs.Disk(), Log: s.log, Drivers: map[string]table.Driver{}}
	for _, kind := range []config.Driver{config.PostgreSQL, config.MySQL, config.SQLite, config.LDAP} {
		o.Drivers[string(kind)] = func(argument string) (table.Table, error) { return s.sources.table(kind, argument) }
	}
	return o
}

// table opens "name query", or "name attribute filter" of LDAP.
func (s *sources) table(kind config.Driver, argument string) (table.Table, error) {
	name, query, _ := strings.Cut(strings.TrimSpace(argument), " ")
	x := s.settings[name]
	switch {
	case x == nil:
		return nil, fmt.Errorf("there is no [source.%s]", name)
	case x.Driver != kind:
		return nil, fmt.Errorf("the driver of [source.%s] is %s", name, x.Driver)
	}
	var t table.Table
	var err error
	if kind == config.LDAP {
		attribute, filter, _ := strings.Cut(strings.TrimSpace(query), " ")
		t, err = s.servers[name].Table(x.Base, strings.TrimSpace(filter), attribute)
	} else {
		t, err = s.databases[name].Table(query)
	}
	if err != nil {
		return nil, err
	}
	return cached.NewTable(t, s.memory(x)), nil
}

// domains are our domains, as far as they can be listed: those of our own
// directory, and those that settings name.
func (s *site) domains() []directory.Domain {
	all := s.directory.Domains()
	seen := map[directory.Domain]bool{}
	for _, d := range all {
		seen[d] = true
	}
	for _, name := range s.config.Directory.Sources {
		x := s.sources.settings[name]
		if x == nil {
			continue
		}
		for _, d := range append(slices.Clone(x.Domains), x.DefaultDomain) {
			if found := (directory.Domain{Name: d}); !d.IsZero() && !seen[found] {
				seen[found], all = true, append(all, found)
			}
		}
	}
	return all
}
