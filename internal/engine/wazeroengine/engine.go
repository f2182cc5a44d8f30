package wazeroengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

// Name is the engine's name in the configuration.
const Name = "wazero"

// Options are what an Engine needs.
type Options struct {
	Funcs    []hostcalls.Func      // what guests may import, usually hostcalls.Functions()
	CacheDir string                // where compiled code is kept; empty: nowhere
	Logger   *slog.Logger          // nil discards
	Metrics  prometheus.Registerer // nil registers nothing
}

// Engine compiles modules for wazero. Only New makes one.
type Engine struct {
	funcs   []hostcalls.Func
	log     *slog.Logger
	runtime wazero.Runtime
	cache   wazero.CompilationCache
}

// Engine is an engine.Engine.
var _ engine.Engine = (*Engine)(nil)

// New makes an Engine, which its caller closes.
func New(o Options) (*Engine, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	config := wazero.NewRuntimeConfig().WithCoreFeatures(api.CoreFeaturesV2).WithCloseOnContextDone(true).WithMemoryLimitPages(defaultMemory / engine.PageSize)
	e := &Engine{funcs: o.Funcs, log: o.Logger}
	if o.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(o.CacheDir)
		if err != nil {
			return nil, fmt.Errorf("compiled code in %s: %w", o.CacheDir, err)
		}
		e.cache, config = cache, config.WithCompilationCache(cache)
	}
	ctx := context.Background()
	e.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err := e.offer(ctx); err != nil {
		return nil, errors.Join(err, e.Close(ctx))
	}
	return e, nil
}

// offer instantiates the ABI's functions, one wazero module for each import module.
func (e *Engine) offer(ctx context.Context) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for i := range e.funcs {
		f := &e.funcs[i]
		b := builders[f.Module]
		if b == nil {
			b = e.runtime.NewHostModuleBuilder(f.Module)
			builders[f.Module] = b
		}
		b.NewFunctionBuilder().WithGoModuleFunction(hostFunction(f), types(f.Params), types(f.Results)).Export(f.Name)
	}
	for name, b := range builders {
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
	err := e.runtime.Close(ctx)
	if e.cache != nil {
		err = errors.Join(err, e.cache.Close(ctx))
	}
	return err
}
