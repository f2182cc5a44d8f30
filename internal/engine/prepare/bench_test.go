package prepare_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/terrane/terrane/internal/engine/prepare"
)

// BenchmarkMetering is what preparation costs computing guests.
func BenchmarkMetering(b *testing.B) {
	wasm, err := os.ReadFile("testdata/compute.wasm")
	if err != nil {
		b.Fatal(err)
	}
	for _, prepared := range []bool{false, true} {
		h := newHost(b, prepared)
		defer func() { _ = h.Close(b.Context()) }()
		name := "plain"
		if prepared {
			name = "prepared"
			r, err := prepare.Prepare(wasm, prepare.Options{MemoryPages: 16, TableSize: 16})
			if err != nil {
				b.Fatal(err)
			}
			wasm = r.Wasm
		}
		m, err := h.InstantiateWithConfig(b.Context(), wasm, wazero.NewModuleConfig())
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []struct {
			name string
			arg  uint64
		}{{"fib", 27}, {"loop", 1_000_000}, {"sieve", 500_000}, {"sort", 2_000}, {"hash", 1_000}} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				f := m.ExportedFunction(c.name)
				before := spent(b)
				for b.Loop() {
					if _, err := f.Call(b.Context(), c.arg); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(spent(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// spent is the processor time of this process in nanoseconds: what others take of the
// machine does not count.
func spent(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkPrepare is the rewriting itself.
func BenchmarkPrepare(b *testing.B) {
	wasm, err := os.ReadFile("../wazeroengine/testdata/hello80.wasm")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(wasm)))
	for b.Loop() {
		if _, err := prepare.Prepare(wasm, prepare.Options{MemoryPages: 16, TableSize: 1 << 20}); err != nil {
			b.Fatal(err)
		}
	}
}
