package wazeroengine_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

// BenchmarkRun is the engine's time for one request: in a recycled instance, in a new
// one.
func BenchmarkRun(b *testing.B) {
	for _, guest := range []string{"hello-wat", "hello-rust", "hello80", "hello-c", "hello-assemblyscript", "hello-go"} {
		for name, idle := range map[string]int64{"recycled": 0, "fresh": -1} {
			b.Run(guest+"/"+name, func(b *testing.B) {
				wasm := benchGuest(b, guest)
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

// benchGuest is a guest of the examples, or hello80, which is as large as programs often are.
func benchGuest(b *testing.B, name string) []byte {
	b.Helper()
	file := "../../../examples/" + name + "/hello.wasm"
	if name == "hello80" {
		file = "testdata/hello80.wasm"
	}
	wasm, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		b.Skip("make examples builds it: ", err)
	}
	if err != nil {
		b.Fatal(err)
	}
	return wasm
}

func run(b *testing.B, m engine.Module) {
	b.Helper()
	tenant := &hostcalls.Tenant{}
	req := &hostcalls.Request{Method: "GET", Path: "/", Host: "example.com", Header: http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}}}
	ctx, cancel := context.WithTimeout(b.Context(), 1<<40)
	defer cancel()
	b.ReportAllocs()
	before := spent()
	for b.Loop() {
		x := hostcalls.NewExchange(tenant, req)
		if err := m.Run(ctx, x); err != nil {
			b.Fatal(err)
		}
		x.Close()
	}
	b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op")
}

// spent is the processor time of this process in nanoseconds: what others take of the
// machine does not count.
func spent() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkCompile(b *testing.B) {
	enginetest.Compile(b, benchGuest(b, "hello80"), func(t testing.TB, funcs []hostcalls.Func, dir string, _ prometheus.Registerer) engine.Engine {
		return newEngine(t, wazeroengine.Options{Funcs: funcs, CacheDir: dir})
	})
}
