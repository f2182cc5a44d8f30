package wazeroengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/gate"
	"github.com/terrane/terrane/internal/engine/linear"
	"github.com/terrane/terrane/internal/engine/pool"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// Name is the engine's name in the configuration.
const Name = "wazero"

// Options are what an Engine needs.
type Options struct {
	Funcs    []hostcalls.Func      // what guests may import, usually hostcalls.Functions()
	CacheDir string                // where compiled code is kept; empty: nowhere
	Idle     int64                 // bytes that idle instances of all modules may hold; 0: 256 MiB, negative: none
	Guests   int64                 // bytes that instances with a request may hold; 0: no limit
	Logger   *slog.Logger          // nil discards
	Metrics  prometheus.Registerer // nil registers nothing
}

const defaultIdle = 256 << 20

// Engine compiles modules for wazero. Only New makes one.
type Engine struct {
	funcs       []hostcalls.Func
	log         *slog.Logger
	runtime     wazero.Runtime // of modules that are not on disk
	cache       *cache         // nil: none
	fingerprint []byte         // what is kept in it depends on this
	restorer    *linear.Restorer
	pool        *pool.Pool[*instance]
	gate        *gate.Gate
	memory      *gate.Memory  // of instances with a request
	offering    sync.Mutex    // of host functions to a runtime
	compiles    chan struct{} // holds one of each compilation in progress
	compiled    prometheus.Counter
}

// Engine is an engine.Engine.
var _ engine.Engine = (*Engine)(nil)

// New makes an Engine, which its caller closes.
func New(o Options) (*Engine, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Idle == 0 {
		o.Idle = defaultIdle
	}
	e := &Engine{funcs: o.Funcs, fingerprint: engine.Fingerprint(o.Funcs, options()), log: o.Logger, restorer: linear.NewRestorer()}
	e.pool = pool.New[*instance](o.Idle)
	e.memory = gate.NewMemory(o.Guests)
	slots := max(1, runtime.GOMAXPROCS(0)-1)
	e.gate = gate.New(slots)
	e.compiles = make(chan struct{}, slots) // deploys leave requests a processor
	e.compiled = pool.Compilations()
	config := wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithDebugInfoEnabled(false)
	ctx := context.Background()
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	err := e.pool.Register(o.Metrics, e.compiled, e.memory.Metric())
	if o.CacheDir != "" && err == nil {
		if e.cache, err = openCache(ctx, o.CacheDir, config); err != nil {
			err = fmt.Errorf("compiled code in %s: %w", o.CacheDir, err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, e.Close(ctx))
	}
	e.log.Info("engine ready", "engine", Name, "restore", e.restorer.Method(), "idle_bytes", o.Idle, "guest_bytes", o.Guests)
	return e, nil
}

// offer instantiates the functions that a module imports, one wazero module for each import
// module, unless the runtime has them already.
func (e *Engine) offer(ctx context.Context, r wazero.Runtime, to wazero.CompiledModule) error {
	e.offering.Lock()
	defer e.offering.Unlock()
	for _, im := range to.ImportedFunctions() {
		name, _, _ := im.Import()
		if r.Module(name) != nil {
			continue
		}
		b := r.NewHostModuleBuilder(name)
		for i := range e.funcs {
			if f := &e.funcs[i]; f.Module == name {
				b.NewFunctionBuilder().WithGoModuleFunction(hostFunction(f), types(f.Params), types(f.Results)).Export(f.Name)
			}
		}
		if name == prepare.Module {
			b.NewFunctionBuilder().WithGoFunction(api.GoFunc(tick), nil, nil).Export(prepare.Tick)
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("functions of %q: %w", name, err)
		}
	}
	return nil
}

func types(in []hostcalls.ValueType) []api.ValueType {
	out := make([]api.ValueType, len(in))
	for i, t := range in {
		out[i] = api.ValueType(t)
	}
	return out
}

// Name is "wazero".
func (e *Engine) Name() string { return Name }

// Close implements engine.Engine.
func (e *Engine) Close(ctx context.Context) error {
	e.pool.Unregister()
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		err = errors.Join(err, e.cache.runtime.Close(ctx), e.cache.files.Close(ctx))
	}
	return errors.Join(err, e.restorer.Close())
}
