package edge

import (
	"cmp"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
	"github.com/terrane/terrane/internal/memory"
)

// EngineOptions are an engine's surroundings. The zero value has none.
type EngineOptions struct {
	cacheDir string // for compiled code
	logger   *slog.Logger
	metrics  prometheus.Registerer
	memory   memory.Plan
}

// NewEngine makes the engine that the configuration names, and has checked. Its caller closes it.
func NewEngine(c config.Engine, o EngineOptions) (engine.Engine, error) {
	if c.Name != wazeroengine.Name {
		return newOtherEngine(c, o)
	}
	return wazeroengine.New(wazeroengine.Options{
		Funcs: append(hostcalls.Functions(), wasi.Functions()...), CacheDir: o.cacheDir, Logger: o.logger, Metrics: o.metrics,
		Idle: o.memory.Idle, Guests: o.memory.Guests,
	})
}

// memoryPlan divides the memory that this process may use.
func memoryPlan(l *config.Limits) memory.Plan {
	return memory.Divide(memory.Limit(), int64(l.RequestBody+l.ResponseBody), int64(l.Bodies))
}

// moduleBytes is the memory that compiled modules may take. All engines keep code on disk, so
// that no visitor waits for a compiler when a module that was unloaded is asked.
func moduleBytes(p memory.Plan) int64 { return cmp.Or(p.Modules, 1<<30) }
