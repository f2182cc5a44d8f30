package wazeroengine_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newEngine(t testing.TB, o wazeroengine.Options) *wazeroengine.Engine {
	t.Helper()
	e, err := wazeroengine.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestConformanceOnOldKernels(t *testing.T) {
	enginetest.Run(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
		e := newEngine(t, wazeroengine.Options{Funcs: funcs})
		if err := e.OldKernel(); err != nil {
			t.Fatal(err)
		}
		return e
	})
}

func TestConformance(t *testing.T) {
	for name, idle := range map[string]int64{"recycled": 0, "fresh": -1, "evicted": 100_000} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine {
				return newEngine(t, wazeroengine.Options{Funcs: funcs, Idle: idle})
			})
		})
	}
}

func TestMemory(t *testing.T) {
	for name, idle := range map[string]int64{"recycled": 0, "fresh": -1} {
		t.Run(name, func(t *testing.T) {
			enginetest.Memory(t, func(t testing.TB, funcs []hostcalls.Func, guests int64) engine.Engine {
				return newEngine(t, wazeroengine.Options{Funcs: funcs, Idle: idle, Guests: guests})
			})
		})
	}
}
