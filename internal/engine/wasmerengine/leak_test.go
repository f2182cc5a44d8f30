//go:build engine_wasmer

package wasmerengine_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/hostcallstest"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wasmerengine"
)

func request(ctx context.Context, m engine.Module, method string) error {
	x := hostcalls.NewExchange(&hostcalls.Tenant{}, &hostcalls.Request{Method: method, Path: "/", Header: http.Header{"X": {"y"}}})
	defer x.Close()
	return m.Run(ctx, x)
}

// TestNothingLeaks looks at what C has allocated after guests that end in every way, in
// recycled instances and in new ones: no more than 32 bytes for each request, or one
// third of a byte for each call of the host.
func TestNothingLeaks(t *testing.T) {
	const slack = 64_000
	runtime.LockOSThread() // each thread keeps some of what it frees
	defer runtime.UnlockOSThread()
	for name, idle := range map[string]int64{"recycled": 0, "fresh": -1} {
		e := newEngine(t, wasmerengine.Options{Funcs: hostcalls.Functions(), Idle: idle, Renew: 500})
		for _, tt := range []struct {
			guest, method string
			wasm          []byte
			requests      int
		}{
			{"hello", "GET", enginetest.Guest(t, "hello"), 2_000},
			{"1000 calls without result", "P", hostcallstest.Guest(t, "calls"), 200},
			{"1000 calls with one", "C", hostcallstest.Guest(t, "calls"), 200},
			{"fault", "GET", enginetest.Guest(t, "unreachable"), 2_000},
			{"stack overflow", "GET", enginetest.Guest(t, "recurse"), 200},
			{"grown", "GET", enginetest.Guest(t, "grow"), 2_000},
			{"exit", "GET", hostcallstest.Guest(t, "wasi-c"), 2_000},
		} {
			round := func(n int) {
				m, err := e.Compile(t.Context(), tt.wasm, engine.Limits{Memory: 32 << 20})
				if err != nil {
					t.Fatal(err)
				}
				for range n {
					_ = request(t.Context(), m, tt.method) // some trap
				}
				if err := m.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
			round(100)
			heap, maps := wasmerengine.Heap(), mappings(t)
			round(tt.requests)
			if left := int64(wasmerengine.Heap() - heap); left > slack {
				t.Errorf("%s, %s: %d bytes are left after %d requests", name, tt.guest, left, tt.requests)
			}
			if more := mappings(t) - maps; more > 20 {
				t.Errorf("%s, %s: %d mappings more after %d requests", name, tt.guest, more, tt.requests)
			}
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestLoadingLeaksNothing compiles a module, and loads it from disk again and again.
func TestLoadingLeaksNothing(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	e := newEngine(t, wasmerengine.Options{Funcs: hostcalls.Functions(), CacheDir: t.TempDir()})
	wasm := hostcallstest.Guest(t, "wasi-c")
	load := func(n int) {
		for range n {
			m, err := e.Compile(t.Context(), wasm, engine.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
	load(20)
	heap, maps := wasmerengine.Heap(), mappings(t)
	load(200)
	if left := int64(wasmerengine.Heap() - heap); left > 64_000 {
		t.Errorf("%d bytes are left after 200 modules", left)
	}
	if more := mappings(t) - maps; more > 20 {
		t.Errorf("%d mappings more after 200 modules", more)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// resident is the memory of this process, in bytes.
func resident(t testing.TB) int64 {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc to read the size from")
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(statm), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

func mappings(t *testing.T) int {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("no /proc to count mappings in")
	}
	return bytes.Count(maps, []byte("\n"))
}
