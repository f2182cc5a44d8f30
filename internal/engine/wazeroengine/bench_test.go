package wazeroengine_test

import (
	"context"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

// BenchmarkRun is the engine's time for one request: in a recycled instance, in a new
// one.
func BenchmarkRun(b *testing.B) {
	for _, guest := range []string{"hello-wat", "hello-rust", "hello-c", "hello-assemblyscript", "hello-go"} {
		wasm, err := os.ReadFile("../../../examples/" + guest + "/hello.wasm")
		if err != nil {
			b.Fatal(err)
		}
		for name, idle := range map[string]int64{"recycled": 0, "fresh": -1} {
			b.Run(guest+"/"+name, func(b *testing.B) {
				e, err := wazeroengine.New(wazeroengine.Options{Funcs: hostcalls.Functions(), Idle: idle})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = e.Close(context.Background()) }()
				m, err := e.Compile(b.Context(), wasm, engine.Limits{})
				if err != nil {
					b.Skip(err)
				}
				defer func() { _ = m.Close(context.Background()) }()
				run(b, m)
			})
		}
	}
}

func run(b *testing.B, m engine.Module) {
	b.Helper()
	tenant := &hostcalls.Tenant{}
	req := &hostcalls.Request{Method: "GET", Path: "/", Host: "example.com", Header: http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}}}
	ctx, cancel := context.WithTimeout(b.Context(), 1<<40)
	defer cancel()
	b.ReportAllocs()
	var before, after syscall.Rusage // what other processes take does not count
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		x := hostcalls.NewExchange(tenant, req)
		if err := m.Run(ctx, x); err != nil {
			b.Fatal(err)
		}
		x.Close()
	}
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
}

// BenchmarkCompile is the time to make a module ready: anew, and from compiled code on
// disk.
func BenchmarkCompile(b *testing.B) {
	wasm, err := os.ReadFile("../../../examples/hello-rust/hello.wasm")
	if err != nil {
		b.Fatal(err)
	}
	for name, dir := range map[string]string{"anew": "", "cached": b.TempDir()} {
		b.Run(name, func(b *testing.B) {
			e, err := wazeroengine.New(wazeroengine.Options{Funcs: hostcalls.Functions(), CacheDir: dir})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = e.Close(context.Background()) }()
			for b.Loop() {
				m, err := e.Compile(b.Context(), wasm, engine.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Close(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
