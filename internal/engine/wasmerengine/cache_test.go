//go:build engine_wasmer

package wasmerengine_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/enginetest"
	"github.com/terrane/terrane/internal/engine/wasmerengine"
)

func newCached(t testing.TB, funcs []hostcalls.Func, dir string, metrics prometheus.Registerer) engine.Engine {
	return newEngine(t, wasmerengine.Options{Funcs: funcs, CacheDir: dir, Metrics: metrics})
}

func TestCache(t *testing.T) { enginetest.RunCache(t, newCached) }
func TestReuse(t *testing.T) { enginetest.RunReuse(t, newCached) }
