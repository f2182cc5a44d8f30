//go:build engine_wasmer

package server_test

import (
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wasmerengine"
)

func buildEngine(o engineOptions) (engine.Engine, error) {
	return wasmerengine.New(wasmerengine.Options{Funcs: hostcalls.Functions(), CacheDir: o.cacheDir, Guests: o.guests, Metrics: o.metrics})
}
