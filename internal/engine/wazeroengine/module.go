package wazeroengine

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"

	"github.com/tetratelabs/wazero"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

// module is a compiled module.
type module struct {
	engine   *Engine
	compiled wazero.CompiledModule
	entry    string
	memory   bool // has one
	limits   engine.Limits

	mu     sync.RWMutex // held for reading by each Run
	closed bool
}

const (
	defaultMemory = 128 << 20
)

// Compile implements engine.Engine.
func (e *Engine) Compile(ctx context.Context, wasm []byte, limits engine.Limits) (engine.Module, error) {
	if limits.Memory == 0 {
		limits.Memory = defaultMemory
	}
	info, err := engine.Inspect(wasm)
	if err != nil {
		return nil, err
	}
	if err := engine.Check(info, e.funcs, limits); err != nil {
		return nil, err
	}
	compiled, err := e.runtime.CompileModule(ctx, wasm)
	if err != nil {
		return nil, engine.Refuse(err)
	}
	return &module{engine: e, compiled: compiled, entry: info.Entry, memory: info.Memory != nil, limits: limits}, nil
}

var errClosed = errors.New("module is closed")

// Run implements engine.Module.
func (m *module) Run(ctx context.Context, x *hostcalls.Exchange) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.closed {
		return errClosed
	}
	if m.limits.CPU > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, m.limits.CPU, errCPU)
		defer cancel()
	}
	in := &instance{Context: ctx, memory: m.memory, x: x}
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions().WithRandSource(rand.Reader)
	mod, err := m.engine.runtime.InstantiateModule(context.WithValue(ctx, instanceKey{}, in), m.compiled, config)
	if err != nil {
		return in.trap(err)
	}
	defer func() { _ = mod.Close(context.WithoutCancel(ctx)) }()
	in.mod = mod
	return in.trap(mod.ExportedFunction(m.entry).CallWithStack(in, nil)) //nolint:contextcheck // in is ctx
}

// Close implements engine.Module.
func (m *module) Close(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	return m.compiled.Close(ctx)
}
