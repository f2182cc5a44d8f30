package wazeroengine

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

// TestRecycledEqualsNew runs every guest of the suite, of the kit and of the examples, and compares
// the memory of the recycled instance with that of a new one. That Enter restores the
// globals, and that the tables of what is recycled cannot change, is tested in prepare.
func TestRecycledEqualsNew(t *testing.T) {
	for _, old := range []bool{false, true} {
		e, err := New(Options{Funcs: hostcalls.Functions(), CacheDir: quickDir(t)})
		if err != nil {
			t.Fatal(err)
		}
		if old {
			if err := e.OldKernel(); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(e.restorer.Method(), func(t *testing.T) { testRecycledEqualsNew(t, e) })
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func testRecycledEqualsNew(t *testing.T, e *Engine) {
	recycled := 0
	for _, pattern := range []string{"../enginetest/testdata/*.wasm", "../../../examples/*/*.wasm", "../../../hostcalls/hostcallstest/guests/*.wasm"} {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			wasm, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if len(wasm) > 1<<20 {
				continue // it compiles for long, and has nothing that the others have not
			}
			compiled, err := e.Compile(t.Context(), wasm, engine.Limits{CPU: 50 * time.Millisecond, Memory: 32 << 20})
			if err != nil {
				continue // it needs what is not offered here
			}
			m, _ := compiled.(*module)
			for range 5 {
				x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{
					ID: "1", Method: "POST", Path: "/a?b=c", Host: "example.com", Header: http.Header{"X-Test": {"1", ""}}, Body: bytes.Repeat([]byte("x"), 100_000)})
				if m.Run(t.Context(), x) == nil {
					if old := e.pool.Take(&m.idle); old != nil {
						recycled++
						compare(t, m, old, filepath.Base(f))
						m.release(t.Context(), old)
					}
				}
				x.Close()
			}
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	if held := e.pool.Size(); held != 0 {
		t.Errorf("%d bytes are held for closed modules", held)
	}
	if recycled < 100 {
		t.Errorf("only %d instances were recycled", recycled)
	}
}

func compare(t *testing.T, m *module, old *instance, name string) {
	t.Helper()
	if old.memory == nil {
		return
	}
	anew, err := m.instantiate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer anew.close(t.Context())
	if n := old.mod.Memory().Size(); int(n) != len(anew.memory.Bytes()) {
		t.Errorf("%s: recycled, the memory has %d bytes; anew %d", name, n, len(anew.memory.Bytes()))
	}
	if !bytes.Equal(old.memory.Bytes(), anew.memory.Bytes()) {
		t.Errorf("%s: recycled, the memory differs from a new one", name)
	}
}

// BenchmarkFloor is a request in an instance that is not put back: what isolation costs
// is the difference to BenchmarkRun.
func BenchmarkFloor(b *testing.B) {
	for _, guest := range []string{"hello-wat", "hello-rust"} {
		wasm, err := os.ReadFile("../../../examples/" + guest + "/hello.wasm")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(guest, func(b *testing.B) {
			e, err := New(Options{Funcs: hostcalls.Functions()})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = e.Close(context.Background()) }()
			compiled, err := e.Compile(b.Context(), wasm, engine.Limits{})
			if err != nil {
				b.Fatal(err)
			}
			m, _ := compiled.(*module)
			in := e.pool.Take(&m.idle)
			tenant, req := &hostcalls.Tenant{}, &hostcalls.Request{Method: "GET", Path: "/", Header: http.Header{}}
			for b.Loop() {
				x := hostcalls.NewExchange(tenant, req)
				if err := in.run(b.Context(), x); err != nil {
					b.Fatal(err)
				}
				x.Close()
			}
			in.close(b.Context())
			if err := m.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
