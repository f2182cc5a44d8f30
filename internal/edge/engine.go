package edge

import (
	"cmp"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/internal/memory"
)

// EngineOptions are an engine's surroundings. The zero value has none.
type EngineOptions struct {
	cacheDir string // for compiled code
	logger   *slog.Logger
	metrics  prometheus.Registerer
	memory   memory.Plan
}

// makeEngine returns an engine, which its caller closes.
type makeEngine func(EngineOptions) (engine.Engine, error)

// engineChoice is an engine that a configuration can name.
type engineChoice struct {
	name  string
	make  makeEngine // nil: this build does not have it
	build string     // how to make one that has
}

// engines are all of them. The first is the default, and each build has it. A further one has
// a line here and two files that define its makeEngine, with and without its build tag.
func engines() []engineChoice {
	return []engineChoice{
		{name: wazeroengine.Name, make: wazero},
		{name: "wasmer", make: wasmer(), build: "make build-wasmer"},
	}
}

// Engines are the names of the engines of this build.
func Engines() (names []string) {
	for _, c := range engines() {
		if c.make != nil {
			names = append(names, c.name)
		}
	}
	return names
}

// EngineName is the name of the engine that the configuration chooses.
func EngineName(c config.Engine) string { return cmp.Or(c.Name, engines()[0].name) }

// engineOf finds the engine that the configuration names. The error is a fault of engine.name.
func engineOf(c config.Engine) (engineChoice, error) {
	how := ""
	for _, choice := range engines() {
		switch {
		case choice.name != EngineName(c):
		case choice.make != nil:
			return choice, nil
		default:
			how = fmt.Sprintf("; %q makes one with %q", choice.build, choice.name)
		}
	}
	return engineChoice{}, &fault.Fault{Key: "name", Err: fmt.Errorf("%q is no engine of this build: it has %q%s", c.Name, Engines(), how)}
}

// NewEngine returns the engine that the configuration names. Its caller closes it.
func NewEngine(c config.Engine, o EngineOptions) (engine.Engine, error) {
	choice, err := engineOf(c)
	if err != nil {
		return nil, err
	}
	return choice.make(o)
}

func wazero(o EngineOptions) (engine.Engine, error) {
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
