package database

import (
	"slices"
	"strings"
	"testing"
)

func TestCompile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind       Kind
		text, want string // "error" if there is to be one
		names      string
	}{
		{PostgreSQL, "SELECT a FROM t WHERE b = :login", "SELECT a FROM t WHERE b = $1", "login"},
		{PostgreSQL, "x = :local AND y = :domain AND z = :local", "x = $1 AND y = $2 AND z = $1", "local domain"},
		{MySQL, "x = :local AND y = :domain AND z = :local;", "x = ? AND y = ? AND z = ?;", "local domain local"},
		{SQLite, "(:key)", "(?)", "key"},
		{PostgreSQL, "x = :key::text AND 'a :login' = b AND y = ':x''s :y'", "x = $1::text AND 'a :login' = b AND y = ':x''s :y'", "key"},
		{PostgreSQL, `":col" -- :not` + "\n:key /* :nor */", `":col" -- :not` + "\n$1 /* :nor */", "key"},
		{PostgreSQL, "$$ :no $$ $t$ :no $x$ :no $t$ :key", "$$ :no $$ $t$ :no $x$ :no $t$ $1", "key"},
		{PostgreSQL, `'\' = :key`, `'\' = $1`, "key"},
		{MySQL, `'\' :no' = :key`, `'\' :no' = ?`, "key"},
		{MySQL, "`a:key` # :no\n:key", "`a:key` # :no\n?", "key"},
		{SQLite, "a[1:2] b:key x: :1 'open :key", "a[1:2] b:key x: :1 'open :key", ""},
		{PostgreSQL, ":user", "error", ""},
		{PostgreSQL, ":Login", "error", ""},
		{PostgreSQL, "  ", "error", ""},
	} {
		q, err := compile(c.kind, c.text)
		if err != nil {
			q.text = "error"
		}
		if q.text != c.want || strings.Join(q.names, " ") != c.names {
			t.Errorf("%s %q: %q with %q, %v; want %q with %q", c.kind, c.text, q.text, q.names, err, c.want, c.names)
		}
	}
}

// Whatever the text is, nothing fails, what is quoted stays, and the parameters
// are as many as there are names.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{"SELECT :login", "'a' || :key -- x", "$t$ $t$ :domain", "`x` \"y\" /* */ :local::text", "'\\"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []Kind{PostgreSQL, MySQL, SQLite} {
			q, err := compile(kind, text)
			if err != nil {
				continue
			}
			for _, name := range q.names {
				if !slices.Contains(Parameters(), name) {
					t.Errorf("%q: parameter %q", text, name)
				}
			}
			if kind == SQLite && strings.Count(q.text, "?") < len(q.names) {
				t.Errorf("%q: %d parameters in %q", text, len(q.names), q.text)
			}
		}
	})
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{PostgreSQL, MySQL, SQLite} {
		for name := range schemas() {
			q, err := Schema(kind, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range []string{q.Domain, q.Account, q.Mailbox, q.Aliases} {
				if c, err := compile(kind, text); err != nil || strings.Contains(c.text, "{") || len(c.names) == 0 {
					t.Errorf("%s for %s: %q, %v", name, kind, c.text, err)
				}
			}
		}
	}
	if _, err := Schema(MySQL, "none"); err == nil {
		t.Error("a schema that is not there")
	}
}
