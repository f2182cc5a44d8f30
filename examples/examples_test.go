package examples_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrane/terrane/examples"
	"github.com/terrane/terrane/internal/config"
)

const maxModule = 300 << 10

// guest is a folder that builds one module.
type guest struct{ dir, module, source string }

func (g guest) file() string { return filepath.Join(g.dir, g.module) }

// guests finds the folders with a Makefile, and what each builds.
func guests(t *testing.T) []guest {
	t.Helper()
	makefiles, err := filepath.Glob("*/Makefile")
	if err != nil || len(makefiles) == 0 {
		t.Fatalf("no guests: %v", err)
	}
	var all []guest
	for _, file := range makefiles {
		dir := filepath.Dir(file)
		module, sdk := "", ""
		for line := range strings.Lines(read(t, file)) {
			line = strings.TrimSpace(line)
			if m, ok := strings.CutPrefix(line, "MODULE := "); ok {
				module = m
			}
			if s, ok := strings.CutPrefix(line, "include $(SDK)/"); ok {
				sdk = strings.TrimSuffix(s, "/rules.mk")
			}
		}
		ext, ok := map[string]string{"rust": ".rs", "c": ".c", "wat": ".wat"}[sdk]
		if module == "" || !ok {
			t.Fatalf("%s: want MODULE := NAME.wasm and include $(SDK)/LANGUAGE/rules.mk", file)
		}
		all = append(all, guest{dir, module, strings.TrimSuffix(module, ".wasm") + ext})
	}
	return all
}

func TestGuestsAreWhole(t *testing.T) {
	readme := read(t, "README.md")
	for _, g := range guests(t) {
		t.Run(g.dir, func(t *testing.T) {
			if wasm := read(t, g.file()); !strings.HasPrefix(wasm, "\x00asm\x01\x00\x00\x00") {
				t.Errorf("%s is not a WebAssembly module", g.module)
			} else if len(wasm) > maxModule {
				t.Errorf("%s has %d bytes, more than %d", g.module, len(wasm), maxModule)
			}
			read(t, filepath.Join(g.dir, g.source))
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
		built = append(built, []byte(read(t, g.file())))
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

// TestTemplatesBuild builds each embedded guest as `terrane new` lays it out: the
// guest's files, and the library in the folder sdk beside them.
func TestTemplatesBuild(t *testing.T) {
	for _, g := range guests(t) {
		lang, ok := strings.CutPrefix(g.dir, "hello-")
		if !ok {
			continue
		}
		t.Run(lang, func(t *testing.T) {
			dir := t.TempDir()
			copyFrom(t, g.dir, dir)
			copyFrom(t, "sdk/"+lang, filepath.Join(dir, "sdk", lang))
			if err := os.Remove(filepath.Join(dir, g.module)); err != nil {
				t.Fatal(err)
			}
			build(t, dir, lang, ".")
			if _, err := os.Stat(filepath.Join(dir, g.module)); err != nil {
				t.Error(err)
			}
		})
	}
}

// build runs make in dir, with the module going to out. It skips the test where the
// language's compiler is not installed.
func build(t *testing.T, dir, lang, out string) {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles guests")
	}
	tool := map[string]string{"rust": rustc(), "c": "clang", "wat": "wat2wasm"}[lang]
	for _, name := range []string{"make", tool} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not installed", name)
		}
	}
	if lang == "rust" && !hasTarget(tool) {
		t.Skipf("%s has no target wasm32-unknown-unknown", tool)
	}
	cmd := exec.Command("make", "-C", dir, "RUSTC="+rustc(), "OUT="+out)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make: %v\n%s", err, output)
	}
}

func rustc() string {
	const debian = "/usr/bin/rustc" // another may come first in PATH, without the target
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	return "rustc"
}

func hasTarget(rustc string) bool {
	out, err := exec.Command(rustc, "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
	if err != nil {
		return false
	}
	_, err = os.Stat(strings.TrimSpace(string(out)))
	return err == nil
}

func copyFrom(t *testing.T, embedded, to string) {
	t.Helper()
	sub, err := fs.Sub(examples.Templates, embedded)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, sub); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
