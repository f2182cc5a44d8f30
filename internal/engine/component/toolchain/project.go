package toolchain

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/terrane/terrane/examples"
)

// project is the Makefile of a guest that is not among the examples.
const project = "MODULE := hello.wasm\ninclude sdk/js/rules.mk\n"

// JavaScriptProject builds the guest of "terrane new js" by make, with the library in the folder sdk.
func JavaScriptProject(t testing.TB) []byte {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{"hello-js": dir, "sdk/js": filepath.Join(dir, "sdk", "js")} {
		files, err := fs.Sub(examples.Templates, from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(to, files); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "Makefile"), []byte(project), 0o600); err != nil {
		t.Fatal(err)
	}
	return cached(t, filepath.Join("projects", digestFiles(t, dir)+".wasm"), func(string) string {
		if text, err := run(t, dir, "make", "node_modules/.installed"); err != nil {
			t.Skipf("npm install: %v: %.200s", err, text)
		}
		if text, err := run(t, dir, "make"); err != nil {
			t.Fatalf("make: %v\n%s", err, text)
		}
		return filepath.Join(dir, "hello.wasm")
	})
}

// digestFiles is a digest of the names and contents of a folder's files.
func digestFiles(t testing.TB, dir string) string {
	t.Helper()
	var parts []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "README.md" {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, name)) //nolint:gosec // a path of ours
		parts = append(parts, name, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return digest(parts...)
}
