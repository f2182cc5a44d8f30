//go:build engine_wasmer

package wasmerengine_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/hostcallstest"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wasmerengine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newEngine(t testing.TB, o wasmerengine.Options) *wasmerengine.Engine {
	t.Helper()
	e, err := wasmerengine.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformanceOnOldKernels(t *testing.T) {
	enginetest.Run(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
		e := newEngine(t, wasmerengine.Options{Funcs: funcs})
		if err := e.OldKernel(); err != nil {
			t.Fatal(err)
		}
		return e
	})
}

func TestConformance(t *testing.T) {
	for name, o := range map[string]wasmerengine.Options{
		"recycled": {}, "fresh": {Idle: -1}, "evicted": {Idle: 100_000}, "renewed": {Idle: -1, Renew: 1},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
				o.Funcs = funcs
				return newEngine(t, o)
			})
		})
	}
}

func TestKit(t *testing.T) {
	e := newEngine(t, wasmerengine.Options{Funcs: hostcalls.Functions()})
	t.Run("guests", func(t *testing.T) { hostcallstest.Run(t, hostcallstest.Engine(t, e)) })
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestAgreesWithWazero compares two compilers: where they differ, one is wrong.
func TestAgreesWithWazero(t *testing.T) {
	enginetest.Differ(t,
		func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
			e, err := wazeroengine.New(wazeroengine.Options{Funcs: funcs})
			if err != nil {
				t.Fatal(err)
			}
			return e
		},
		func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
			return newEngine(t, wasmerengine.Options{Funcs: funcs})
		}, 100)
}

func TestMemory(t *testing.T) {
	for name, idle := range map[string]int64{"recycled": 0, "fresh": -1} {
		t.Run(name, func(t *testing.T) {
			enginetest.Memory(t, func(t testing.TB, funcs []hostcalls.Func, guests int64) engine.Engine {
				return newEngine(t, wasmerengine.Options{Funcs: funcs, Idle: idle, Guests: guests})
			})
		})
	}
}
