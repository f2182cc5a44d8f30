//go:build engine_wasmer

package wasmerengine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/linear"
	"github.com/terrane/terrane/internal/engine/pool"
	"github.com/terrane/terrane/internal/engine/prepare"
	"github.com/terrane/terrane/internal/engine/wasmbin"
)

const (
	// stackBudget is what prepare lets guests take of the stack by its own reckoning, which
	// real frames exceed up to eight times.
	stackBudget = 512 << 10
	// stackReserve is what must be left of a thread's stack when a guest begins. A
	// thread has 8 MiB, unless a limit (ulimit -s) says otherwise.
	stackReserve = 8*stackBudget + 256<<10
	spareStack   = 512 << 10 // for what runs on the thread before and beside guests
)

// module is a compiled module.
type module struct {
	engine   *Engine
	prepared prepare.Result    // without its Wasm
	exports  map[string]export // of the prepared module
	names    wasmbin.Names     // of the module as it came
	imports  []*hostcalls.Func
	indices  []uint32 // of imports, in the engine's list
	entry    string
	cpu      time.Duration
	begins   int64 // bytes that an instance has when a request begins
	idle     pool.Stack[*instance]
	image    linear.Shared
	grew     atomic.Bool // the request that ended last has grown the memory

	running sync.RWMutex // held for reading by each Run
	closed  bool         // guarded by running

	mu   sync.Mutex
	code *code // the newest
}

// export is a function, global or memory that the prepared module exports.
type export struct {
	at     int  // among all exports
	own    bool // the module's, and not added
	result bool // of a function
}

// Compile implements engine.Engine.
func (e *Engine) Compile(ctx context.Context, wasm []byte, limits engine.Limits) (engine.Module, error) {
	wasm, err := engine.Core(wasm)
	if err != nil {
		return nil, err
	}
	info, prepared, err := engine.Prepare(wasm, e.funcs, limits, prepare.Options{Stack: stackBudget, Reach: true, Guard: true})
	if err != nil {
		return nil, err
	}
	m := &module{engine: e, entry: info.Entry, cpu: limits.CPU, prepared: *prepared}
	m.prepared.Wasm = nil
	if err := m.describe(wasm, prepared.Wasm); err != nil {
		return nil, err
	}
	if err := m.compile(ctx, prepared.Wasm); err != nil {
		return nil, err
	}
	in, err := m.instantiate() // segments outside memory show only now
	if err != nil {
		return nil, errors.Join(err, m.Close(ctx))
	}
	m.begins = instanceCost + int64(in.first)
	m.release(in)
	return m, nil
}

// describe notes what is needed of the module as it came, and prepared.
func (m *module) describe(wasm, prepared []byte) error {
	before, err := wasmbin.Decode(wasm)
	if err != nil {
		return err
	}
	m.names = slices.Clone(before.Names())
	after, err := wasmbin.Decode(prepared)
	if err != nil {
		return fmt.Errorf("the prepared module: %w", err)
	}
	m.exports = make(map[string]export, len(after.Exports))
	for i, e := range after.Exports {
		t, _ := after.TypeOf(e.Index)
		m.exports[e.Name] = export{i, !strings.HasPrefix(e.Name, prepare.Module+":"), len(t.Results) > 0}
	}
	for _, im := range after.Imports[:len(before.Imports)] { // behind them comes the tick
		i := slices.IndexFunc(m.engine.funcs, func(f hostcalls.Func) bool { return f.Module == im.Module && f.Name == im.Name })
		if i < 0 {
			return fmt.Errorf("no function %s.%s", im.Module, im.Name) // Check has found it
		}
		m.imports, m.indices = append(m.imports, &m.engine.funcs[i]), append(m.indices, uint32(i))
	}
	m.imports, m.indices = append(m.imports, &hostcalls.Func{}), append(m.indices, tickIndex)
	return nil
}

var errClosed = errors.New("module is closed")

// Run implements engine.Module.
func (m *module) Run(ctx context.Context, x *hostcalls.Exchange) error {
	m.running.RLock()
	defer m.running.RUnlock()
	if m.closed {
		return errClosed
	}
	if err := m.engine.guests.Enter(ctx, x.Tenant()); err != nil {
		return &engine.Trap{Kind: engine.TrapDeadline, Reason: err.Error(), Err: err}
	}
	defer m.engine.guests.Leave(x.Tenant())
	if !m.engine.memory.Begin(ctx, x.Tenant(), m.begins) {
		return engine.ErrNoRoom
	}
	taken := m.begins
	defer func() { m.engine.memory.End(x.Tenant(), taken) }()
	in := m.engine.pool.Take(&m.idle)
	if in == nil {
		var err error
		if in, err = m.instantiate(); err != nil {
			return err
		}
	}
	err := in.run(ctx, x)
	taken += in.taken
	in.taken = 0
	if err != nil {
		err = in.trap(err)
		in.close()
		return err
	}
	m.release(in)
	return nil
}

// release ends a request's use of an instance that has not trapped: it is put back
// into its first state and kept, or closed.
func (m *module) release(in *instance) {
	grew := in.size() != in.first
	m.grew.Store(grew)
	if grew || !in.recycles {
		in.close()
		return
	}
	if err := in.reset(); err != nil {
		m.engine.log.Warn("instance not recycled", "err", err)
		in.close()
		return
	}
	closeAll(m.engine.pool.Put(&m.idle, &in.idle))
}

// recycles reports whether a new instance is to be kept. Not when the one before it could not be, since
// its memory has grown: making ready for it costs more than a new instance.
func (m *module) recycles() bool {
	return m.prepared.Fresh == "" && m.engine.pool.Keeps() && !m.grew.Load()
}

// take is the code of a new instance. leave is owed for it.
func (m *module) take() *code {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.code.made >= m.engine.renew {
		old, err := m.code, errNoCode
		old.lend(func(compiled []byte) { err = m.adopt(compiled) })
		if err == nil {
			m.drop(old)
		} else {
			m.engine.log.Warn("engine of a module not replaced", "err", err)
			old.made = 0
		}
	}
	m.code.made++
	m.code.users++
	return m.code
}

func (m *module) leave(c *code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(c)
}

// drop is leave for a caller that holds the mutex.
func (m *module) drop(c *code) {
	if c.users--; c.users == 0 {
		c.free()
	}
}

// Close implements engine.Module.
func (m *module) Close(context.Context) error {
	m.running.Lock()
	defer m.running.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	closeAll(m.engine.pool.Drain(&m.idle))
	m.leave(m.code)
	return nil
}
