package directorytest

import (
	"errors"
	"strings"
	"testing"

	"plic/internal/directory"
	"plic/internal/mail"
)

// Injections are names that mean something to a database, a directory server, a
// file or a template, if they are taken for more than names.
func Injections() []string {
	return []string{
		// SQL
		"' OR 1=1--", "' OR '1'='1", `" OR ""="`, "x'; DROP TABLE account; --", "x'/*", "*/ OR 1=1 --", `\`, `\'`, `x\' OR 1=1 -- `, "'||'", "') OR ('1'='1", "1; SELECT pg_sleep(10)--",
		"\xbf' OR 1=1 --", "\xbf\x5c' OR 1=1 --", "\u02bc OR 1=1", "\uff07 OR 1=1--", "%", "_nn", "a%", "ann' --", "ann'#", "$1", "?", ":login", "::text", "$$", "ann\u0000", "ann' UNION SELECT 'x','y'--",
		"{ts '2001-01-01'}", "@@version", "0x616e6e", "CHAR(97)", "ann\n-- ",
		// LDAP, its filters and its names
		"*", "a*", "*)(uid=*", "*)(uid=*))(|(uid=*", "ann)(|(objectClass=*)", "*))%00", "(|(uid=*))", `\2a`, `\2A`, "a,dc=x", "ann,dc=plic", "ann+cn=x", `ann\`, `ann\,`, "#616e6e", "ann;", "<ann>", "=", " ann ,", "&", "|(uid=ann)", "!(uid=x)",
		// files and templates
		"../ann", "/etc/passwd", "ann:", ":ann:", "ann\r\nbob", "%{x}", "%u", "%s", "${ann}", "{login}", "{{.}}", "`id`", "$(id)", "~ann", "root", "-h", "ann\tbob",
		strings.Repeat("'", 300), strings.Repeat("*", 300), strings.Repeat("x", 100_000),
	}
}

// injection has no name found that was made to find others, causes no trouble,
// and leaves everything there.
func (s Suite) injection(t *testing.T) {
	d := s.Open(t, s.site())
	for i, name := range Injections() {
		for _, login := range []string{name, name + "@plic.test", "ann@" + name, name + "ann@plic.test", "ann@plic.test" + name} {
			found, err := d.Account(t.Context(), login)
			if !errors.Is(err, directory.ErrNotFound) && !(err == nil && strings.EqualFold(strings.TrimSpace(login), found.Name)) {
				t.Errorf("account %.60q: %+v, %v", login, found, err)
			}
			if checker, ok := d.(directory.Checker); ok && s.External {
				if _, err := checker.Check(t.Context(), login, "secret of ann"); !errors.Is(err, directory.ErrNotFound) && !errors.Is(err, directory.ErrPassword) {
					t.Errorf("password of %.60q: %v", login, err)
				}
			}
		}
		for _, local := range []string{name, "ann" + name} {
			a := mail.Address{Local: local, Domain: mail.MustDomain("plic.test")}
			if target, err := d.Resolve(t.Context(), a); !errors.Is(err, directory.ErrNotFound) && target.Account != a.Key() && target.Detail == "" {
				t.Errorf("address %.60q: %+v, %v", a, target, err)
			}
			if ok, err := d.Owns(t.Context(), local, mail.MustAddress("ann@plic.test")); ok || err != nil {
				t.Errorf("%.60q may send as ann: %v, %v", local, ok, err)
			}
		}
		if s.Slow && i%20 != 0 {
			continue
		}
		if ok, err := Verify(t.Context(), d, "ann@plic.test", name); ok || err != nil {
			t.Errorf("ann with the password %.60q: %v, %v", name, ok, err)
		}
	}
	for _, a := range s.site().Accounts {
		if found, err := d.Account(t.Context(), a.Name); err != nil || found.Name != a.Name {
			t.Errorf("%s afterwards: %+v, %v", a.Name, found, err)
		}
	}
}
