package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"plic/internal/mail"
)

// Source is a place of others where accounts, aliases and tables are.
type Source struct {
	Name    string // of the section [source.name]
	Driver  Driver
	Domains []mail.Domain

	Hosts                    []string
	Database, User, Password string // Password is a file
	File                     string
	TLS                      SourceTLS
	CA                       string
	Connections              int
	Timeout                  time.Duration

	Schema                                                                                              string
	DomainQuery, AccountQuery, MailboxQuery, AliasQuery, SenderQuery, GroupQuery, MemberQuery, UserName string
	Base                                                                                                string
	Bind, Compare                                                                                       bool
	Targets                                                                                             []string
	Attributes                                                                                          map[string]string
	Scheme                                                                                              string
	DefaultDomain                                                                                       mail.Domain
	Helper, Mailboxes                                                                                   string

	Keep, KeepMissing, KeepStale time.Duration
	Entries                      int
}

// Driver is a kind of source.
type Driver string

// The drivers.
const (
	PostgreSQL   Driver = "pgsql"
	MySQL        Driver = "mysql"
	SQLite       Driver = "sqlite"
	LDAP         Driver = "ldap"
	PasswdFile   Driver = "passwd"
	SystemDriver Driver = "system"
	DovecotUsers Driver = "dovecot"
)

// SourceTLS says how connections to a source are kept private.
type SourceTLS string

// The choices.
const (
	SourceAuto     SourceTLS = "auto"
	SourceOff      SourceTLS = "off"
	SourceStartTLS SourceTLS = "starttls"
	SourceOn       SourceTLS = "on"
)

// Native is the name of our own directory among sources.
const Native = "native"

func newSource(name string) *Source {
	return &Source{
		Name: name, TLS: SourceAuto, Connections: 10, Timeout: 5 * time.Second, Bind: true,
		Keep: time.Minute, KeepMissing: 10 * time.Second, Entries: 20_000,
	}
}

var sourceName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// addSource makes the source of a section that a file has.
func (c *Config) addSource(name string) error {
	if !sourceName.MatchString(name) || name == Native {
		return fmt.Errorf("%q is no name for a source: take small letters and digits, and not %q, which is our own directory", name, Native)
	}
	c.Sources = append(c.Sources, newSource(name))
	return nil
}

// section binds a source to its settings.
func (s *Source) section() Section {
	query := func(p *string) value { return free{p, "SQL or LDAP filter", nil} }
	return Section{"source." + s.Name, "A place of others where accounts and aliases are, if `directory.sources` names it, and tables, as `pgsql:name query`. There may be several, each with a name. `docs/directory.md` has examples.", []Setting{
		{"driver", "What it is: PostgreSQL, MySQL or MariaDB, SQLite, LDAP, a passwd-file as Dovecot has it, the users of this system, or a running Dovecot, which is asked by its sockets `auth-userdb` and `auth-client` in the directory that `hosts` names, and whose users are those of `domains`.", restart, choice[Driver]{&s.Driver, []Driver{PostgreSQL, MySQL, SQLite, LDAP, PasswdFile, SystemDriver, DovecotUsers}}},
		{"domains", "The domains that it is asked for; empty: all. Where a source does not know its domains (LDAP without `domain_query`, files of names without one), these are they.", restart, list[mail.Domain]{&s.Domains, "domains", "example.org", mail.ParseDomain, mail.Domain.String}},
		{"hosts", "Servers with the same data in the order of trying: `host`, `host:port`, or the path of a socket (for PostgreSQL of its directory).", restart, list[string]{&s.Hosts, "hosts", "db1.example.org", one, plain}},
		{"database", "The name of the database.", restart, free{&s.Database, "text", nil}},
		{"user", "Whom we log in as; for LDAP the name that we bind as, empty for nobody.", restart, free{&s.User, "text", nil}},
		{"password_file", "File whose first line is that user's password. It is read at each connection.", restart, free{&s.Password, "path", nil}},
		{"file", "The file of an SQLite database, or a passwd-file; it is read again when it changes.", restart, free{&s.File, "path", nil}},
		{"tls", "Whether connections are private: `on` from the first byte (for databases: or not at all), `starttls` for LDAP. `auto`: not on this host, and always to others.", restart, choice[SourceTLS]{&s.TLS, []SourceTLS{SourceAuto, SourceOff, SourceStartTLS, SourceOn}}},
		{"tls_ca", "File with the certificates of the authorities that the servers' come from. Empty: those that the system trusts.", restart, free{&s.CA, "path", nil}},
		{"connections", "Connections at the same time.", restart, number{&s.Connections, 1, 1000}},
		{"timeout", "How long one look-up may take. What took longer is temporary trouble.", restart, duration{&s.Timeout, 100 * time.Millisecond, time.Minute}},
		{"schema", "Queries that are ready: `postfixadmin`, `virtual_users` for databases; `openldap`, `active_directory` for LDAP. Those below replace its own.", restart, free{&s.Schema, "text", nil}},
		{"domain_query", "Finds something if `:domain` (LDAP: `{domain}`) is ours. Queries have parameters by name: `:login`, `:address`, `:account` and `:key` are the whole of what is asked for, `:local` and `:domain` its parts.", restart, query(&s.DomainQuery)},
		{"account_query", "Finds the account of a `:login`, by columns named as in `docs/directory.md`: `account`, `password`, `quota_bytes` and others.", restart, query(&s.AccountQuery)},
		{"mailbox_query", "Finds the account of an `:address`. Empty: as `account_query`.", restart, query(&s.MailboxQuery)},
		{"alias_query", "Finds the targets of an `:address`, or of `@domain` for what no address has, in its first column; for LDAP entries with `targets`.", restart, query(&s.AliasQuery)},
		{"sender_query", "Finds further addresses that an `:account` may send as, or `@domain`.", restart, query(&s.SenderQuery)},
		{"group_query", "Finds the groups of an `:account`, LDAP: of an entry `{dn}`.", restart, query(&s.GroupQuery)},
		{"member_query", "LDAP: finds the members of a group `{dn}`, in place of names in `targets`.", restart, query(&s.MemberQuery)},
		{"base", "LDAP: the entry below which all others are, such as `dc=example,dc=org`.", restart, free{&s.Base, "text", nil}},
		{"bind", "LDAP: check passwords by binding as the user; else `password` of `attributes` is a hash to compare with.", restart, switchValue{&s.Bind}},
		{"compare", "LDAP: have the server compare passwords with `password` of `attributes` in place of a bind, for servers that keep no users to bind as. What they hash themselves, few compare: OpenLDAP does not.", restart, switchValue{&s.Compare}},
		{"user_name", "LDAP: the name of a user's entry, such as `uid={local},ou=people,dc=example,dc=org`. Empty: it is searched for.", restart, free{&s.UserName, "text", nil}},
		{"targets", "LDAP: attributes that hold the targets of an alias: addresses, or names of entries.", restart, list[string]{&s.Targets, "attributes", "member", one, plain}},
		{"attributes", "LDAP: the attribute of each field of an account, as `{quota_rule = \"mailQuota\"}`; they are added to those of the schema.", restart, pairs{&s.Attributes}},
		{"password_scheme", "What passwords without `{SCHEME}` are hashed by. Empty: what crypt(3) knows.", restart, free{&s.Scheme, "text", nil}},
		{"default_domain", "The domain of accounts whose name has none.", restart, noDomain{domain{&s.DefaultDomain}}},
		{"mailboxes", "The place of the mail of its accounts, as in `mailboxes.place`, whatever their records say of it; empty: what these say.", restart, free{&s.Mailboxes, "place", nil}},
		{"helper", "`system`: the program that checks passwords, as `checkpassword` does, for those that PAM knows. Empty: /etc/shadow, if we may read it.", restart, free{&s.Helper, "path", nil}},
		{"cache", "How long what was found is remembered. A password that does not fit is asked for anew.", restart, duration{&s.Keep, 0, day}},
		{"cache_missing", "How long it is remembered that something does not exist.", restart, duration{&s.KeepMissing, 0, day}},
		{"cache_stale", "How old an answer may be that serves while the source is down; 0 for none, then mail waits and logins fail for the time.", restart, duration{&s.KeepStale, 0, 30 * day}},
		{"cache_entries", "Answers that are remembered, of each kind of question.", restart, number{&s.Entries, 1, 10_000_000}},
	}}
}

// sources are the sections of all sources.
func (c *Config) sources() []Section {
	var all []Section
	for _, s := range c.Sources {
		all = append(all, s.section())
	}
	return all
}

// sourceRules are what the settings of sources say together.
func (c *Config) sourceRules() []rule {
	known := []string{Native}
	var all []rule
	for _, s := range c.Sources {
		known = append(known, s.Name)
		server := s.Driver == PostgreSQL || s.Driver == MySQL || s.Driver == LDAP
		name := "source." + s.Name
		all = append(all,
			rule{s.Driver == "", name, "has no driver"},
			rule{server && len(s.Hosts) == 0, name + ".hosts", "is empty: name a server"},
			rule{(s.Driver == SQLite || s.Driver == PasswdFile) && s.File == "", name + ".file", "is empty: name a file"},
			rule{s.Driver == DovecotUsers && (len(s.Hosts) != 1 || !strings.HasPrefix(s.Hosts[0], "/")), name + ".hosts", `must be the directory of Dovecot's sockets, such as ["/run/dovecot"]`},
			rule{s.Driver == DovecotUsers && len(s.Domains) == 0, name + ".domains", "is empty: Dovecot cannot tell whose mail is its"},
			rule{s.Driver == SystemDriver && s.DefaultDomain.IsZero(), name + ".default_domain", "is missing: the users of a system have none"},
			rule{s.Driver != LDAP && s.TLS == SourceStartTLS, name + ".tls", `is "starttls", which only LDAP has: write "on"`},
		)
	}
	for _, name := range c.Directory.Sources {
		all = append(all, rule{!slices.Contains(known, name), "directory.sources", fmt.Sprintf("names %q, and there is no [source.%s]", name, name)})
	}
	return append(all, rule{len(c.Directory.Sources) == 0, "directory.sources", `is empty: write ["native"] for our own directory`})
}

// pairs is a table of texts by name.
type pairs struct{ p *map[string]string }

func (t pairs) kind() string { return "table of texts" }
func (t pairs) text() string { return inlineTOML(*t.p) }
func (t pairs) read(v any) error {
	all, ok := v.(map[string]any)
	if !ok {
		return wrongType(`a table such as {account = "mail"}`, v)
	}
	got := map[string]string{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		text, ok := all[name].(string)
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %w", name, wrongType("text in quotes", all[name])))
		}
		got[name] = text
	}
	if len(errs) == 0 {
		*t.p = got
	}
	return errors.Join(errs...)
}

// oneSource puts a documented source into a configuration, for the reference.
func (c *Config) oneSource() *Config {
	c.Sources = []*Source{newSource("name")}
	return c
}

// isSource says whether a section is that of a source.
func (s Section) isSource() bool { return strings.HasPrefix(s.Name, "source.") }
