// Package directory tests from end to end that the users a site has elsewhere
// are plic's: in real PostgreSQL, MariaDB and OpenLDAP, in SQLite and in files;
// and that a place that is down delays mail and logins, and loses nothing.
package directory

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"plic/test/peers"
	"plic/test/world"
)

var binary string

func TestMain(m *testing.M) { os.Exit(world.Main(m, &binary)) }

func must(t *testing.T, err error) {
	t.Helper()
	peers.Started(t, err)
}

// tables are those of the how-tos, with two people and an alias of a domain.
func tables(domain string) string {
	return strings.ReplaceAll(`CREATE TABLE virtual_domains (id int, name varchar(50));
CREATE TABLE virtual_users (id int, domain_id int, email varchar(100), password varchar(150), quota bigint);
CREATE TABLE virtual_aliases (id int, domain_id int, source varchar(100), destination varchar(100));
CREATE TABLE transports (name varchar(100), way varchar(100));
INSERT INTO virtual_domains VALUES (1, 'DOMAIN');
INSERT INTO virtual_users VALUES (1, 1, 'ann@DOMAIN', '{PLAIN}secret of ann', 1048576), (2, 1, 'bob@DOMAIN', '{PLAIN}secret of bob', 0);
INSERT INTO virtual_aliases VALUES (1, 1, 'team@DOMAIN', 'ann@DOMAIN'), (2, 1, 'team@DOMAIN', 'bob@DOMAIN');
`, "DOMAIN", domain)
}

// ldif is the same.
func ldif(domain string) string {
	text := "dn: dc=plic,dc=test\nobjectClass: dcObject\nobjectClass: organization\no: plic\ndc: plic\n\n"
	for _, name := range []string{"ann", "bob"} {
		text += fmt.Sprintf("dn: uid=%s,dc=plic,dc=test\nobjectClass: inetOrgPerson\nobjectClass: extensibleObject\nuid: %[1]s\ncn: %[1]s\nsn: x\nmail: %[1]s@%s\nuserPassword: secret of %[1]s\n", name, domain)
		if name == "ann" {
			text += "description: *:storage=1M\n"
		}
		text += "\n"
	}
	return text + fmt.Sprintf("dn: cn=team,dc=plic,dc=test\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: team\nmail: team@%s\nmember: uid=ann,dc=plic,dc=test\nmember: uid=bob,dc=plic,dc=test\n", domain)
}

// source is a section of settings.
func source(name string, settings map[string]string) map[string]string {
	all := map[string]string{}
	for k, v := range settings {
		if !strings.HasPrefix(v, "[") && !strings.HasPrefix(v, "{") {
			v = fmt.Sprintf("%q", v)
		}
		all["source."+name+"."+k] = v
	}
	return all
}

// world with all kinds of sources, each with a domain of its name.
func everywhere(t *testing.T, w *world.World, more map[string]string) (*world.Plic, *peers.PostgreSQL, *peers.Slapd) {
	t.Helper()
	pg := &peers.PostgreSQL{Dir: w.Dir + "/pg", Address: w.Address()}
	maria := &peers.MariaDB{Dir: w.Dir + "/maria", Address: w.Address()}
	slapd := &peers.Slapd{Dir: w.Dir + "/slapd", Address: w.Address(), Suffix: "dc=plic,dc=test", Entries: ldif("ldap.test")}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i, start := range []func() error{func() error { return pg.Start(t.Context()) }, func() error { return maria.Start(t.Context()) }, func() error { return slapd.Start(t.Context()) }} {
		wg.Go(func() { errs[i] = start() })
	}
	wg.Wait()
	t.Cleanup(func() { pg.Kill(); maria.Kill(); slapd.Kill() })
	must(t, errors.Join(errs...))
	_, err := pg.Exec(tables("pgsql.test"))
	must(t, err)
	_, err = maria.Exec(tables("mysql.test"))
	must(t, err)
	_, err = pg.Exec("INSERT INTO transports VALUES ('elsewhere.test', 'smtp:[127.0.0.9]')")
	must(t, err)
	must(t, os.WriteFile(w.Dir+"/db.secret", []byte(peers.DatabasePassword+"\n"), 0o600))
	must(t, os.WriteFile(w.Dir+"/users", []byte("ann@passwd.test:{PLAIN}secret of ann::::::userdb_quota_rule=*:storage=1M\nbob@passwd.test:{PLAIN}secret of bob\n"), 0o600))
	db, err := sql.Open("sqlite", w.Dir+"/mail.db")
	must(t, err)
	defer db.Close()
	_, err = db.Exec(tables("sqlite.test"))
	must(t, err)

	p := w.NewPlic(t, world.Site{Host: "mx.site.test"})
	settings := map[string]string{
		"directory.sources": `["native", "pg", "maria", "ldap", "lite", "file"]`, "directory.postmaster": `"ann@pgsql.test"`,
		"auth.trusted_networks": `["127.0.0.0/8"]`, // one host is all that people log in from
		"route.transports":      `["pgsql:pg SELECT way FROM transports WHERE name = :key"]`,
	}
	common := map[string]string{"schema": "virtual_users", "database": peers.DatabaseName, "user": peers.DatabaseUser, "password_file": w.Dir + "/db.secret"}
	with := func(m map[string]string, pairs ...string) map[string]string {
		all := map[string]string{}
		for k, v := range m {
			all[k] = v
		}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = pairs[i+1]
		}
		return all
	}
	for name, x := range map[string]map[string]string{
		"pg":    with(common, "driver", "pgsql", "hosts", `["`+pg.Address+`"]`, "domains", `["pgsql.test"]`),
		"maria": with(common, "driver", "mysql", "hosts", `["`+maria.Address+`"]`, "domains", `["mysql.test"]`),
		"ldap":  with(nil, "driver", "ldap", "schema", "openldap", "hosts", `["`+slapd.Address+`:1389"]`, "base", "dc=plic,dc=test", "user", "cn=admin,dc=plic,dc=test", "password_file", w.Dir+"/db.secret", "domains", `["ldap.test"]`, "attributes", `{quota_rule = "description"}`),
		"lite":  with(nil, "driver", "sqlite", "schema", "virtual_users", "file", w.Dir+"/mail.db", "domains", `["sqlite.test"]`),
		"file":  with(nil, "driver", "passwd", "file", w.Dir+"/users"),
	} {
		for k, v := range source(name, x) {
			settings[k] = v
		}
	}
	for k, v := range more {
		settings[k] = v
	}
	p.Configure(t, settings)
	p.Start(t)
	return p, pg, slapd
}

// text is a message with a subject that no other has.
func text(from, to, subject string) string {
	return fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%[3]s@test>\r\n\r\nHello.\r\n", from, to, subject)
}

// login opens a session of IMAP.
func login(t *testing.T, p *world.Plic, user, password string) *world.Conn {
	t.Helper()
	c := p.World.Dial(t, "", p.Address+":993", p.Host)
	c.Handshake()
	c.Line()
	c.IMAPOK("LOGIN %s %q", user, password)
	return c
}

// TestEverywhere has people of every kind of source log in by every protocol,
// send and get mail.
func TestEverywhere(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.76.150")
	p, _, _ := everywhere(t, w, nil)
	for _, domain := range []string{"pgsql.test", "mysql.test", "ldap.test", "sqlite.test", "passwd.test"} {
		ann, bob := "ann@"+domain, "bob@"+domain
		in := p.SMTP(t)
		in.Deliver(world.Letter{From: "x@far.test", To: []string{ann}, Text: text("x@far.test", ann, "one-"+domain)})
		to := []string{"Bob+tag@" + domain}
		if domain != "passwd.test" {
			to = append(to, "team@"+domain)
		}
		in.Deliver(world.Letter{From: "x@far.test", To: to, Text: text("x@far.test", ann, "two-"+domain)})
		in.Must("250 ", "RSET")
		in.Must("250 ", "MAIL FROM:<x@far.test>")
		in.Must("550 5.1.1", "RCPT TO:<nobody@%s>", domain)
		if domain != "passwd.test" {
			in.Must("250 ", "RCPT TO:<postmaster@%s>", domain)
		}
		in.Close()

		out := p.World.Dial(t, "", p.Address+":465", p.Host)
		out.Handshake()
		out.Greet()
		out.Must("235 ", "AUTH PLAIN %s", world.Plain(bob, "secret of bob"))
		out.Must("250 ", "MAIL FROM:<%s>", bob)
		out.Must("250 ", "RSET")
		out.Must("553 5.7.1", "MAIL FROM:<%s>", ann)
		out.Close()

		want := 2
		if domain == "passwd.test" {
			want = 1
		}
		c := login(t, p, ann, "secret of ann")
		if got := c.Messages("INBOX"); len(got) != want {
			t.Errorf("%s has %d messages", ann, len(got))
		}
		if got := strings.Join(c.IMAPOK("GETQUOTAROOT INBOX"), "\n"); !strings.Contains(got, "STORAGE") || !strings.Contains(got, " 1024") {
			t.Errorf("the quota of %s: %s", ann, got)
		}
		c.Close()

		pop := p.World.Dial(t, "", p.Address+":995", p.Host)
		pop.Handshake()
		pop.Want("+OK")
		pop.Must("+OK", "USER %s", bob)
		pop.Must("-ERR [AUTH]", "PASS wrong")
		pop.Must("+OK", "USER %s", bob)
		pop.Must("+OK", "PASS secret of bob")
		pop.Close()

		var f struct {
			Steps []struct{ Source, Outcome string }
		}
		must(t, json.Unmarshal([]byte(p.Run(t, "directory", "lookup", "--json", "--fresh", ann)), &f))
		if n := len(f.Steps); n < 3 {
			t.Errorf("the look-up of %s has %d steps", ann, n)
		}
		if out, errs, code := p.Command(t, "secret of ann\n", "directory", "auth", ann, "--password-stdin"); code != 0 {
			t.Errorf("auth of %s: %s%s", ann, out, errs)
		}
		if _, _, code := p.Command(t, "secret of bob\n", "directory", "auth", ann, "--password-stdin"); code != 1 {
			t.Errorf("auth of %s with another's password: exit code %d", ann, code)
		}
	}
	change := func(statement string) {
		db, err := sql.Open("sqlite", w.Dir+"/mail.db")
		must(t, err)
		_, err = db.Exec(statement)
		must(t, errors.Join(err, db.Close()))
	}
	// A quota that a source has no more gives way to the one that was set here.
	storage := func() string {
		p.Run(t, "directory", "lookup", "--fresh", "ann@sqlite.test")
		return p.Run(t, "account", "quota", "ann@sqlite.test", "--json")
	}
	p.Run(t, "account", "quota", "ann@sqlite.test", "--storage", "3MiB")
	if got := storage(); !strings.Contains(got, `"limit":{"bytes":1048576`) {
		t.Errorf("the quota of the source: %s", got)
	}
	change("UPDATE virtual_users SET quota = NULL WHERE email = 'ann@sqlite.test'")
	world.Wait(t, "the quota of the source to be gone", func() bool { // what was asked a moment ago is not asked again
		return strings.Contains(storage(), `"limit":{"bytes":3145728`)
	})
	// The mail of somebody who is gone from his source goes when it is told to.
	if _, errs, code := p.Command(t, "", "account", "remove", "bob@sqlite.test", "--purge"); code == 0 || !strings.Contains(errs, "remove it there first") {
		t.Errorf("bob, who is there: %s", errs)
	}
	change("UPDATE virtual_users SET quota = 2097152 WHERE email = 'bob@sqlite.test'")
	has := func() bool {
		p.Run(t, "directory", "lookup", "--fresh", "bob@sqlite.test")
		out, _, _ := p.Command(t, "", "account", "quota", "bob@sqlite.test", "--json")
		return strings.Contains(out, `"limit":{"bytes":2097152`)
	}
	world.Wait(t, "the quota of bob", has)
	change("DELETE FROM virtual_users WHERE email = 'bob@sqlite.test'")
	world.Wait(t, "bob to be gone", func() bool {
		_, _, code := p.Command(t, "", "account", "remove", "bob@sqlite.test", "--purge")
		return code == 0
	})
	if _, errs, code := p.Command(t, "", "account", "remove", "bob@sqlite.test", "--purge"); code == 0 {
		t.Errorf("bob, who has no mail any more: %s", errs)
	}
	change("INSERT INTO virtual_users VALUES (2, 1, 'bob@sqlite.test', '{PLAIN}secret of another bob', 2097152)")
	world.Wait(t, "the quota of another bob", func() bool {
		_, _, code := p.Command(t, "", "directory", "lookup", "--fresh", "bob@sqlite.test")
		return code == 0 && has()
	})
	page := p.World.Dial(t, "", p.Address+":80", p.Host)
	page.Send("GET /metrics HTTP/1.0\r\n\r\n")
	if got := page.Rest(); !strings.Contains(got, `plic_directory_queries_total{outcome="found",question="account",source="pg"}`) || !strings.Contains(got, `plic_directory_lookups_total{outcome="missing"`) {
		t.Errorf("the look-ups are not in the metrics:\n%s", got)
	}
	if got := p.Run(t, "route", "x@elsewhere.test"); !strings.Contains(got, "127.0.0.9") {
		t.Errorf("the table of transports does not count:\n%s", got)
	}
}
