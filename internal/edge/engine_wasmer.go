//go:build engine_wasmer

package edge

import (
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wasmerengine"
)

func wasmer() makeEngine {
	return func(o EngineOptions) (engine.Engine, error) {
		return wasmerengine.New(wasmerengine.Options{
			Funcs: append(hostcalls.Functions(), wasi.Functions()...), CacheDir: o.cacheDir, Logger: o.logger, Metrics: o.metrics,
			Idle: o.memory.Idle, Guests: o.memory.Guests,
		})
	}
}
