package arch

import (
	"fmt"
	"go/ast"
	"testing"
)

func TestFileSizes(t *testing.T) {
	t.Parallel()
	for _, p := range load(t).pkgs {
		for _, f := range p.code() {
			if f.lines > maxFile {
				t.Errorf("%s has %d lines; %d are allowed", f.path, f.lines, maxFile)
			}
		}
	}
}

// functionName is "package.Function" or "package.Type.Method".
func functionName(p *pkg, d *ast.FuncDecl) string {
	if d.Recv == nil {
		return p.name + "." + d.Name.Name
	}
	return fmt.Sprintf("%s.%s.%s", p.name, receiver(d), d.Name.Name)
}

// receiver is the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	for x := d.Recv.List[0].Type; ; {
		switch y := x.(type) {
		case *ast.StarExpr:
			x = y.X
		case *ast.IndexExpr:
			x = y.X
		case *ast.IndexListExpr:
			x = y.X
		case *ast.ParenExpr:
			x = y.X
		case *ast.Ident:
			return y.Name
		default:
			return ""
		}
	}
}

func TestFunctionSizes(t *testing.T) {
	t.Parallel()
	all := load(t)
	excepted := longFunctions()
	total, wanted := 0, 0
	for _, p := range all.pkgs {
		for _, f := range p.code() {
			for _, d := range f.ast.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				total++
				name, n := functionName(p, fn), all.lines(fn)
				if n <= wantFunction {
					wanted++
					continue
				}
				reason, ok := excepted[name]
				delete(excepted, name)
				switch {
				case n <= maxFunction:
					t.Logf("%s: %s has %d lines; %d are wanted", all.at(fn), name, n, wantFunction)
				case !ok:
					t.Errorf("%s: %s has %d lines; %d are allowed, or a reason in longFunctions", all.at(fn), name, n, maxFunction)
				default:
					t.Logf("%s: %s has %d lines, because %s", all.at(fn), name, n, reason)
				}
			}
		}
	}
	for name := range excepted {
		t.Errorf("longFunctions names %s, which is not long any more", name)
	}
	t.Logf("%d of %d functions have at most %d lines", wanted, total, wantFunction)
}

func TestInterfaceSizes(t *testing.T) {
	t.Parallel()
	all := load(t)
	for _, p := range all.pkgs {
		for _, f := range p.code() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				s, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				i, ok := s.Type.(*ast.InterfaceType)
				if !ok {
					return true
				}
				methods := 0
				for _, m := range i.Methods.List {
					methods += max(1, len(m.Names))
				}
				if methods > maxInterface {
					t.Errorf("%s: interface %s has %d methods; %d are allowed", all.at(s), s.Name.Name, methods, maxInterface)
				} else if methods > wantInterface {
					t.Logf("%s: interface %s has %d methods; %d are wanted", all.at(s), s.Name.Name, methods, wantInterface)
				}
				return true
			})
		}
	}
}
