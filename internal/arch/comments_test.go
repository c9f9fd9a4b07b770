package arch

import (
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

func TestPackageComments(t *testing.T) {
	t.Parallel()
	for _, p := range load(t).pkgs {
		code := p.code()
		if len(code) == 0 {
			continue
		}
		var with []string
		for _, f := range code {
			if f.ast.Doc == nil || buildConstraint(f.ast.Doc) {
				continue
			}
			with = append(with, f.path)
			if text, name := f.ast.Doc.Text(), f.ast.Name.Name; name != "main" && !strings.HasPrefix(text, "Package "+name+" ") {
				t.Errorf("%s: the package comment must begin with %q", f.path, "Package "+name)
			}
		}
		switch len(with) {
		case 0:
			t.Errorf("package %s has no package comment: say what it does and which RFCs it follows", p.name)
		case 1:
		default:
			t.Errorf("package %s has %d package comments, in %s: keep one", p.name, len(with), strings.Join(with, " and "))
		}
	}
}

func buildConstraint(doc *ast.CommentGroup) bool { return strings.HasPrefix(doc.Text(), "+build") }

func TestExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	all := load(t)
	for _, p := range all.pkgs {
		if !p.internal() {
			continue
		}
		for _, f := range p.code() {
			for _, d := range f.ast.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					documentedFunc(t, all, p, d)
				case *ast.GenDecl:
					documentedSpecs(t, all, p, d)
				}
			}
		}
	}
}

func documentedFunc(t *testing.T, all *tree, p *pkg, d *ast.FuncDecl) {
	if !d.Name.IsExported() || d.Doc.Text() != "" {
		return
	}
	if d.Recv != nil && (!ast.IsExported(receiver(d)) || undocumented()[d.Name.Name]) {
		return
	}
	t.Errorf("%s: %s has no comment", all.at(d), functionName(p, d))
}

func documentedSpecs(t *testing.T, all *tree, p *pkg, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc.Text() == "" && s.Doc.Text() == "" && s.Comment.Text() == "" {
				t.Errorf("%s: type %s.%s has no comment", all.at(s), p.name, s.Name.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if name.IsExported() && d.Doc.Text() == "" && s.Doc.Text() == "" && s.Comment.Text() == "" {
					t.Errorf("%s: %s %s.%s has no comment", all.at(s), d.Tok, p.name, name.Name)
				}
			}
		}
	}
}

// init runs where nobody called it, and what it does cannot be undone in a test.
func TestNoInit(t *testing.T) {
	t.Parallel()
	all := load(t)
	for _, p := range all.pkgs {
		for _, f := range p.code() {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: package %s has a func init: give it a constructor", all.at(fn), p.name)
				}
			}
		}
	}
}

// packageVars are the variables at the top of a package, with the place of
// their declaration.
func packageVars(p *pkg) map[string]*ast.ValueSpec {
	vars := map[string]*ast.ValueSpec{}
	for _, f := range p.code() {
		for _, d := range f.ast.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				for _, spec := range g.Specs {
					for _, name := range spec.(*ast.ValueSpec).Names {
						if name.Name == "_" {
							continue
						}
						vars[name.Name] = spec.(*ast.ValueSpec)
					}
				}
			}
		}
	}
	return vars
}

// No state outlives a test or is shared by two sites in one process: package
// variables are made once and never change.
func TestNoGlobalState(t *testing.T) {
	t.Parallel()
	all := load(t)
	for _, p := range all.pkgs {
		if !p.internal() && p.name != "cmd/plic" {
			continue
		}
		vars := packageVars(p)
		for name, spec := range vars {
			if kind := stateful(spec); kind != "" {
				t.Errorf("%s: %s.%s is a %s: state belongs into a struct that a constructor makes", all.at(spec), p.name, name, kind)
			}
		}
		for _, f := range p.code() {
			ast.Inspect(f.ast, func(n ast.Node) bool {
				for _, target := range changed(n) {
					if name := global(target, vars); name != "" {
						t.Errorf("%s: %s changes the package variable %s: state belongs into a struct", all.at(n), p.name, name)
					}
				}
				return true
			})
		}
	}
}

// stateful names the type of a variable that is there to be changed. A pool of
// buffers is none, nor is a value that is computed once.
func stateful(spec *ast.ValueSpec) string {
	for _, x := range append([]ast.Expr{spec.Type}, spec.Values...) {
		if c, ok := x.(*ast.CompositeLit); ok {
			x = c.Type
		}
		if i, ok := x.(*ast.IndexExpr); ok {
			x = i.X
		}
		s, ok := x.(*ast.SelectorExpr)
		if !ok {
			continue
		}
		pkg, ok := s.X.(*ast.Ident)
		if !ok {
			continue
		}
		switch name := pkg.Name + "." + s.Sel.Name; {
		case pkg.Name == "atomic", name == "sync.Map", name == "sync.Mutex", name == "sync.RWMutex", name == "sync.Once", name == "sync.WaitGroup":
			return name
		}
	}
	return ""
}

// changed are the expressions that a statement assigns to.
func changed(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear" || f.Name == "copy") && len(n.Args) > 0 {
			return n.Args[:1]
		}
	}
	return nil
}

// global is the package variable at the root of an expression, or "".
func global(x ast.Expr, vars map[string]*ast.ValueSpec) string {
	for {
		switch y := x.(type) {
		case *ast.IndexExpr:
			x = y.X
		case *ast.SelectorExpr:
			x = y.X
		case *ast.StarExpr:
			x = y.X
		case *ast.ParenExpr:
			x = y.X
		case *ast.SliceExpr:
			x = y.X
		case *ast.Ident:
			spec, ok := vars[y.Name]
			// The parser resolves what is declared in the same file; a name that
			// it did not resolve is of another file of the package.
			if !ok || y.Obj != nil && y.Obj.Decl != spec {
				return ""
			}
			return y.Name
		default:
			return ""
		}
	}
}
