package server

import (
	"log/slog"
	"os"
	"strings"
	"testing"

	"plic/internal/config"
)

// examples are the blocks of a document, indented or fenced, that are settings.
func examples(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	block, fenced := "", false
	for line := range strings.Lines(string(text) + "\n.") {
		rest, indented := strings.CutPrefix(line, "    ")
		fence := strings.HasPrefix(line, "```")
		fenced = fenced != fence
		switch {
		case fenced && !fence:
			block += line
		case indented:
			block += rest
		case strings.TrimSpace(line) == "":
			if block != "" {
				block += "\n"
			}
		default:
			if strings.HasPrefix(block, "[") {
				all = append(all, block)
			}
			block = ""
		}
	}
	return all
}

// Every example of the documentation is settings that make sources.
func TestDocumentedSources(t *testing.T) {
	t.Parallel()
	all := append(examples(t, "../../docs/directory.md"), examples(t, "../../docs/logins.md")...)
	count := 0
	for _, text := range all {
		text, _, _ = strings.Cut(text, "# user:password") // a file, not settings
		c, err := config.Parse("example", []byte("hostname = \"mail.example.org\"\n"+text))
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
			continue
		}
		o := &site{config: c, log: slog.New(slog.DiscardHandler)}
		for _, x := range c.Sources {
			x.CA = "" // is not on this host
			if x.Driver == config.PasswdFile || x.Driver == config.SystemDriver {
				x.File, x.Helper = os.DevNull, ""
			}
			if err := o.tryOne(x); err != nil {
				t.Errorf("source.%s: %v", x.Name, err)
			}
			count++
		}
	}
	if len(all) < 11 || count < 9 {
		t.Errorf("%d examples with %d sources are found", len(all), count)
	}
}

// tryOne opens one source.
func (s *site) tryOne(x *config.Source) error {
	s.config.Sources = []*config.Source{x}
	s.config.Directory.Sources = []string{x.Name}
	if err := s.openSources(); err != nil {
		return err
	}
	return s.sources.close()
}

func TestBadSources(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"driver = \"pgsql\"\nhosts = [\"x\"]":                                                                           "needs a query",
		"driver = \"pgsql\"\nhosts = [\"x\"]\nschema = \"none\"":                                                        "there is no schema",
		"driver = \"pgsql\"\nhosts = [\"x\"]\nschema = \"postfixadmin\"\nalias_query = \"SELECT :user\"":                "there is no parameter :user",
		"driver = \"ldap\"\nhosts = [\"x\"]\nschema = \"openldap\"":                                                     "needs a base",
		"driver = \"ldap\"\nhosts = [\"x\"]\nschema = \"openldap\"\nbase = \"dc=x\"\nalias_query = \"(mail={address)\"": "there is no parameter {address)",
		"driver = \"ldap\"\nhosts = [\"x\"]\nschema = \"none\"\nbase = \"dc=x\"":                                        "there is no schema",
		"driver = \"passwd\"\nfile = \"/nonexistent/users\"":                                                            "no such file",
		"driver = \"pgsql\"\nhosts = [\"x\"]\nschema = \"postfixadmin\"\ntls_ca = \"/dev/null\"":                        "holds no certificate",
	} {
		c, err := config.Parse("x", []byte("hostname = \"mail.example.org\"\n[source.a]\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		if err := (&site{config: c, log: slog.New(slog.DiscardHandler)}).tryOne(c.Sources[0]); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "source.a") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		c.Directory.Sources = []string{"native", "a"}
		if err := Check(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the check of %q: %v, want %q", text, err, want)
		}
	}
}

// What a start would refuse is found before.
func TestCheck(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"rewrite.srs_domain = \"x.test\"":                                      "",
		"route.aliases = [\"file:/nonexistent/aliases\"]":                      "route.aliases",
		"route.transports = [\"pgsql:none SELECT 1\"]":                         "no [source.none]",
		"mailboxes.place = \"maildir:Maildir\"":                                "no absolute path",
		"access.clients = [\"pgsql:none SELECT 1\"]":                           "access.clients",
		"[source.a]\ndriver = \"ldap\"\nhosts = [\"x\"]\nmailboxes = \"here\"": "source.a.mailboxes",
	} {
		c, err := config.Parse("x", []byte("hostname = \"mail.example.org\"\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(c); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestSourceTables(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("x", []byte("hostname = \"mail.example.org\"\n[source.db]\ndriver = \"pgsql\"\nhosts = [\"127.0.0.1:1\"]\n[source.dir]\ndriver = \"ldap\"\nhosts = [\"127.0.0.1:1\"]\nbase = \"dc=x\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{config: c, log: slog.New(slog.DiscardHandler)}
	if err := s.openSources(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.sources.close() })
	op := opener{o: s.tables()}
	op.open("x", []string{"pgsql:db SELECT a FROM b WHERE c = :key", "ldap:dir mail (uid={key})"})
	if op.errs != nil {
		t.Errorf("%v", op.errs)
	}
	for spec, want := range map[string]string{
		"pgsql:none SELECT 1": "no [source.none]", "mysql:db SELECT 1": "is pgsql", "pgsql:db": "is empty", "pgsql:db SELECT :x": "no parameter", "ldap:dir mail": "needs a filter", "ldap:dir": "needs a filter",
		"ldap:dir mail uid={key}": "the filter",
	} {
		op := opener{o: s.tables()}
		if op.open("x", []string{spec}); op.errs == nil || !strings.Contains(op.errs[0].Error(), want) {
			t.Errorf("%q: %v, want %q", spec, op.errs, want)
		}
	}
}
