package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

// engineOptions are an engine's surroundings. The zero value has none.
type engineOptions struct {
	cacheDir string // for compiled code
	logger   *slog.Logger
	metrics  prometheus.Registerer
}

// newEngine makes the engine that the configuration names, and has checked. Its caller closes it.
func newEngine(c config.Engine, o engineOptions) (engine.Engine, error) {
	if c.Name != wazeroengine.Name {
		return newOtherEngine(c, o)
	}
	return wazeroengine.New(wazeroengine.Options{
		Funcs: hostcalls.Functions(), CacheDir: o.cacheDir, Logger: o.logger, Metrics: o.metrics,
	})
}

// moduleBytes is the memory that compiled modules may take. All engines keep code on disk, so
// that no visitor waits for a compiler when a module that was unloaded is asked.
const moduleBytes = 1 << 30
