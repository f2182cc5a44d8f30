package wazeroengine_test

import (
	"net/http"
	"os"
	"runtime/debug"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func compileComponent(t testing.TB) engine.Module {
	t.Helper()
	wasm, err := os.ReadFile("../component/testdata/http-c/hello.wasm")
	if err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, wazeroengine.Options{Funcs: append(hostcalls.Functions(), wasi.Functions()...)})
	m, err := e.Compile(t.Context(), wasm, engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestComponentsAllocateNothing: a small request to a component, whose instance and Exchange are
// there already, costs no memory of the host.
func TestComponentsAllocateNothing(t *testing.T) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" && s.Value == "true" {
				t.Skip("the race detector lets pools forget what is in them")
			}
		}
	}
	m := compileComponent(t)
	tenant := &hostcalls.Tenant{}
	req := &hostcalls.Request{Method: "GET", Path: "/", Host: "example.com", Scheme: "https", Header: http.Header{"User-Agent": {"bench"}}}
	got := testing.AllocsPerRun(200, func() {
		x := hostcalls.NewExchange(tenant, req)
		defer x.Close()
		if err := m.Run(t.Context(), x); err != nil || x.Response().Code != 200 || x.Refused() != nil {
			t.Error(err, x.Refused())
		}
	})
	if got > 0 {
		t.Errorf("%v allocations", got)
	}
}

// BenchmarkComponent is the engine's time for a request to a component in C.
func BenchmarkComponent(b *testing.B) { run(b, compileComponent(b)) }
