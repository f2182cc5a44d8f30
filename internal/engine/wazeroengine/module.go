package wazeroengine

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/codecache"
	"github.com/terrane/terrane/internal/engine/linear"
	"github.com/terrane/terrane/internal/engine/pool"
	"github.com/terrane/terrane/internal/engine/prepare"
)

// module is a compiled module.
type module struct {
	engine   *Engine
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	ready    // without its Wasm
	cpu      time.Duration
	begins   int64 // bytes that an instance has when a request begins
	idle     pool.Stack[*instance]
	image    linear.Shared

	running sync.RWMutex // held for reading by each Run
	closed  bool         // guarded by running
}

// options are how modules are prepared.
func options() prepare.Options { return prepare.Options{SparePage: true} }

// Compile implements engine.Engine.
func (e *Engine) Compile(ctx context.Context, wasm []byte, limits engine.Limits) (engine.Module, error) {
	o := options()
	var key codecache.Key
	if e.cache != nil {
		key = e.cache.Key(e.fingerprint, binary.BigEndian.AppendUint64(nil, uint64(limits.Memory)), wasm)
		o.Mark = markOf(key)
		m, err := e.load(ctx, key, limits)
		if err == nil || exhausted(err) {
			return m, err
		}
	}
	core, err := engine.Core(wasm)
	if err != nil {
		return nil, err
	}
	info, prepared, err := engine.Prepare(core, e.funcs, limits, o)
	if err != nil {
		return nil, err
	}
	done, err := e.compiling(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	r := &ready{Result: *prepared, Entry: info.Entry, HasMemory: info.Memory != nil}
	if e.cache != nil {
		if err := e.cache.fill(ctx, key, r); err != nil {
			e.log.Warn("compiled code not kept", "err", err) // or the module is invalid, which wazero says again
		} else if m, err := e.load(ctx, key, limits); err == nil || exhausted(err) {
			return m, err
		}
	}
	compiled, err := e.runtime.CompileModule(ctx, r.Wasm)
	if cause := context.Cause(ctx); err != nil && errors.Is(err, cause) {
		return nil, cause
	}
	if err != nil {
		return nil, engine.Refuse(err)
	}
	m, err := e.start(ctx, e.runtime, compiled, r, 0, limits)
	if err != nil && !exhausted(err) {
		err = engine.Refuse(err)
	}
	return m, err
}

// load starts a module of what the cache has of it, and discards that if it is of no use.
func (e *Engine) load(ctx context.Context, key codecache.Key, limits engine.Limits) (engine.Module, error) {
	m, err := e.loadEntry(ctx, key, limits)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !exhausted(err) {
		e.log.Warn("compiled code discarded", "key", hex.EncodeToString(key[:]), "err", errors.Join(err, e.cache.Discard(key)))
	}
	return m, err
}

func (e *Engine) loadEntry(ctx context.Context, key codecache.Key, limits engine.Limits) (engine.Module, error) {
	entry, err := e.cache.Load(key)
	if err != nil {
		return nil, err
	}
	r, err := decodeReady(entry.Header)
	if err != nil {
		return nil, err
	}
	compiled, err := e.cache.load(ctx, r.Wasm, markOf(key))
	if err != nil {
		return nil, err
	}
	return e.start(ctx, e.cache.runtime, compiled, r, markOf(key), limits)
}

// start makes a module, and its first instance: segments outside memory show only then, and
// code that is not the module's by its mark, which is 0 for code that cannot be another's.
func (e *Engine) start(ctx context.Context, r wazero.Runtime, compiled wazero.CompiledModule, known *ready, mark uint64, limits engine.Limits) (engine.Module, error) {
	m := &module{engine: e, runtime: r, compiled: compiled, ready: *known, cpu: limits.CPU}
	m.Wasm = nil
	if err := e.offer(ctx, r, compiled); err != nil {
		return nil, errors.Join(err, compiled.Close(ctx))
	}
	in, err := m.instantiate(ctx)
	if err != nil {
		return nil, errors.Join(err, compiled.Close(ctx))
	}
	if err := in.checkMark(ctx, mark); err != nil {
		in.close(ctx)
		return nil, errors.Join(err, compiled.Close(ctx))
	}
	if m.begins = instanceCost + firstStack; in.memory != nil {
		m.begins += int64(len(in.memory.Bytes()))
	}
	m.release(ctx, in)
	return m, nil
}

// exhausted reports whether the host lacks what the module would need to run.
func exhausted(err error) bool {
	return errors.Is(err, syscall.ENOMEM) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
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
	if !m.engine.memory.Begin(ctx, x.Tenant(), m.begins) {
		return engine.ErrNoRoom
	}
	taken := m.begins
	defer func() { m.engine.memory.End(x.Tenant(), taken) }()
	in := m.engine.pool.Take(&m.idle)
	if in == nil {
		var err error
		if in, err = m.instantiate(ctx); err != nil {
			return err
		}
	}
	err := in.run(ctx, x)
	taken += in.taken
	in.taken = 0
	if err == nil {
		m.release(ctx, in)
		return nil
	}
	err = in.trap(err)
	in.close(ctx)
	return err
}

// recycles reports whether instances are kept.
func (m *module) recycles() bool { return m.Fresh == "" && m.engine.pool.Keeps() }

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
	if m.HasMemory {
		var err error
		if in.memory, err = linear.New(uint64(m.MemoryPages) * engine.PageSize); err != nil {
			return nil, err
		}
		in.memory.Take = in.take
		ctx = experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(
			func(_, _ uint64) experimental.LinearMemory { return in.memory }))
	}
	mod, err := m.runtime.InstantiateModule(ctx, m.compiled, instanceConfig())
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
