package directory

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"plic/test/world"
)

// TestPlaces has the mail of accounts where their sources say: in a Maildir of
// their home by a passwd-file, in one below a common directory by a database,
// and with us where the settings will have it so.
func TestPlaces(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.76.152")
	owner := os.Geteuid() // of ann's home
	if owner == 0 {
		owner = 65533
	}
	home, vmail := w.Dir+"/home/ann", w.Dir+"/vmail"
	must(t, os.MkdirAll(home, 0o755))
	must(t, os.Chown(home, owner, owner))
	must(t, os.MkdirAll(vmail, 0o755))
	must(t, os.WriteFile(w.Dir+"/users", fmt.Appendf(nil, "ann@file.test:{PLAIN}secret of ann:%d:%[1]d::%s::userdb_mail=maildir:~/Maildir\n", owner, home), 0o600))
	must(t, os.WriteFile(w.Dir+"/old", []byte("ann@old.test:{PLAIN}secret of ann::::::userdb_mail=mdbox:~/mdbox\n"), 0o600))
	db, err := sql.Open("sqlite", w.Dir+"/mail.db")
	must(t, err)
	_, err = db.Exec(`CREATE TABLE people (login text, password text, place text);
		INSERT INTO people VALUES ('ann@sql.test', '{PLAIN}secret of ann', 'maildir:` + vmail + `/%d/%n')`)
	must(t, errors.Join(err, db.Close()))

	p := w.NewPlic(t, world.Site{Host: "mx.site.test"})
	settings := map[string]string{"directory.sources": `["native", "file", "db", "old"]`}
	for name, x := range map[string]map[string]string{
		"file": {"driver": "passwd", "file": w.Dir + "/users"},
		"old":  {"driver": "passwd", "file": w.Dir + "/old", "mailboxes": "native"},
		"db": {"driver": "sqlite", "file": w.Dir + "/mail.db", "domain_query": "SELECT 1 WHERE :domain = 'sql.test'",
			"account_query": "SELECT login AS account, password, place AS mailboxes FROM people WHERE login = :login"},
	} {
		for k, v := range source(name, x) {
			settings[k] = v
		}
	}
	p.Configure(t, settings)
	p.Start(t)
	for domain, place := range map[string]string{"file.test": home + "/Maildir", "sql.test": vmail + "/sql.test/ann", "old.test": ""} {
		ann := "ann@" + domain
		in := p.SMTP(t)
		in.Deliver(world.Letter{From: "x@far.test", To: []string{ann}, Text: text("x@far.test", ann, "to-"+domain)})
		in.Close()
		c := login(t, p, ann, "secret of ann")
		if got := c.Messages("INBOX"); len(got) != 1 || !strings.Contains(got[0], "Subject: to-"+domain) {
			t.Errorf("%s has %q", ann, got)
		}
		c.IMAPOK("CREATE Kept")
		c.Close()
		if place == "" {
			if got := p.Run(t, "account", "mailboxes", ann); !strings.Contains(got, "native") {
				t.Errorf("%s: %s", ann, got)
			}
			continue
		}
		if got := p.Run(t, "account", "mailboxes", ann); !strings.Contains(got, place) || !strings.Contains(got, "the directory") {
			t.Errorf("%s: %s", ann, got)
		}
		files, _ := filepath.Glob(place + "/[cn]*/*")
		if len(files) != 1 {
			t.Fatalf("the files of %s: %q", ann, files)
		}
		if body, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(body), "Subject: to-"+domain) {
			t.Errorf("%s: %q, %v", files[0], body, err)
		}
		if _, err := os.Stat(place + "/.Kept/cur"); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(files[0]); err != nil || domain == "file.test" && int(info.Sys().(*syscall.Stat_t).Uid) != owner {
			t.Errorf("%s belongs to another: %+v, %v", files[0], info, err)
		}
	}
}
