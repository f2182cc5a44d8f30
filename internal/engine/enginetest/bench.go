package enginetest

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

// Contender is an engine in a comparison.
type Contender struct {
	Name string
	New  New
}

// Compare benchmarks engines in turns: requests to the examples' hello in five languages, found
// below the folder examples, and what a guest computes. It reports processor time, and each
// contender's as a share of the first one's.
func Compare(b *testing.B, examples string, contenders ...Contender) {
	for _, guest := range []string{"hello-wat", "hello-rust", "hello-c", "hello-assemblyscript", "hello-go"} {
		b.Run("request/"+guest, func(b *testing.B) {
			wasm, err := os.ReadFile(examples + "/" + guest + "/hello.wasm")
			if err != nil {
				b.Skip(err)
			}
			compare(b, contenders, func(b *testing.B, e engine.Engine) func(n int) error {
				m := compiled(b, e, wasm)
				tenant := &hostcalls.Tenant{}
				req := &hostcalls.Request{Method: "GET", Path: "/", Host: "example.com", Header: http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}}}
				ctx, cancel := context.WithTimeout(b.Context(), 1<<40)
				b.Cleanup(cancel)
				return func(n int) error {
					for range n {
						x := hostcalls.NewExchange(tenant, req)
						if err := m.Run(ctx, x); err != nil {
							return err
						}
						x.Close()
					}
					return nil
				}
			})
		})
	}
	for _, c := range []struct {
		name string
		arg  uint32
	}{{"fib", 24}, {"loop", 200_000}, {"sieve", 100_000}, {"sort", 1_000}, {"hash", 200}} {
		b.Run("compute/"+c.name, func(b *testing.B) {
			compare(b, contenders, func(b *testing.B, e engine.Engine) func(n int) error {
				m := compiled(b, e, Guest(b, "compute"))
				return func(n int) error {
					ctx := context.WithValue(b.Context(), repeat{}, func(ctx context.Context, g hostcalls.Guest) error {
						for range n {
							if _, err := g.CallExport(ctx, c.name, c.arg, true); err != nil {
								return err
							}
						}
						return nil
					})
					_, err := request(ctx, m)
					return err
				}
			})
		})
	}
}

// repeat is the key of what the function test.repeat does.
type repeat struct{}

// compare runs what prepare makes for each contender, in turns.
func compare(b *testing.B, contenders []Contender, prepare func(*testing.B, engine.Engine) func(n int) error) {
	b.Helper()
	var runs []func(int) error
	for _, c := range contenders {
		runs = append(runs, prepare(b, start(b, c.New).e))
	}
	batch := 1
	for { // until a batch is long enough for the clock
		began := spent()
		if err := runs[0](batch); err != nil {
			b.Fatal(err)
		}
		if spent()-began > 2_000_000 {
			break
		}
		batch *= 2
	}
	total := make([]int64, len(runs))
	for b.Loop() {
		for i, run := range runs {
			began := spent()
			if err := run(batch); err != nil {
				b.Fatalf("%s: %v", contenders[i].Name, err)
			}
			total[i] += spent() - began
		}
	}
	b.ReportMetric(0, "ns/op") // of all together: says nothing
	for i, c := range contenders {
		name := strings.ReplaceAll(c.Name, " ", "-")
		b.ReportMetric(float64(total[i])/float64(b.N*batch), name+"-ns")
		b.ReportMetric(float64(total[i])/float64(total[0]), name+"-share")
	}
}

// Compile is the time to make the module ready: anew, from compiled code on disk, and from there
// until the first request is answered.
func Compile(b *testing.B, wasm []byte, newEngine NewCached) {
	dir := b.TempDir()
	for _, bench := range []struct {
		name, dir string
		run       bool
	}{{name: "anew"}, {name: "cached", dir: dir}, {name: "first", dir: dir, run: true}} {
		b.Run(bench.name, func(b *testing.B) {
			s := start(b, func(t testing.TB, funcs []hostcalls.Func) engine.Engine { return newEngine(t, funcs, bench.dir, nil) })
			before := spent()
			for b.Loop() {
				m, err := s.e.Compile(b.Context(), wasm, engine.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				if bench.run {
					_, err = request(b.Context(), m)
				}
				if err := errors.Join(err, m.Close(b.Context())); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func compiled(b *testing.B, e engine.Engine, wasm []byte) engine.Module {
	b.Helper()
	m, err := e.Compile(b.Context(), wasm, engine.Limits{})
	if err != nil {
		b.Skip(err)
	}
	b.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return m
}

// spent is the processor time of this process in nanoseconds: what others take of the
// machine does not count.
func spent() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // it fails for other processes only
	return u.Utime.Nano() + u.Stime.Nano()
}
