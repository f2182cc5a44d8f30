package repotest

import (
	"bytes"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

const maxLines = 500

func TestFilesAreShort(t *testing.T) {
	eachFile(t, ".go", func(name string, content []byte) {
		if n := bytes.Count(content, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines: at most %d, so that a file is read in one go", name, n, maxLines)
		}
	})
}

func TestOnePackageComment(t *testing.T) {
	comments := make(map[string][]string) // files with a package comment, by folder
	eachGoFile(t, func(name string, _ *token.FileSet, file *ast.File) {
		if strings.HasSuffix(name, "_test.go") {
			return
		}
		dir := path.Dir(name)
		if _, seen := comments[dir]; !seen {
			comments[dir] = nil
		}
		if file.Doc != nil {
			comments[dir] = append(comments[dir], name)
		}
	})
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("package in %s has %d package comments %v, want one, in doc.go", dir, len(files), files)
		}
	}
}

// TestNoSleepInTests lets tests sleep only by the clock of synctest, where it takes
// no time: inside synctest.Test, and in what a file with such tests defines for them.
func TestNoSleepInTests(t *testing.T) {
	eachGoFile(t, func(name string, fset *token.FileSet, file *ast.File) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		bubbles := slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
		ast.Inspect(file, func(n ast.Node) bool {
			if f, ok := n.(*ast.FuncDecl); ok && bubbles && !strings.HasPrefix(f.Name.Name, "Test") {
				return false
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			switch sel, _ := call.Fun.(*ast.SelectorExpr); {
			case selects(sel, "synctest", "Test"):
				return false
			case selects(sel, "time", "Sleep"):
				t.Errorf("%s: time.Sleep: use testing/synctest, or wait for the event", fset.Position(call.Pos()))
			}
			return true
		})
	})
}

func selects(sel *ast.SelectorExpr, pkg, name string) bool {
	if sel == nil {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}

// TestDependenciesHaveReasons wants a table row in RATIONALE.md for each module
// that a package or a test here imports.
func TestDependenciesHaveReasons(t *testing.T) {
	var gomod, rationale string
	eachFile(t, "go.mod", func(name string, content []byte) {
		if name == "go.mod" {
			gomod = string(content)
		}
	})
	eachFile(t, "RATIONALE.md", func(_ string, content []byte) { rationale = string(content) })
	var imports []string
	for _, p := range listPackages(t) {
		imports = slices.Concat(imports, p.Imports, p.TestImports, p.XTestImports)
	}
	for line := range strings.Lines(gomod) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") {
			continue
		}
		mod := fields[0]
		used := slices.ContainsFunc(imports, func(i string) bool { return within(i, mod) })
		if used && !strings.Contains(rationale, "\n| "+mod+" | ") {
			t.Errorf("RATIONALE.md has no row %q: one line that says why", "| "+mod+" | ... |")
		}
	}
}
