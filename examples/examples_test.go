package examples_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
)

const maxModule = 300 << 10

// guest is a folder that builds one module.
type guest struct{ dir, module, lang string }

func (g guest) file() string { return filepath.Join(g.dir, g.module) }

// committed reports whether the module is kept in git: Go's are too large.
func (g guest) committed() bool { return g.lang != "go" }

// languages has the source's suffix and the compiler of each.
var languages = map[string]struct{ suffix, compiler string }{
	"assemblyscript": {".ts", "npx"},
	"c":              {".c", "clang"},
	"go":             {".go", "go"},
	"rust":           {".rs", "rustc"},
	"wat":            {".wat", "wat2wasm"},
}

// guests finds the folders with a Makefile, and what each builds.
func guests(t *testing.T) []guest {
	t.Helper()
	makefiles, err := filepath.Glob("*/Makefile")
	if err != nil || len(makefiles) == 0 {
		t.Fatalf("no guests: %v", err)
	}
	var all []guest
	for _, file := range makefiles {
		g := guest{dir: filepath.Dir(file)}
		for line := range strings.Lines(read(t, file)) {
			line = strings.TrimSpace(line)
			if m, ok := strings.CutPrefix(line, "MODULE := "); ok {
				g.module = m
			}
			if s, ok := strings.CutPrefix(line, "include $(SDK)/"); ok {
				g.lang = strings.TrimSuffix(s, "/rules.mk")
			}
		}
		if _, ok := languages[g.lang]; !ok || g.module == "" {
			t.Fatalf("%s: want MODULE := NAME.wasm and include $(SDK)/LANGUAGE/rules.mk", file)
		}
		all = append(all, g)
	}
	return all
}

func TestGuestsAreWhole(t *testing.T) {
	readme := read(t, "README.md")
	for _, g := range guests(t) {
		t.Run(g.dir, func(t *testing.T) {
			if g.committed() && len(read(t, g.file())) > maxModule {
				t.Errorf("%s has more than %d bytes", g.module, maxModule)
			}
			source := strings.TrimSuffix(g.file(), ".wasm") + languages[g.lang].suffix
			if _, err := os.Stat(source); err != nil {
				t.Error(err)
			}
			own := read(t, filepath.Join(g.dir, "README.md"))
			for _, want := range []string{"make", "terrane run " + g.module} {
				if !strings.Contains(own, want) {
					t.Errorf("%s/README.md does not say %q", g.dir, want)
				}
			}
			if !strings.Contains(readme, "`"+g.dir+"`") {
				t.Errorf("README.md does not list %s", g.dir)
			}
		})
	}
}

func TestStoreHasTheBuiltModules(t *testing.T) {
	var built [][]byte
	for _, g := range guests(t) {
		if g.committed() {
			built = append(built, []byte(read(t, g.file())))
		}
	}
	modules, err := filepath.Glob("store/*/*.wasm")
	if err != nil || len(modules) == 0 {
		t.Fatalf("no modules in the store: %v", err)
	}
	for _, file := range modules {
		wasm := []byte(read(t, file))
		if !slices.ContainsFunc(built, func(b []byte) bool { return bytes.Equal(b, wasm) }) {
			t.Errorf("%s is none of the built guests: run make -C examples", file)
		}
	}
}

func TestEdgeConfigurations(t *testing.T) {
	t.Setenv("TERRANE_BGP_PASSWORD", "of the test")
	t.Setenv("TERRANE_TLS_KEY", "a secret of at least 32 characters")
	files, err := filepath.Glob("edge/*.toml")
	if err != nil || len(files) < 3 {
		t.Fatalf("got %v, %v", files, err)
	}
	for _, file := range files {
		if _, err := config.Load(file); err != nil {
			t.Error(err)
		}
	}
}

// runMake skips the test where the language's compiler is not installed.
func runMake(t *testing.T, dir, lang string, vars ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles guests")
	}
	for _, name := range []string{"make", languages[lang].compiler} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	switch lang {
	case "rust":
		vars = append(vars, "RUSTC="+rustc(t))
	case "assemblyscript":
		vars = append(vars, "ASC="+asc(t))
	}
	cmd := exec.Command("make", append(vars, "-C", dir)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, output)
	}
}

// rustc finds a compiler that has both targets: the first in PATH need not.
func rustc(t *testing.T) string {
	t.Helper()
	has := func(rustc, target string) bool {
		out, err := exec.Command(rustc, "--print", "target-libdir", "--target", target).Output()
		if err != nil {
			return false
		}
		_, err = os.Stat(strings.TrimSpace(string(out)))
		return err == nil
	}
	for _, rustc := range []string{"/usr/bin/rustc", "rustc"} {
		if has(rustc, "wasm32-unknown-unknown") && has(rustc, "wasm32-wasi") {
			return rustc
		}
	}
	t.Skip("no rustc has the targets wasm32-unknown-unknown and wasm32-wasi")
	return ""
}

// asc is the compiler's command if npx has it already: tests fetch nothing.
func asc(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(read(t, "sdk/assemblyscript/rules.mk")) {
		command, ok := strings.CutPrefix(line, "ASC     ?= ")
		if !ok {
			continue
		}
		command = strings.Replace(strings.TrimSpace(command), "npx ", "npx --offline ", 1)
		if err := exec.Command("sh", "-c", command+" --version").Run(); err != nil {
			t.Skip("npx has not fetched assemblyscript yet: run make -C examples")
		}
		return command
	}
	t.Fatal("sdk/assemblyscript/rules.mk sets no ASC")
	return ""
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
