package arch

import (
	"go/ast"
	"strings"
	"testing"
)

// The table itself must obey the floors.
func TestRulesGoDown(t *testing.T) {
	t.Parallel()
	table := rules()
	for name, r := range table {
		for _, target := range strings.Fields(r.may) {
			other, ok := table[target]
			switch {
			case !ok:
				t.Errorf("%s may import %s, which is in no row", name, target)
			case other.layer > r.layer:
				t.Errorf("%s (%s) may import %s (%s): imports go down only", name, r.layer, target, other.layer)
			case other.layer == r.layer && !r.layer.neighbours():
				t.Errorf("%s may import its sibling %s: those of %s do not know each other", name, target, r.layer)
			}
		}
	}
}

func TestEveryPackageHasARule(t *testing.T) {
	t.Parallel()
	table := rules()
	found := map[string]bool{}
	for _, p := range load(t).pkgs {
		if !p.internal() {
			continue
		}
		found[p.name] = true
		if _, ok := table[p.name]; !ok && !p.helper() {
			t.Errorf("package %s has no row in rules: say on which floor it is and what it may import", p.name)
		}
	}
	for name := range table {
		if !found[name] {
			t.Errorf("rules has a row for %s, which does not exist", name)
		}
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	table := rules()
	all := load(t)
	for _, p := range all.pkgs {
		for _, f := range p.code() {
			for _, i := range f.ast.Imports {
				target, ok := ours(strings.Trim(i.Path.Value, `"`))
				if !ok {
					continue
				}
				switch r, ruled := table[p.name]; {
				case isHelper(target) && p.product():
					t.Errorf("%s: %s imports %s, which is for tests only", all.at(i), p.name, target)
				case ruled && p.internal() && !listed(r.may, target):
					t.Errorf("%s: %s may not import %s; it may import: %s", all.at(i), p.name, target, r.may)
				}
			}
		}
	}
}

func TestBannedImports(t *testing.T) {
	t.Parallel()
	all := load(t)
	for _, p := range all.pkgs {
		if !p.product() {
			continue
		}
		for _, f := range p.code() {
			for _, i := range f.ast.Imports {
				path := strings.Trim(i.Path.Value, `"`)
				for _, b := range bannedImports() {
					hit := path == b.what || strings.HasSuffix(b.what, "/") && strings.HasPrefix(path+"/", b.what)
					if hit && !listed(b.except, p.name) {
						t.Errorf("%s: %s imports %s: %s", all.at(i), p.name, path, b.why)
					}
				}
			}
		}
	}
}

func TestBannedUses(t *testing.T) {
	t.Parallel()
	all := load(t)
	for _, p := range all.pkgs {
		if !p.product() {
			continue
		}
		for _, f := range p.code() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := s.X.(*ast.Ident)
				if !ok || x.Obj != nil { // a variable, not a package
					return true
				}
				for _, b := range bannedUses() {
					if x.Name+"."+s.Sel.Name == b.what && !listed(b.except, p.name) {
						t.Errorf("%s: %s uses %s: %s", all.at(s), p.name, b.what, b.why)
					}
				}
				return true
			})
		}
	}
}

// Names that say nothing gather what belongs nowhere.
func TestNoGrabBags(t *testing.T) {
	t.Parallel()
	for _, p := range load(t).pkgs {
		for _, bad := range []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base"} {
			if strings.HasSuffix("/"+p.name, "/"+bad) {
				t.Errorf("package %s: name what it does", p.name)
			}
		}
	}
}
