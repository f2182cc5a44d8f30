package wazeroengine_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func TestConformanceWithCache(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"anew", "cached"} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
				return newEngine(t, wazeroengine.Options{Funcs: funcs, CacheDir: dir})
			})
		})
	}
}

// TestCacheDamage damages each kind of file in turn: the module still compiles, and
// what was damaged is whole again.
func TestCacheDamage(t *testing.T) {
	dir := t.TempDir()
	compile := func() {
		t.Helper()
		e := newEngine(t, wazeroengine.Options{Funcs: hostcalls.Functions(), CacheDir: dir})
		m, err := e.Compile(t.Context(), enginetest.Guest(t, "hello"), engine.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	code := func() string {
		t.Helper()
		files, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
		indices, _ := filepath.Glob(filepath.Join(dir, "index", "*"))
		if len(files) != 1 || len(indices) != 1 {
			t.Fatalf("files %q, indices %q; want one each", files, indices)
		}
		return files[0]
	}
	compile()
	file := code()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	index, _ := filepath.Glob(filepath.Join(dir, "index", "*"))
	for name, damage := range map[string]func() error{
		"one byte":  func() error { return os.WriteFile(file, append([]byte{whole[0] ^ 1}, whole[1:]...), 0o600) },
		"cut":       func() error { return os.Truncate(file, 7) },
		"gone":      func() error { return os.Remove(file) },
		"index":     func() error { return os.WriteFile(index[0], []byte("../../etc/passwd"), 0o600) },
		"no index":  func() error { return os.Remove(index[0]) },
		"left over": func() error { return os.Mkdir(filepath.Join(dir, "work-1"), 0o700) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		compile()
		if again, err := os.ReadFile(code()); err != nil || string(again) != string(whole) {
			t.Errorf("%s: the code was not made whole", name)
		}
	}
}
