//go:build engine_wasmer

package wasmerengine_test

import (
	"os"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wasmerengine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

// BenchmarkBesideWazero is docs/benchmarks.md's table of both engines.
func BenchmarkBesideWazero(b *testing.B) {
	wasmer := func(idle int64) enginetest.New {
		return func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
			return newEngine(t, wasmerengine.Options{Funcs: funcs, Idle: idle})
		}
	}
	wazero := func(idle int64) enginetest.New {
		return func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
			e, err := wazeroengine.New(wazeroengine.Options{Funcs: funcs, Idle: idle})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
	}
	enginetest.Compare(b, "../../../examples",
		enginetest.Contender{Name: "wazero", New: wazero(0)}, enginetest.Contender{Name: "wazero fresh", New: wazero(-1)},
		enginetest.Contender{Name: "wasmer", New: wasmer(0)}, enginetest.Contender{Name: "wasmer fresh", New: wasmer(-1)})
}

func BenchmarkCompile(b *testing.B) {
	wasm, err := os.ReadFile("../wazeroengine/testdata/hello80.wasm")
	if err != nil {
		b.Fatal(err)
	}
	enginetest.Compile(b, wasm, func(t testing.TB, funcs []hostcalls.Func, dir string, _ prometheus.Registerer) engine.Engine {
		return newEngine(t, wasmerengine.Options{Funcs: funcs, CacheDir: dir})
	})
}
