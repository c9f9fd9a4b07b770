package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// root is the module's directory.
const root = "../.."

const module = "plic"

// file is one Go file, parsed.
type file struct {
	path  string // from the root
	test  bool   // _test.go
	lines int
	ast   *ast.File
}

// pkg is one directory of Go files.
type pkg struct {
	name  string // "mail", "deliver/remote", "cmd/plic", "bench"
	files []*file
}

// internal says that the package is one of the house's rooms.
func (p *pkg) internal() bool {
	for _, f := range p.files {
		return strings.HasPrefix(f.path, "internal/")
	}
	return false
}

// helper says that the package only serves tests.
func (p *pkg) helper() bool { return isHelper(p.name) }

func isHelper(name string) bool { return strings.HasSuffix(path.Base(name), "test") }

// product says that the package is part of the program.
func (p *pkg) product() bool { return p.internal() && !p.helper() || p.name == "cmd/plic" }

// code are the files without tests.
func (p *pkg) code() []*file {
	return slices.DeleteFunc(slices.Clone(p.files), func(f *file) bool { return f.test })
}

// tree is the whole source, parsed once for all tests.
type tree struct {
	set  *token.FileSet
	pkgs []*pkg
}

func load(t *testing.T) *tree {
	t.Helper()
	got, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var parsed = sync.OnceValues(parseTree)

func parseTree() (*tree, error) {
	all := &tree{set: token.NewFileSet()}
	byDir := map[string]*pkg{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			base := d.Name()
			if name != root && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || exists(filepath.Join(name, "go.mod"))) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parseFile(all.set, name)
		if err != nil {
			return err
		}
		dir := path.Dir(f.path)
		p := byDir[dir]
		if p == nil {
			p = &pkg{name: strings.TrimPrefix(dir, "internal/")}
			byDir[dir] = p
			all.pkgs = append(all.pkgs, p)
		}
		p.files = append(p.files, f)
		return nil
	})
	return all, err
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

func parseFile(set *token.FileSet, name string) (*file, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(root, name)
	if err != nil {
		return nil, err
	}
	rel = filepath.ToSlash(rel)
	parsed, err := parser.ParseFile(set, rel, text, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("%s does not parse: %w", rel, err)
	}
	return &file{rel, strings.HasSuffix(rel, "_test.go"), strings.Count(string(text), "\n"), parsed}, nil
}

// at is the place of a node.
func (t *tree) at(n ast.Node) string {
	p := t.set.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// lines is how many lines a node spans.
func (t *tree) lines(n ast.Node) int {
	return t.set.Position(n.End()).Line - t.set.Position(n.Pos()).Line + 1
}

// imports are the import paths of a file.
func (f *file) imports() []string {
	var paths []string
	for _, i := range f.ast.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

// ours turns an import path into the name of one of our packages.
func ours(importPath string) (string, bool) {
	if name, ok := strings.CutPrefix(importPath, module+"/internal/"); ok {
		return name, true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func listed(list, name string) bool { return slices.Contains(strings.Fields(list), name) }

// document reads a file below the root.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatalf("%s is missing: %v", name, err)
	}
	return string(text)
}
