package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The journey names every room, and no room that is not there.
func TestJourneyTellsOfEveryPackage(t *testing.T) {
	t.Parallel()
	text := document(t, "docs/journey.md")
	known := map[string]bool{}
	for _, p := range load(t).pkgs {
		known[p.name] = true
		if (p.internal() || p.name == "cmd/plic") && !strings.Contains(text, "`"+p.name+"`") {
			t.Errorf("docs/journey.md does not tell of `%s`", p.name)
		}
	}
	// A room's paragraph begins with its name.
	for _, m := range regexp.MustCompile("(?m)^\\*\\*`([^`]+)`").FindAllStringSubmatch(text, -1) {
		if !known[m[1]] {
			t.Errorf("docs/journey.md tells of `%s`, which does not exist", m[1])
		}
	}
}

// cited finds "RFC 5321", "RFC 2047/2231" and "RFC 3461 and 3464".
var cited = regexp.MustCompile(`\bRFCs?[ -]?(\d{3,4})\b((?:(?:/|, | and )\d{4}\b)*)`)

// rfcs are the numbers of all RFCs that a text cites.
func rfcs(text string) []string {
	var all []string
	for _, m := range cited.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
		all = append(all, regexp.MustCompile(`\d{4}`).FindAllString(m[2], -1)...)
	}
	return all
}

// foreignTests are the tests of the module beside ours, which tree leaves out.
func foreignTests(t *testing.T) map[string]bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "test/foreign/*_test.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no tests in test/foreign: %v", err)
	}
	tests := map[string]bool{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)`).FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	}
	return tests
}

// allTests names every test of the project. Suites hold theirs in ordinary files.
func allTests(t *testing.T, all *tree) map[string]bool {
	t.Helper()
	tests := foreignTests(t)
	for _, p := range all.pkgs {
		for _, f := range p.files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && (f.test || p.helper()) {
					tests[fn.Name.Name] = true
				}
			}
		}
	}
	return tests
}

// What is said to withstand something is shown by a test.
func TestReliabilityTable(t *testing.T) {
	t.Parallel()
	tests := allTests(t, load(t))
	rows := map[string]bool{}
	for line := range strings.Lines(document(t, "docs/reliability.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		row := strings.TrimSpace(cells[0])
		if !regexp.MustCompile(`^[A-Z][0-9]+$`).MatchString(row) {
			continue
		}
		if rows[row] {
			t.Errorf("docs/reliability.md has two rows %s", row)
		}
		rows[row] = true
		named := regexp.MustCompile("`((?:Test|Fuzz)\\w*)`").FindAllStringSubmatch(cells[len(cells)-1], -1)
		for _, m := range named {
			if !tests[m[1]] {
				t.Errorf("docs/reliability.md: %s is shown by %s, which does not exist", row, m[1])
			}
		}
		if len(named) == 0 {
			t.Errorf("docs/reliability.md: %s names no test", row)
		}
	}
}

func TestRFCTable(t *testing.T) {
	t.Parallel()
	all := load(t)
	tests := allTests(t, all)
	where := map[string]string{} // RFC to the first place that cites it
	for _, p := range all.pkgs {
		for _, f := range p.files {
			if p.name == "arch" {
				continue
			}
			for _, c := range f.ast.Comments {
				for _, n := range rfcs(strings.Join(strings.Fields(c.Text()), " ")) {
					if where[n] == "" {
						where[n] = all.at(c)
					}
				}
			}
		}
	}
	rows := map[string]bool{}
	for line := range strings.Lines(document(t, "docs/rfcs.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		number, ok := strings.CutPrefix(strings.TrimSpace(cells[0]), "RFC ")
		if !ok || len(cells) != 5 {
			continue
		}
		if rows[number] {
			t.Errorf("docs/rfcs.md has two rows for RFC %s", number)
		}
		rows[number] = true
		named := regexp.MustCompile("`((?:Test|Fuzz|Example|Run)\\w*)[^`]*`").FindAllStringSubmatch(cells[4], -1)
		for _, m := range named {
			if !tests[m[1]] {
				t.Errorf("docs/rfcs.md: RFC %s is shown by %s, which does not exist", number, m[1])
			}
		}
		if len(named) == 0 && strings.TrimSpace(cells[4]) != "-" {
			t.Errorf("docs/rfcs.md: RFC %s names no test; write - if there is none", number)
		}
	}
	var missing []string
	for n := range where {
		if !rows[n] {
			missing = append(missing, n)
		}
	}
	slices.Sort(missing)
	for _, n := range missing {
		t.Errorf("%s cites RFC %s, which has no row in docs/rfcs.md", where[n], n)
	}
}

func TestDependenciesHaveReasons(t *testing.T) {
	t.Parallel()
	text := document(t, "docs/dependencies.md")
	direct := map[string]bool{}
	for line := range strings.Lines(document(t, "go.mod")) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") || strings.Contains(line, "// indirect") {
			continue
		}
		direct[fields[0]] = true
		if !strings.Contains(text, "| `"+fields[0]+"` |") {
			t.Errorf("docs/dependencies.md has no row for %s: say why plic needs it", fields[0])
		}
	}
	if len(direct) == 0 {
		t.Error("go.mod was not understood")
	}
	for _, p := range load(t).pkgs {
		for _, f := range p.files {
			for _, path := range f.imports() {
				if _, mine := ours(path); mine || !strings.Contains(path, ".") {
					continue
				}
				if !slices.ContainsFunc(slices.Collect(maps.Keys(direct)), func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") }) {
					t.Errorf("%s imports %s, which go.mod does not require directly: run go mod tidy", f.path, path)
				}
			}
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1) {
		if !direct[m[1]] {
			t.Errorf("docs/dependencies.md has a row for %s, which go.mod does not require directly", m[1])
		}
	}
}

// The helpers of these tests are tested too: a test that finds nothing proves
// nothing.
func TestCitations(t *testing.T) {
	t.Parallel()
	got := strings.Join(rfcs("RFC 5321 section 4.5.3, RFC 2047/2231; RFC 3461 and 3464, RFC 821, RFC 3030 and 1000000 lines"), " ")
	if want := "5321 2047 2231 3461 3464 821 3030"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestGlobalStateIsSeen(t *testing.T) {
	t.Parallel()
	const text = `package x
var table, other = map[string]int{}, []int{}
var count atomic.Int64
var once = sync.OnceValue(f)
func f() {
	table["a"] = 1
	(other)[0]++
	delete(table, "a")
	elsewhere.field.deep = 2
	_, other = 1, nil
	table := map[string]int{}
	table["mine"] = 1
	local := 1
	local = 2
}`
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, "x.go", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := parser.ParseFile(set, "y.go", "package x\nvar elsewhere = struct{}{}\nvar _ = 1", 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &pkg{name: "x", files: []*file{{ast: parsed}, {ast: second}}}
	vars := packageVars(p)
	var got []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		for _, target := range changed(n) {
			if name := global(target, vars); name != "" {
				got = append(got, name)
			}
		}
		return true
	})
	if want := "table other table elsewhere other"; strings.Join(got, " ") != want {
		t.Errorf("found changes of %v, want %s", got, want)
	}
	if stateful(vars["count"]) == "" || stateful(vars["once"]) != "" || stateful(vars["table"]) != "" {
		t.Error("the types of state are not told apart")
	}
}
