package database

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/directory"
	"plic/internal/directory/directorytest"
	"plic/internal/directory/source"
	"plic/internal/mail"
	"plic/internal/table"
	"plic/internal/table/tabletest"
	"plic/test/peers"
)

// server is a database for the tests, with what it takes to break it.
type server struct {
	kind   Kind
	o      Options
	exec   func(text string) (string, error)
	break_ func() error
	mend   func() error
	ahead  atomic.Int64 // of the clock, so that nobody waits for a host to be tried again
}

// later mends, and lets some time pass.
func (s *server) later() error {
	s.ahead.Add(int64(time.Minute))
	return s.mend()
}

// text is a literal, NULL if it is empty.
func (s *server) text(v string) string {
	if v == "" {
		return "NULL"
	}
	if s.kind == MySQL {
		v = strings.ReplaceAll(v, `\`, `\\`)
	}
	return "'" + strings.ReplaceAll(v, "'", "''") + "'"
}

func (s *server) must(t *testing.T, statements ...string) {
	t.Helper()
	if out, err := s.exec(strings.Join(statements, ";\n") + ";"); err != nil {
		t.Fatal(err, out)
	}
}

// fill makes tables of our own.
func (s *server) fill(t *testing.T, site directorytest.Site) {
	t.Helper()
	all := []string{}
	for _, name := range []string{"domain", "alias_domain", "mailbox", "alias", "virtual_domains", "virtual_users", "virtual_aliases", "account", "sender", "member", "domains"} {
		all = append(all, "DROP TABLE IF EXISTS "+name)
	}
	all = append(all, "CREATE TABLE domains (name varchar(255))", "CREATE TABLE account (name varchar(255), password varchar(255), disabled int, quota_bytes bigint, quota_messages bigint, home varchar(255), protocols varchar(255))",
		"CREATE TABLE sender (account varchar(255), address varchar(255))", "CREATE TABLE member (account varchar(255), name varchar(255))", "CREATE TABLE alias (address varchar(255), target varchar(255))")
	for _, d := range site.Domains {
		all = append(all, "INSERT INTO domains VALUES ("+s.text(d)+")")
	}
	number := func(n int64) string {
		if n == 0 {
			return "NULL"
		}
		return fmt.Sprint(n)
	}
	for _, a := range site.Accounts {
		disabled := "0"
		if a.Disabled {
			disabled = "1"
		}
		all = append(all, fmt.Sprintf("INSERT INTO account VALUES (%s, %s, %s, %s, %s, %s, %s)", s.text(a.Name), s.text(a.Password), disabled,
			number(a.Quota.Bytes), number(a.Quota.Messages), s.text(a.Home), s.text(strings.Join(a.Protocols, ","))))
		for _, x := range a.Senders {
			all = append(all, fmt.Sprintf("INSERT INTO sender VALUES (%s, %s)", s.text(a.Name), s.text(x)))
		}
		for _, x := range a.Groups {
			all = append(all, fmt.Sprintf("INSERT INTO member VALUES (%s, %s)", s.text(a.Name), s.text(x)))
		}
	}
	for name, targets := range site.Aliases {
		for _, x := range targets {
			all = append(all, fmt.Sprintf("INSERT INTO alias VALUES (%s, %s)", s.text(name), s.text(x)))
		}
	}
	s.must(t, all...)
}

func queries() Queries {
	return Queries{
		Domain: "SELECT 1 FROM domains WHERE name = :domain", Account: "SELECT a.*, name AS account FROM account a WHERE name = :login",
		Aliases: "SELECT target FROM alias WHERE address = :address", Senders: "SELECT address FROM sender WHERE account = :account", Groups: "SELECT name FROM member WHERE account = :account",
	}
}

func (s *server) open(t *testing.T) *Database {
	t.Helper()
	o := s.o
	o.Kind, o.Timeout = s.kind, 20*time.Second // of a machine under load
	o.Now = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	d, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func (s *server) directory(t *testing.T, q Queries, form source.Form) directory.Directory {
	t.Helper()
	d, err := s.open(t).Directory(q, form, "+")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// all runs every test that a kind of database has to pass.
func (s *server) all(t *testing.T) {
	t.Run("Directory", func(t *testing.T) {
		directorytest.Suite{
			Open: func(t *testing.T, site directorytest.Site) directory.Directory {
				s.fill(t, site)
				return s.directory(t, queries(), source.Form{Scheme: "PLAIN"})
			},
			Break: s.trouble(s.break_), Mend: s.trouble(s.later),
		}.Run(t)
	})
	t.Run("Table", func(t *testing.T) {
		tabletest.Suite{
			Open: func(t *testing.T, pairs map[string]string) table.Table {
				all := []string{"DROP TABLE IF EXISTS pair", "CREATE TABLE pair (name varchar(500), value varchar(500))"}
				for k, v := range pairs {
					all = append(all, fmt.Sprintf("INSERT INTO pair VALUES (%s, %s)", s.text(strings.ToLower(k)), s.text(v)))
				}
				s.must(t, all...)
				tab, err := s.open(t).Table("SELECT value FROM pair WHERE name = :key")
				if err != nil {
					t.Fatal(err)
				}
				return tab
			},
			Break: s.trouble(s.break_), Mend: s.trouble(s.later),
		}.Run(t)
	})
	t.Run("PostfixAdmin", s.postfixadmin)
	t.Run("VirtualUsers", s.virtualUsers)
	t.Run("Trouble", s.odd)
}

func (s *server) trouble(do func() error) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
}

const hello = "{SHA512-CRYPT}$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1" // "Hello world!"

// cases are what addresses lead to.
func cases(t *testing.T, d directory.Directory, all map[string]string) {
	t.Helper()
	for address, want := range all {
		if got := directorytest.Text(d.Resolve(t.Context(), mail.MustAddress(address))); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// postfixadmin has tables as PostfixAdmin makes them, as far as they are asked.
func (s *server) postfixadmin(t *testing.T) {
	truth := "int"
	if s.kind == PostgreSQL {
		truth = "boolean"
	}
	yes, no := map[bool]string{true: "true", false: "1"}[truth == "boolean"], map[bool]string{true: "false", false: "0"}[truth == "boolean"]
	s.fill(t, directorytest.Site{})
	s.must(t, "DROP TABLE alias",
		"CREATE TABLE domain (domain varchar(255), description varchar(255), quota bigint, backupmx "+truth+", active "+truth+")",
		"CREATE TABLE alias_domain (alias_domain varchar(255), target_domain varchar(255), active "+truth+")",
		"CREATE TABLE mailbox (username varchar(255), password varchar(255), name varchar(255), maildir varchar(255), quota bigint, local_part varchar(255), domain varchar(255), active "+truth+")",
		"CREATE TABLE alias (address varchar(255), goto text, domain varchar(255), active "+truth+")",
		fmt.Sprintf("INSERT INTO domain VALUES ('ALL', '', 0, %s, %s), ('plic.test', '', 0, %s, %s), ('backup.test', '', 0, %s, %s), ('off.test', '', 0, %s, %s)", no, yes, no, yes, yes, yes, no, no),
		fmt.Sprintf("INSERT INTO alias_domain VALUES ('old.test', 'plic.test', %s)", yes),
		fmt.Sprintf("INSERT INTO mailbox VALUES ('ann@plic.test', %s, 'Ann', 'plic.test/ann/', 1048576, 'ann', 'plic.test', %s), ('bob@plic.test', 'x', 'Bob', 'plic.test/bob/', 0, 'bob', 'plic.test', %s)", s.text(hello), yes, no),
		fmt.Sprintf("INSERT INTO alias VALUES ('ann@plic.test', 'ann@plic.test', 'plic.test', %s), ('bob@plic.test', 'bob@plic.test,copy@elsewhere.test', 'plic.test', %[1]s), ('team@plic.test', 'ann@plic.test,x@elsewhere.test', 'plic.test', %[1]s), ('off@plic.test', 'ann@plic.test', 'plic.test', %[2]s), ('@plic.test', 'ann@plic.test', 'plic.test', %[1]s)", yes, no))
	q, err := Schema(s.kind, "postfixadmin")
	if err != nil {
		t.Fatal(err)
	}
	d := s.directory(t, q, source.Form{})
	for name, want := range map[string]bool{"plic.test": true, "old.test": true, "backup.test": false, "off.test": false, "all": false, "x.test": false} {
		if _, err := d.Domain(t.Context(), mail.MustDomain(name)); want != (err == nil) || err != nil && !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("domain %s: %v", name, err)
		}
	}
	cases(t, d, map[string]string{
		"ann@plic.test": "ann@plic.test", "ann+x@plic.test": "ann@plic.test x", "bob@plic.test": "bob@plic.test-> copy@elsewhere.test",
		"team@plic.test": "-> ann@plic.test x@elsewhere.test", "off@plic.test": "-> ann@plic.test all", "ann@old.test": "-> ann@plic.test",
		"team@old.test": "-> ann@plic.test x@elsewhere.test", "nobody@old.test": "-> ann@plic.test all", "nobody@x.test": "-",
	})
	if ok, err := directorytest.Verify(t.Context(), d, "Ann@plic.test", "Hello world!"); !ok || err != nil {
		t.Errorf("password: %v, %v", ok, err)
	}
	ann, err1 := d.Account(t.Context(), "ann@plic.test")
	bob, err2 := d.Account(t.Context(), "bob@plic.test")
	if ann.Quota.Bytes != 1<<20 || ann.Disabled || bob.Quota.Bytes != directory.Unlimited || !bob.Disabled || err1 != nil || err2 != nil {
		t.Errorf("%+v, %v; %+v, %v", ann, err1, bob, err2)
	}
}

// virtualUsers has the tables of the how-tos.
func (s *server) virtualUsers(t *testing.T) {
	s.fill(t, directorytest.Site{})
	s.must(t,
		"CREATE TABLE virtual_domains (id int, name varchar(50))",
		"CREATE TABLE virtual_users (id int, domain_id int, email varchar(100), password varchar(150), quota bigint)",
		"CREATE TABLE virtual_aliases (id int, domain_id int, source varchar(100), destination varchar(100))",
		"INSERT INTO virtual_domains VALUES (1, 'plic.test')",
		"INSERT INTO virtual_users VALUES (1, 1, 'ann@plic.test', "+s.text(hello)+", 1048576), (2, 1, 'bob@plic.test', 'x', 0)",
		"INSERT INTO virtual_aliases VALUES (1, 1, 'team@plic.test', 'ann@plic.test'), (2, 1, 'team@plic.test', 'x@elsewhere.test'), (3, 1, '@plic.test', 'bob@plic.test')")
	q, err := Schema(s.kind, "virtual_users")
	if err != nil {
		t.Fatal(err)
	}
	d := s.directory(t, q, source.Form{})
	cases(t, d, map[string]string{"ann@plic.test": "ann@plic.test", "ann+x@plic.test": "ann@plic.test x", "team@plic.test": "-> ann@plic.test x@elsewhere.test", "x@plic.test": "-> bob@plic.test all", "x@x.test": "-"})
	if ok, err := directorytest.Verify(t.Context(), d, "ann@plic.test", "Hello world!"); !ok || err != nil {
		t.Errorf("password: %v, %v", ok, err)
	}
	if ann, err := d.Account(t.Context(), "ann@plic.test"); ann.Quota.Bytes != 1<<20 || err != nil {
		t.Errorf("%+v, %v", ann, err)
	}
}

// odd has queries that fail or find too much: trouble, and never an answer.
func (s *server) odd(t *testing.T) {
	s.fill(t, directorytest.Site{Accounts: []directorytest.Account{{Name: "ann@plic.test"}, {Name: "bob@plic.test"}}})
	q := queries()
	for name, text := range map[string]string{
		"two accounts": "SELECT name AS account FROM account", "no account": "SELECT 1 AS x", "no such table": "SELECT name AS account FROM nowhere WHERE name = :login",
		"no SQL": "find :login", "a bad name": "SELECT 'x' AS account", "a bad number": "SELECT 'a@b.test' AS account, 'x' AS uid",
	} {
		q.Account = text
		if a, err := s.directory(t, q, source.Form{}).Account(t.Context(), "ann@plic.test"); err == nil || errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	d := s.directory(t, queries(), source.Form{})
	for i := range 3 {
		if a, err := d.Account(t.Context(), "ann@plic.test"); err != nil || a.Name != "ann@plic.test" {
			t.Errorf("a table that has changed: %+v, %v", a, err)
		}
		s.must(t, fmt.Sprintf("ALTER TABLE account ADD COLUMN more%d int", i))
	}
	if _, err := s.open(t).Directory(Queries{Domain: "SELECT :x", Account: "SELECT 1"}, source.Form{}, ""); err == nil {
		t.Error("a query with an unknown parameter")
	}
	if _, err := s.open(t).Directory(Queries{Domain: "SELECT 1"}, source.Form{}, ""); err == nil {
		t.Error("no query for accounts")
	}
}

// short is a directory with a short path, where sockets may be and other users
// come.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "plic-db-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func password() (string, error) { return peers.DatabasePassword, nil }

// A6 is among what the suite asks for, and the server's own log shows what it got.
func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	p := &peers.PostgreSQL{Dir: short(t) + "/p", Address: peers.Loopback()}
	peers.Started(t, p.Start(t.Context()))
	t.Cleanup(func() { p.Kill() })
	s := &server{
		kind: PostgreSQL, exec: p.Exec, break_: p.Kill, mend: func() error { return p.Start(t.Context()) },
		// A host that is not there comes first; the other is the same by another way.
		o: Options{Hosts: []string{peers.Loopback(), p.Address, p.Dir}, User: peers.DatabaseUser, Database: peers.DatabaseName, Password: password},
	}
	s.all(t)
	t.Run("Bound", func(t *testing.T) { s.bound(t, p.Log) })
}

// bound reads in the server's own log that what strangers write is a parameter.
func (s *server) bound(t *testing.T, log func() string) {
	s.fill(t, directorytest.Site{})
	s.must(t, "ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")
	d := s.directory(t, queries(), source.Form{})
	for _, name := range []string{"' or 1=1--", `\'`, "ann'; drop table account; --"} {
		for !strings.Contains(log(), "LOG:  execute") { // until the server has read its settings
			if _, err := d.Account(t.Context(), "x@plic.test"); !errors.Is(err, directory.ErrNotFound) {
				t.Fatal(err)
			}
		}
		if _, err := d.Account(t.Context(), name); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
		if want := "= '" + strings.ReplaceAll(name, "'", "''") + "'"; !strings.Contains(log(), want) {
			t.Errorf("no parameter %s in the log of the server:\n%s", want, log())
		}
		if want := "WHERE name = $1"; !strings.Contains(log(), want) {
			t.Errorf("no %s in the log of the server:\n%s", want, log())
		}
	}
}

// A6 is among what the suite asks for.
func TestMariaDB(t *testing.T) {
	t.Parallel()
	m := &peers.MariaDB{Dir: short(t) + "/m", Address: peers.Loopback()}
	peers.Started(t, m.Start(t.Context()))
	t.Cleanup(func() { m.Kill() })
	(&server{
		kind: MySQL, exec: m.Exec, break_: m.Kill, mend: func() error { return m.Start(t.Context()) },
		o: Options{Hosts: []string{m.Address + ":3306", m.Dir + "/socket"}, User: peers.DatabaseUser, Database: peers.DatabaseName, Password: password},
	}).all(t)
}

// A6 is among what the suite asks for.
func TestSQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mail #1?.db")
	writer, err := sql.Open("sqlite", "file:"+strings.NewReplacer("#", "%23", "?", "%3f", " ", "%20").Replace(path)+"?_pragma=journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { writer.Close() })
	(&server{
		kind: SQLite, o: Options{File: path},
		exec: func(text string) (string, error) { _, err := writer.Exec(text); return "", err },
		// A table that is locked away is as much trouble as a file that is not there.
		break_: func() error {
			for _, name := range []string{"account", "alias", "domains", "pair"} {
				if _, err := writer.Exec("ALTER TABLE IF EXISTS " + name + " RENAME TO gone_" + name); err != nil {
					writer.Exec("ALTER TABLE " + name + " RENAME TO gone_" + name)
				}
			}
			return nil
		},
		mend: func() error {
			for _, name := range []string{"account", "alias", "domains", "pair"} {
				writer.Exec("ALTER TABLE gone_" + name + " RENAME TO " + name)
			}
			return nil
		},
	}).all(t)
}
