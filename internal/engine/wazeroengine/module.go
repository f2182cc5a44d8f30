package wazeroengine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/linear"
	"github.com/terrane/terrane/internal/engine/pool"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// module is a compiled module.
type module struct {
	engine   *Engine
	compiled wazero.CompiledModule
	prepared prepare.Result // without its Wasm
	memory   bool           // it has one
	entry    string
	cpu      time.Duration
	idle     pool.Stack[*instance]
	image    linear.Shared

	running sync.RWMutex // held for reading by each Run
	closed  bool         // guarded by running
}

// Compile implements engine.Engine.
func (e *Engine) Compile(ctx context.Context, wasm []byte, limits engine.Limits) (engine.Module, error) {
	info, prepared, err := engine.Prepare(wasm, e.funcs, limits, prepare.Options{SparePage: true})
	if err != nil {
		return nil, err
	}
	compiled, err := e.compile(ctx, prepared.Wasm)
	if disk, ok := errors.AsType[*fs.PathError](err); ok {
		return nil, fmt.Errorf("keep compiled code: %w", disk)
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(err, cause) {
		return nil, cause
	}
	if err != nil {
		return nil, engine.Refuse(err)
	}
	prepared.Wasm = nil
	m := &module{engine: e, compiled: compiled, prepared: *prepared, memory: info.Memory != nil, entry: info.Entry, cpu: limits.CPU}
	in, err := m.instantiate(ctx) // segments outside memory show only now
	if err != nil {
		return nil, errors.Join(engine.Refuse(err), compiled.Close(ctx))
	}
	m.release(ctx, in)
	return m, nil
}

func (e *Engine) compile(ctx context.Context, wasm []byte) (wazero.CompiledModule, error) {
	if e.cache != nil {
		if err := e.cache.prime(ctx, wasm, func() (func(), error) { return e.compiling(ctx) }); err != nil {
			return nil, err
		}
		return e.runtime.CompileModule(ctx, wasm)
	}
	done, err := e.compiling(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	return e.runtime.CompileModule(ctx, wasm)
}

// compiling waits until a module may be compiled, and counts it.
func (e *Engine) compiling(ctx context.Context) (done func(), err error) {
	select {
	case e.compiles <- struct{}{}:
		e.compiled.Inc()
		return func() { <-e.compiles }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

var errClosed = errors.New("module is closed")

// Run implements engine.Module.
func (m *module) Run(ctx context.Context, x *hostcalls.Exchange) error {
	m.running.RLock()
	defer m.running.RUnlock()
	if m.closed {
		return errClosed
	}
	in := m.engine.pool.Take(&m.idle)
	if in == nil {
		var err error
		if in, err = m.instantiate(ctx); err != nil {
			return err
		}
	}
	err := in.run(ctx, x)
	if err == nil {
		m.release(ctx, in)
		return nil
	}
	err = in.trap(err)
	in.close(ctx)
	return err
}

// recycles reports whether instances are kept.
func (m *module) recycles() bool { return m.prepared.Fresh == "" && m.engine.pool.Keeps() }

// release ends a request's use of an instance that has not trapped: it is put back
// into its first state and kept, or closed.
func (m *module) release(ctx context.Context, in *instance) {
	if !m.recycles() {
		in.close(ctx)
		return
	}
	if err := in.reset(); err != nil {
		m.engine.log.Warn("instance not recycled", "err", err)
		in.close(ctx)
		return
	}
	closeAll(ctx, m.engine.pool.Put(&m.idle, &in.idle))
}

// instantiate makes a new instance.
func (m *module) instantiate(ctx context.Context) (*instance, error) {
	in := &instance{module: m}
	in.idle.Instance = in
	ctx = context.WithoutCancel(ctx)
	if m.memory {
		var err error
		if in.memory, err = linear.New(uint64(m.prepared.MemoryPages) * engine.PageSize); err != nil {
			return nil, err
		}
		ctx = experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(
			func(_, _ uint64) experimental.LinearMemory { return in.memory }))
	}
	mod, err := m.engine.runtime.InstantiateModule(ctx, m.compiled, instanceConfig())
	if err != nil {
		in.close(ctx)
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	in.bind(mod)
	if in.memory != nil && m.recycles() {
		in.adopted = true
		if err := m.image.Adopt(m.engine.restorer, in.memory); err != nil {
			in.close(ctx)
			return nil, err
		}
	}
	m.engine.pool.Created()
	return in, nil
}

// Close implements engine.Module.
func (m *module) Close(ctx context.Context) error {
	m.running.Lock()
	defer m.running.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	closeAll(ctx, m.engine.pool.Drain(&m.idle))
	return m.compiled.Close(ctx)
}
