package toolchain

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/terrane/terrane/examples"
)

// JavaScriptProject builds the guest of "terrane new js" by npm, as its README says.
func JavaScriptProject(t testing.TB) []byte {
	t.Helper()
	files, err := fs.Sub(examples.Templates, "hello-js")
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || name == "README.md" {
			return err
		}
		text, err := fs.ReadFile(files, name)
		parts = append(parts, name, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return cached(t, filepath.Join("projects", digest(parts...)+".wasm"), func(string) string {
		dir := t.TempDir()
		if err := os.CopyFS(dir, files); err != nil {
			t.Fatal(err)
		}
		if text, err := run(t, dir, "npm", "install", "--no-audit", "--no-fund"); err != nil {
			t.Skipf("npm install: %v: %.200s", err, text)
		}
		if text, err := run(t, dir, "npm", "run", "build"); err != nil {
			t.Fatalf("npm run build: %v\n%s", err, text)
		}
		return filepath.Join(dir, "hello.wasm")
	})
}
