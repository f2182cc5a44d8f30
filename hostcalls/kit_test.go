package hostcalls_test

import (
	"context"
	"net/http"
	"os"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/hostcallstest"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func newEngine(t testing.TB) engine.Engine {
	e, err := wazeroengine.New(wazeroengine.Options{Funcs: hostcalls.Functions()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return e
}

func TestKit(t *testing.T) { hostcallstest.Run(t, hostcallstest.Engine(t, newEngine(t))) }

// BenchmarkGuest runs whole requests: instance, entry, response.
func BenchmarkGuest(b *testing.B) {
	for _, c := range []struct{ name, file, method, path string }{
		{"nothing", "nothing", "GET", "/"},
		{"hello in WAT", "../examples/hello-wat/hello.wasm", "GET", "/"},
		{"hello in C", "../examples/hello-c/hello.wasm", "GET", "/"},
		{"hello in Rust", "../examples/hello-rust/hello.wasm", "GET", "/"},
		{"CGI in C", "wasi-c", "GET", "/exit0"},
		{"1000 times the clock", "calls", "T", "/"},
		{"1000 status codes", "calls", "C", "/"},
		{"1000 paths", "calls", "P", "/"},
		{"1000 headers", "calls", "H", "/"},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.file, c.method, c.path) })
	}
}

func benchmark(b *testing.B, file, method, path string) {
	var wasm []byte
	if _, err := os.Stat(file); err == nil {
		if wasm, err = os.ReadFile(file); err != nil {
			b.Fatal(err)
		}
	} else {
		wasm = hostcallstest.Guest(b, file)
	}
	m, err := newEngine(b).Compile(b.Context(), wasm, engine.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := m.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Error(err)
		}
	}()
	tn := &hostcalls.Tenant{Edge: "edge1", Region: "lab", KV: memorykv.New(hostcalls.Quota{})}
	req := &hostcalls.Request{
		Method: method, Path: path, Info: path, Module: "m.wasm", Host: "kit.example", Scheme: "https",
		Header: http.Header{"User-Agent": {"curl/8.0"}, "Accept": {"*/*"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		x := hostcalls.NewExchange(tn, req)
		if err := m.Run(b.Context(), x); err != nil {
			b.Fatal(err)
		}
		if r := x.Response(); r.Code >= http.StatusInternalServerError {
			b.Fatalf("%d %s", r.Code, r.Body)
		}
		x.Close()
	}
}
