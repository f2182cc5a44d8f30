package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

// NewCached makes the engine under test, which offers funcs and keeps compiled code in dir, if
// that is not empty. The suite closes it.
type NewCached func(t testing.TB, funcs []hostcalls.Func, dir string, metrics prometheus.Registerer) engine.Engine

// RunCache tests an engine that keeps compiled code on disk.
func RunCache(t *testing.T, newEngine NewCached) {
	dir := t.TempDir()
	for _, name := range []string{"Anew", "Cached"} {
		t.Run(name, func(t *testing.T) {
			Run(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine { return newEngine(t, funcs, dir, nil) })
		})
	}
	t.Run("Restart", func(t *testing.T) { testRestart(t, newEngine) })
	t.Run("Damage", func(t *testing.T) { testDamage(t, newEngine) })
	t.Run("Shared", func(t *testing.T) { testShared(t, newEngine) })
}

// visit compiles modules on an engine of its own, which it lets answer, and returns how many
// modules the engine did not find on disk.
func visit(t *testing.T, newEngine NewCached, dir string, visits ...visited) (compiled int) {
	t.Helper()
	reg := prometheus.NewRegistry()
	e := newEngine(t, functions(), dir, reg)
	for _, v := range visits {
		m, err := e.Compile(t.Context(), Guest(t, v.guest), engine.Limits{Memory: v.memory})
		if err != nil {
			t.Fatalf("%s: %v", v.guest, err)
		}
		body, err := request(t.Context(), m)
		if body != v.body || reason(err) != v.reason {
			t.Errorf("%s: got %q, %v; want %q, %q", v.guest, body, err, v.body, v.reason)
		}
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	compiled = counted(t, reg, "terrane_engine_compilations_total")
	if err := e.Close(context.Background()); err != nil {
		t.Error(err)
	}
	return compiled
}

// counted is the value of a counter.
func counted(t testing.TB, reg prometheus.Gatherer, name string) int {
	t.Helper()
	metrics, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range metrics {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

type visited struct {
	guest  string
	memory int64
	body   string
	reason string
}

// testRestart wants code to be found again, and only what was compiled for the same limits.
func testRestart(t *testing.T, newEngine NewCached) {
	dir := t.TempDir()
	all := []visited{
		{"hello", 0, "hello, world", ""},
		{"grow", 32 * mib, "\x00\x02\x00\x00", ""},
		{"grow", 16 * mib, "\x00\x01\x00\x00", ""},
		{"recurse", 0, "", "stack overflow"},
		{"tableset", 0, "\x01\x00\x00\x00", ""},
	}
	for i, want := range []int{len(all), 0, 0} {
		if n := visit(t, newEngine, dir, all...); n != want {
			t.Errorf("start %d: %d modules were compiled, want %d", i, n, want)
		}
	}
}

// testDamage damages each file in each way: the modules run, and what was damaged is
// whole again.
func testDamage(t *testing.T, newEngine NewCached) {
	dir := t.TempDir()
	both := []visited{{"hello", 0, "hello, world", ""}, {"exit0", 0, "\x01\x00\x00\x00", ""}}
	if n := visit(t, newEngine, dir, both...); n != 2 {
		t.Fatalf("%d modules were compiled, want 2", n)
	}
	whole := map[string][]byte{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			whole[name], err = os.ReadFile(name)
		}
		return err
	})
	if err != nil || len(whole) < 2 {
		t.Fatalf("%d files for two modules, %v", len(whole), err)
	}
	others := func(name string) []byte {
		for other, content := range whole {
			if other != name && filepath.Dir(other) == filepath.Dir(name) {
				return content
			}
		}
		return nil
	}
	change := func(at int) func(string, []byte) []byte {
		return func(_ string, content []byte) []byte {
			changed := bytes.Clone(content)
			changed[(at+len(content))%len(content)] ^= 1
			return changed
		}
	}
	for how, damage := range map[string]func(name string, content []byte) []byte{
		"first byte": change(0),
		"50th byte":  change(50),
		"last byte":  change(-1),
		"cut":        func(_ string, content []byte) []byte { return content[:len(content)-1] },
		"cut short":  func(_ string, content []byte) []byte { return content[:7] },
		"emptied":    func(string, []byte) []byte { return nil },
		"longer":     func(_ string, content []byte) []byte { return append(slices.Clip(content), 0) },
		"another's":  func(name string, _ []byte) []byte { return others(name) },
		"gone":       nil,
	} {
		for name, content := range whole {
			err := os.Remove(name)
			if damage != nil {
				err = os.WriteFile(name, damage(name, content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(dir, name)
			if n := visit(t, newEngine, dir, both...); n == 0 && how != "gone" || n > 2 {
				t.Errorf("%s, %s: %d modules were compiled", rel, how, n)
			}
			if n := visit(t, newEngine, dir, both...); n != 0 {
				t.Errorf("%s, %s: not whole again, %d modules were compiled", rel, how, n)
			}
		}
	}
	files := 0
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			files++
		}
		return err
	})
	if files != len(whole) {
		t.Errorf("%d files are left of %d", files, len(whole))
	}
}

// testShared has two engines that share a directory compile the same modules at a time, again and
// again.
func testShared(t *testing.T, newEngine NewCached) {
	dir := t.TempDir()
	engines := []*suite{
		start(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine { return newEngine(t, funcs, dir, nil) }),
		start(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine { return newEngine(t, funcs, dir, nil) }),
	}
	load := func(e engine.Engine, guest string) error {
		m, err := e.Compile(t.Context(), Guest(t, guest), engine.Limits{})
		if err != nil {
			return err
		}
		_, err = request(t.Context(), m)
		return errors.Join(err, m.Close(context.Background()))
	}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for range 20 {
				if err := load(engines[i%2].e, []string{"hello", "dirty", "work"}[i%3]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
