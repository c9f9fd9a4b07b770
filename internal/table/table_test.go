package table_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"plic/internal/table"
	"plic/internal/table/tabletest"
)

// put writes a table file as an editor does.
func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, driver, text string) table.Table {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table")
	put(t, path, text)
	tab, err := table.Open(driver+":"+path, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestConformance(t *testing.T) {
	t.Parallel()
	lines := func(driver string, line func(key, value string) string) tabletest.Suite {
		return tabletest.Suite{Addresses: driver == "cidr", Open: func(t *testing.T, pairs map[string]string) table.Table {
			var b strings.Builder
			for key, value := range pairs {
				fmt.Fprintln(&b, line(key, value))
			}
			return open(t, driver, b.String())
		}}
	}
	quoted := func(key string) string {
		if strings.Contains(key, " ") && key[0] != '"' {
			return `"` + key + `"`
		}
		return key
	}
	for name, suite := range map[string]tabletest.Suite{
		"inline": {Open: func(t *testing.T, pairs map[string]string) table.Table {
			tab, err := table.Open(table.Inline(pairs), table.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return tab
		}},
		"file": lines("file", func(k, v string) string {
			return quoted(k) + "\t" + v
		}),
		"regexp": lines("regexp", func(k, v string) string {
			return "~^" + regexp.QuoteMeta(k) + "$~ " + strings.ReplaceAll(v, "$", "$$")
		}),
		"cidr": lines("cidr", func(k, v string) string { return k + " " + v }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suite.Run(t)
		})
	}
}

func ask(t *testing.T, tab table.Table, key string) string {
	t.Helper()
	value, found, err := tab.Lookup(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return "-"
	}
	return value
}

func TestFormats(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ driver, text, asks string }{
		{"file", "# a comment\n\nbob@example.org   ann@example.org,\n   # in between\n\tcarl@example.org\n@example.org all\nempty\n",
			"bob@example.org=ann@example.org, carl@example.org; @example.org=all; empty=; ann=-"},
		{"aliases", "root: ann\n\"two words\" : |\"/bin/prog a\"\nlist: :include:/etc/list,\n  bob\n",
			`root=ann; two words=|"/bin/prog a"; list=:include:/etc/list, bob`},
		{"regexp", "/^subject: win (\\w+)/ refuse no $1s\n!/@/ no address\n|^/slash/| yes\n/case/i exact $$1\n/(.*)@old\\.test$/ ${1}@new.test\n",
			"Subject: WIN money=refuse no moneys; nothing=no address; /slash/@=yes; a@case=exact $1; a@CASE=-; bob@OLD.test=bob@new.test"},
		{"cidr", "!10.0.0.0/8 outside\n10.1.0.0/16 inner\n10.0.0.1 one\n[2001:db8::]/32 six\n",
			"10.1.2.3=inner; 10.0.0.1=one; 10.0.0.2=-; ::ffff:10.0.0.1=one; 192.0.2.1=outside; example.org=-"},
	} {
		tab := open(t, c.driver, c.text)
		for part := range strings.SplitSeq(c.asks, "; ") {
			key, want, _ := strings.Cut(part, "=")
			if got := ask(t, tab, key); got != want {
				t.Errorf("%s: %q is %q, want %q", c.driver, key, got, want)
			}
		}
	}
}

func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct{ spec, text, want string }{
		{"nothing", "", "names no table"},
		{"sqlite:x", "", "there is no driver"},
		{"inline:key=value", "", "an inline table is"},
		{"inline:{a=1, a=2}", "", "twice"},
		{"inline:{a}", "", "no key=value"},
		{`inline:{"a=1}`, "", "does not end"},
		{"file:" + dir, "", "is a directory"},
		{"file:" + dir + "/none", "", "no such file"},
		{"file:" + dir + "/t", "a 1\nb 2\nA 3\n", "line 3: \"a\" is there twice"},
		{"file:" + dir + "/t", "a \xff\n", "not UTF-8"},
		{"aliases:" + dir + "/t", "a b\n", "line 1: \"a b\" is no alias"},
		{"regexp:" + dir + "/t", "/a/ 1\n/( 2\n", "line 2: the pattern"},
		{"regexp:" + dir + "/t", "/(/ 2\n", "line 1: error parsing regexp"},
		{"regexp:" + dir + "/t", "!/(a)/ $1\n", "line 1: what does not match has no $1"},
		{"regexp:" + dir + "/t", "/a/q 1\n", "line 1: there is no flag"},
		{"cidr:" + dir + "/t", "10.0.0.1/8 x\n", `line 1: "10.0.0.1/8" has bits behind its prefix`},
		{"cidr:" + dir + "/t", "ten x\n", "is not a network"},
	} {
		put(t, filepath.Join(dir, "t"), c.text)
		if _, err := table.Open(c.spec, table.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.spec, c.text, err, c.want)
		}
	}
}

// A file is read again when it has changed. While it has a fault, or is gone,
// the last good content holds, and that is told once.
func TestReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "table")
	put(t, path, "bob one\n")
	var told strings.Builder
	now := time.Now()
	tab, err := table.Open("file:"+path, table.Options{Log: slog.New(slog.NewTextHandler(&told, nil)), Now: func() time.Time {
		now = now.Add(110 * time.Millisecond) // a moment later at each look
		return now
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		text, want string
		told       int
	}{
		{"bob two\n", "two", 0},
		{"bob TWO\n", "TWO", 0}, // as large, in the same moment
		{"bob 3\nbob 4\n", "TWO", 1},
		{"bob 3\nbob 4\n", "TWO", 1},
		{"", "-", 1},
		{"bob 5\n", "5", 1},
	} {
		put(t, path, c.text)
		now = now.Add(time.Millisecond)
		if err := os.Chtimes(path, now, now); err != nil { // by the clock of the test
			t.Fatal(err)
		}
		for range 3 {
			if got := ask(t, tab, "bob"); got != c.want {
				t.Errorf("%d: %q, want %q", i, got, c.want)
			}
		}
		if got := strings.Count(told.String(), "\n"); got != c.told {
			t.Errorf("%d: told %d times, want %d: %s", i, got, c.told, told.String())
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, tab, "bob"); got != "5" {
		t.Errorf("gone: %q", got)
	}
	put(t, path, "bob back\n")
	old := time.Now().Add(-time.Hour) // put back from elsewhere
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, tab, "bob"); got != "back" {
		t.Errorf("put back: %q", got)
	}
}

// A table in trouble ends the look-up; one that only lacks the key does not.
func TestList(t *testing.T) {
	t.Parallel()
	o := table.Options{Drivers: map[string]table.Driver{"down": func(string) (table.Table, error) { return tabletest.Down{}, nil }}}
	l, err := table.OpenAll([]string{"inline:{a=1}", "inline:{a=2, b=2}", "down:x", "inline:{c=3}"}, o)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := ask(t, l, "a"), ask(t, l, "B"); a != "1" || b != "2" {
		t.Errorf("a is %q, b is %q", a, b)
	}
	if _, found, err := l.Lookup(t.Context(), "c"); found || err == nil || !strings.Contains(err.Error(), "down:x") {
		t.Errorf("behind a table in trouble: %v, %v", found, err)
	}
}

func FuzzTables(f *testing.F) {
	f.Add("bob ann\n", "bob")
	f.Add("/^(a+)+$/ x$1\n", "aaaa")
	f.Add("10.0.0.0/8 x\n", "10.0.0.1")
	f.Add("root: ann, |\"x y\"\n", "root")
	f.Fuzz(func(t *testing.T, text, key string) {
		path := filepath.Join(t.TempDir(), "t")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, spec := range []string{"file:" + path, "aliases:" + path, "regexp:" + path, "cidr:" + path, "inline:" + text} {
			if tab, err := table.Open(spec, table.Options{}); err == nil {
				tab.Lookup(t.Context(), key)
			}
		}
	})
}
