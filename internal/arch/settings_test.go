package arch

import (
	"go/ast"
	"strings"
	"testing"
)

// selections are what is selected in the packages that know the configuration, as "x.y"
// and with the last two names of longer ones.
func selections(all *tree) map[string]bool {
	used := map[string]bool{}
	for _, p := range all.pkgs {
		if p.name != "server" && p.name != "cmd/plic" {
			continue
		}
		for _, f := range p.code() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					switch x := s.X.(type) {
					case *ast.SelectorExpr:
						used[x.Sel.Name+"."+s.Sel.Name] = true
					case *ast.Ident:
						used[x.Name+"."+s.Sel.Name] = true
					}
				}
				return true
			})
		}
	}
	return used
}

// structs are the struct types of a package.
func structs(all *tree, name string) map[string]*ast.StructType {
	found := map[string]*ast.StructType{}
	for _, p := range all.pkgs {
		if p.name != name {
			continue
		}
		for _, f := range p.code() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				if s, ok := n.(*ast.TypeSpec); ok {
					if x, ok := s.Type.(*ast.StructType); ok {
						found[s.Name.Name] = x
					}
				}
				return true
			})
		}
	}
	return found
}

// A setting that nobody reads would be a promise that is not kept. It is seen by
// its name beside its section's, or beside the section's initial: c.Queue.Active
// or, with q := c.Queue, q.Active.
func TestEverySettingTakesEffect(t *testing.T) {
	t.Parallel()
	all := load(t)
	used, types := selections(all), structs(all, "config")
	top, count := types["Config"], 0
	if top == nil {
		t.Fatal("config.Config is not found")
	}
	expect := func(name *ast.Ident, setting string, as ...string) {
		count++
		for _, a := range as {
			if used[a+"."+name.Name] {
				return
			}
		}
		t.Errorf("%s: nobody reads the setting %s", all.at(name), setting)
	}
	for _, f := range top.Fields.List {
		section, ok := f.Type.(*ast.Ident)
		if !ok || types[section.Name] == nil {
			for _, name := range f.Names {
				expect(name, name.Name, "c", "config", "running", "loaded")
			}
			continue
		}
		for _, leaf := range types[section.Name].Fields.List {
			for _, name := range leaf.Names {
				expect(name, section.Name+"."+name.Name, section.Name, strings.ToLower(section.Name[:1]))
			}
		}
	}
	if count < 50 {
		t.Errorf("only %d settings were found", count)
	}
}
