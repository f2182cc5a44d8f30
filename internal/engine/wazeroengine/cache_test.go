package wazeroengine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/tetratelabs/wazero"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
)

func newCached(t testing.TB, funcs []hostcalls.Func, dir string, metrics prometheus.Registerer) engine.Engine {
	return openEngine(t, Options{Funcs: funcs, CacheDir: dir, Metrics: metrics})
}

func TestCache(t *testing.T) { enginetest.RunCache(t, newCached) }
func TestReuse(t *testing.T) { enginetest.RunReuse(t, newCached) }

func openEngine(t testing.TB, o Options) *Engine {
	t.Helper()
	if o.Funcs == nil {
		o.Funcs = hostcalls.Functions()
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// answer compiles the module, gives it a request, closes it, and returns the response's body.
func answer(t testing.TB, e *Engine, wasm []byte) string {
	t.Helper()
	m, err := e.Compile(t.Context(), wasm, engine.Limits{})
	if err != nil {
		t.Error(err)
		return ""
	}
	x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{Method: "GET", Path: "/", Header: http.Header{}})
	defer x.Close()
	if err := errors.Join(m.Run(t.Context(), x), m.Close(t.Context())); err != nil {
		t.Error(err)
	}
	return string(x.Response().Body)
}

// short is the guest hello with other code: it says less.
func short(t testing.TB) []byte {
	t.Helper()
	return bytes.Replace(enginetest.Guest(t, "hello"), []byte("\x41\x0c"), []byte("\x41\x05"), 1)
}

// quickDir is a directory in memory, where there is one: wazero syncs each file of code to disk.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "terrane-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// codeFile is the code of the one module in the cache.
func codeFile(t testing.TB, dir string) string {
	t.Helper()
	code, _ := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if len(code) != 1 {
		t.Fatalf("files of code %q, want one", code)
	}
	return code[0]
}

// thief is a runtime to whose files something happens after they were verified and
// before they are opened.
type thief struct {
	wazero.Runtime
	strike func()
}

func (t *thief) CompileModule(ctx context.Context, wasm []byte) (wazero.CompiledModule, error) {
	t.strike()
	return t.Runtime.CompileModule(ctx, wasm)
}

// TestImpostor takes the code away in the one moment in which wazero would compile the shell, or
// puts another module's there.
func TestImpostor(t *testing.T) {
	hello, other := enginetest.Guest(t, "hello"), t.TempDir()
	e := openEngine(t, Options{CacheDir: other})
	answer(t, e, short(t))
	foreign, err := os.ReadFile(codeFile(t, other))
	if err := errors.Join(err, e.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for name, strike := range map[string]func(code string) error{
		"gone":      os.Remove,
		"exchanged": func(code string) error { return os.WriteFile(code, foreign, 0o600) },
	} {
		for _, times := range []int{1, 2} {
			t.Run(fmt.Sprint(name, times), func(t *testing.T) {
				dir := t.TempDir()
				e := openEngine(t, Options{CacheDir: dir})
				answer(t, e, hello)
				left := times
				honest := e.cache.runtime
				e.cache.runtime = &thief{honest, func() {
					if left > 0 {
						left--
						if err := strike(codeFile(t, dir)); err != nil {
							t.Error(err)
						}
					}
				}}
				if got := answer(t, e, hello); got != "hello, world" {
					t.Errorf("the module answers %q", got)
				}
				if n := testutil.ToFloat64(e.compiled); n != 2 {
					t.Errorf("compiled %v times, want 2", n)
				}
				if err := e.Close(t.Context()); err != nil {
					t.Error(err)
				}
				e = openEngine(t, Options{CacheDir: dir})
				for range 2 {
					if got := answer(t, e, hello); got != "hello, world" {
						t.Errorf("after a restart the module answers %q", got)
					}
				}
				if n := testutil.ToFloat64(e.compiled); n > 1 {
					t.Errorf("after a restart it was compiled %v times", n)
				}
				if err := e.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestRestart makes 1,000 modules ready without compiling one.
func TestRestart(t *testing.T) {
	dir, hello := quickDir(t), enginetest.Guest(t, "hello")
	for _, want := range []float64{1000, 0} {
		e := openEngine(t, Options{CacheDir: dir, Metrics: prometheus.NewRegistry()})
		var modules []engine.Module
		for i := range 1000 {
			m, err := e.Compile(t.Context(), bytes.Replace(hello, []byte("world"), fmt.Appendf(nil, "%05d", i), 1), engine.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			modules = append(modules, m)
		}
		if n := testutil.ToFloat64(e.compiled); n != want {
			t.Errorf("%v modules were compiled, want %v", n, want)
		}
		for i, m := range modules {
			x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{})
			err := errors.Join(m.Run(t.Context(), x), m.Close(t.Context()))
			if got := string(x.Response().Body); err != nil || got != fmt.Sprintf("hello, %05d", i) {
				t.Errorf("module %d answers %q, %v", i, got, err)
			}
			x.Close()
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestRefusalsOverTheCache wants the words that a module is refused with to be those without a cache, each
// time, and a module refused for its limits to be taken with others.
func TestRefusalsOverTheCache(t *testing.T) {
	dir := t.TempDir()
	plain, cached := openEngine(t, Options{}), openEngine(t, Options{CacheDir: dir})
	defer func() { _ = errors.Join(plain.Close(context.Background()), cached.Close(context.Background())) }()
	for _, name := range []string{"unknown", "fourgib", "hugetable", "outside", "hello"} {
		for _, memory := range []int64{32 << 10, 1 << 20, 32 << 10} {
			m, want := plain.Compile(t.Context(), enginetest.Guest(t, name), engine.Limits{Memory: memory})
			if m != nil {
				want = m.Close(t.Context())
			}
			for range 2 {
				m, got := cached.Compile(t.Context(), enginetest.Guest(t, name), engine.Limits{Memory: memory})
				if m != nil {
					got = m.Close(t.Context())
				}
				if fmt.Sprint(got) != fmt.Sprint(want) || errors.Is(got, engine.ErrRefused) != errors.Is(want, engine.ErrRefused) {
					t.Errorf("%s in %d bytes: %v; without a cache %v", name, memory, got, want)
				}
			}
		}
	}
	codeFile(t, dir) // that of hello: what was refused leaves none
}

// TestFullDisk wants modules to be run where their code cannot be kept.
func TestFullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "compiled")
	e := openEngine(t, Options{CacheDir: dir})
	defer func() { _ = e.Close(context.Background()) }()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if got := answer(t, e, enginetest.Guest(t, "hello")); got != "hello, world" {
		t.Errorf("the module answers %q", got)
	}
}

// TestCacheOfOtherFunctions loads no module that was checked against functions which this engine has not, or
// has of other types.
func TestCacheOfOtherFunctions(t *testing.T) {
	dir, hello := t.TempDir(), enginetest.Guest(t, "hello")
	without := slices.DeleteFunc(hostcalls.Functions(), func(f hostcalls.Func) bool { return f.Name == "hostcall_resp_set_body" })
	changed := append(slices.Clone(without), hostcalls.Func{Module: "env", Name: "hostcall_resp_set_body"})
	for range 2 {
		for _, funcs := range [][]hostcalls.Func{nil, without, changed} {
			e := openEngine(t, Options{CacheDir: dir, Funcs: funcs})
			if funcs == nil {
				answer(t, e, hello)
			} else if _, err := e.Compile(t.Context(), hello, engine.Limits{}); !errors.Is(err, engine.ErrRefused) {
				t.Errorf("a module without its functions: %v", err)
			}
			if err := e.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

// FuzzDecodeReady wants of any bytes an error or what encodes to something that decodes alike.
func FuzzDecodeReady(f *testing.F) {
	r := ready{Entry: "run", HasMemory: true}
	r.Wasm, r.Fresh, r.Enter = []byte("\x00asm"), "it grows a table", 7
	seed, err := r.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(strings.Repeat("\xff", 9) + "\x01{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeReady(b)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if second, err := decodeReady(again); err != nil || fmt.Sprint(second) != fmt.Sprint(r) {
			t.Errorf("%+v becomes %+v, %v", r, second, err)
		}
	})
}
