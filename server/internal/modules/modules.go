package modules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server/internal/blobs"
	"github.com/terrane/terrane/tenant"
)

// Key is everything that compiled code depends on: releases and tenants that agree
// on it share one module.
type Key struct {
	Hash   tenant.Hash
	Limits engine.Limits
}

// Table holds the modules of all live releases, each once. It is safe for concurrent use.
type Table struct {
	engine engine.Engine
	blobs  blobs.Source
	budget int64        // bytes that loaded ones may take; 0: no bound
	loaded atomic.Int64 // bytes
	loads  atomic.Int64 // modules that were loaded again

	mu    sync.Mutex
	byKey map[Key]*Module
}

// New returns an empty Table of modules that e compiles from the files in b. budget bounds
// the memory of those that are loaded, in bytes; 0: no bound.
func New(e engine.Engine, b blobs.Source, budget int64) *Table {
	return &Table{engine: e, blobs: b, budget: max(0, budget), byKey: make(map[Key]*Module)}
}

// Module is one compiled module, shared by all that have acquired it.
type Module struct {
	key  Key
	size int64 // of its file
	refs int   // guarded by Table.mu
	done chan struct{}
	err  error // once done is closed

	used    atomic.Int64  // when it was needed last, in nanoseconds since 1970
	running sync.RWMutex  // held for reading while it runs
	code    engine.Module // nil while it is not loaded; guarded by running
}

// Acquire returns the module of a file of size bytes, compiled by this call or another one.
// Its caller calls Release. An error that wraps engine.ErrRefused is for the tenant.
func (ms *Table) Acquire(ctx context.Context, key Key, size int64) (*Module, error) {
	for {
		ms.mu.Lock()
		m, found := ms.byKey[key]
		if !found {
			m = &Module{key: key, size: size, done: make(chan struct{})}
			ms.byKey[key] = m
		}
		m.refs++
		ms.mu.Unlock()

		if !found {
			m.err = ms.load(ctx, m)
			close(m.done)
		}
		select {
		case <-m.done:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), ms.Release(ctx, m))
		}
		if m.err == nil {
			return m, nil
		}
		if err := ms.Release(ctx, m); err != nil {
			return nil, err
		}
		// Another call gave up, not this one.
		if found && ctx.Err() == nil && (errors.Is(m.err, context.Canceled) || errors.Is(m.err, context.DeadlineExceeded)) {
			continue
		}
		return nil, m.err
	}
}

// Release gives m back. The last holder closes it.
func (ms *Table) Release(ctx context.Context, m *Module) error {
	ms.mu.Lock()
	m.refs--
	last := m.refs == 0
	if (last || m.failed()) && ms.byKey[m.key] == m {
		delete(ms.byKey, m.key)
	}
	ms.mu.Unlock()
	if !last {
		return nil
	}
	// The call that compiles holds m until it has ended: the last one finds it done.
	m.running.Lock()
	defer m.running.Unlock()
	return ms.unload(context.WithoutCancel(ctx), m)
}

func (m *Module) failed() bool {
	select {
	case <-m.done:
		return m.err != nil
	default:
		return false
	}
}

// Run lets the module answer a request. One that was unloaded is loaded first.
func (ms *Table) Run(ctx context.Context, m *Module, x *hostcalls.Exchange) error {
	for {
		if ran, err := m.run(ctx, x); ran {
			return err
		}
		if err := ms.load(ctx, m); err != nil {
			return fmt.Errorf("load module: %w", err)
		}
		ms.loads.Add(1)
	}
}

// run reports whether the module was loaded.
func (m *Module) run(ctx context.Context, x *hostcalls.Exchange) (ran bool, err error) {
	m.running.RLock()
	defer m.running.RUnlock()
	if m.code == nil {
		return false, nil
	}
	m.used.Store(time.Now().UnixNano())
	return true, m.code.Run(ctx, x)
}

// load makes the module ready to run. The engine compiles it, unless it has its code
// on disk.
func (ms *Table) load(ctx context.Context, m *Module) error {
	if err := ms.ensure(ctx, m); err != nil {
		return err
	}
	ms.shrink(ctx)
	return nil
}

func (ms *Table) ensure(ctx context.Context, m *Module) error {
	m.running.Lock()
	defer m.running.Unlock()
	if m.code != nil {
		return nil
	}
	wasm, err := blobs.Read(ms.blobs, tenant.File{Hash: m.key.Hash, Size: m.size})
	if err != nil {
		return err
	}
	if m.code, err = ms.engine.Compile(ctx, wasm, m.key.Limits); err != nil {
		return err
	}
	m.used.Store(time.Now().UnixNano())
	ms.loaded.Add(m.cost())
	return nil
}

// cost is about what a loaded module takes, in bytes: machine code, and what the engine
// knows of each function. Measured with wazero. Small ones take mappings rather than bytes, of
// which Linux gives a process 65,530.
func (m *Module) cost() int64 { return max(64<<10, 24<<10+6*m.size) }

// shrink unloads modules that nobody uses, those unused for longest first, if what is
// loaded exceeds the budget. It makes room for some more, so as not to be needed each time.
func (ms *Table) shrink(ctx context.Context) {
	if ms.budget == 0 || ms.loaded.Load() <= ms.budget {
		return
	}
	ms.mu.Lock()
	all := slices.Collect(maps.Values(ms.byKey))
	ms.mu.Unlock()
	last := make(map[*Module]int64, len(all)) // it must not change while it is sorted by
	for _, m := range all {
		last[m] = m.used.Load()
	}
	slices.SortFunc(all, func(a, b *Module) int { return cmp.Compare(last[a], last[b]) })
	for _, m := range all[:max(0, len(all)-1)] { // the newest was just loaded
		if ms.loaded.Load() <= ms.budget-ms.budget/8 {
			return
		}
		if m.running.TryLock() { // else it runs
			_ = ms.unload(context.WithoutCancel(ctx), m) // it is gone all the same
			m.running.Unlock()
		}
	}
}

// unload frees the module's code, if it is loaded. Its lock is held.
func (ms *Table) unload(ctx context.Context, m *Module) error {
	if m.code == nil {
		return nil
	}
	err := m.code.Close(ctx)
	m.code = nil
	ms.loaded.Add(-m.cost())
	return err
}

// Count is the number of modules, loaded or not.
func (ms *Table) Count() int {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return len(ms.byKey)
}

// LoadedBytes is about how much memory the loaded modules take.
func (ms *Table) LoadedBytes() int64 { return ms.loaded.Load() }

// Loads is how many modules were loaded again for a request, after they had been unloaded.
func (ms *Table) Loads() int64 { return ms.loads.Load() }
