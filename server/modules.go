package server

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
	"github.com/terrane/terrane/tenant"
)

// moduleKey is all that compiled code depends on: releases and tenants that agree
// on it share one module.
type moduleKey struct {
	hash   tenant.Hash
	limits engine.Limits
}

// modules holds the modules of all live releases, each once.
type modules struct {
	engine engine.Engine
	blobs  Blobs
	budget int64        // bytes that loaded ones may take; 0: without end
	loaded atomic.Int64 // bytes
	loads  atomic.Int64 // modules that were loaded again

	mu    sync.Mutex
	byKey map[moduleKey]*module
}

// module is one compiled module, and how many releases hold it.
type module struct {
	key  moduleKey
	size int64 // of its file
	refs int   // guarded by modules.mu
	done chan struct{}
	err  error // once done is closed

	used    atomic.Int64  // when it was needed last, in nanoseconds since 1970
	running sync.RWMutex  // held for reading while it runs
	code    engine.Module // nil while it is not loaded; guarded by running
}

// acquire returns the module, compiled by this call or another one. Whoever gets
// it must release it.
func (ms *modules) acquire(ctx context.Context, key moduleKey, size int64) (*module, error) {
	for {
		ms.mu.Lock()
		m, found := ms.byKey[key]
		if !found {
			m = &module{key: key, size: size, done: make(chan struct{})}
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
			return nil, errors.Join(ctx.Err(), ms.release(ctx, m))
		}
		if m.err == nil {
			return m, nil
		}
		if err := ms.release(ctx, m); err != nil {
			return nil, err
		}
		// Another call gave up, not this one.
		if found && ctx.Err() == nil && (errors.Is(m.err, context.Canceled) || errors.Is(m.err, context.DeadlineExceeded)) {
			continue
		}
		return nil, m.err
	}
}

// release gives m back. The last one closes it, and forgets it if it failed.
func (ms *modules) release(ctx context.Context, m *module) error {
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
	// The one who compiles holds m until it has: the last one finds it done.
	m.running.Lock()
	defer m.running.Unlock()
	return ms.unload(context.WithoutCancel(ctx), m)
}

func (m *module) failed() bool {
	select {
	case <-m.done:
		return m.err != nil
	default:
		return false
	}
}

// run lets the module answer a request. One that was unloaded is loaded first.
func (ms *modules) run(ctx context.Context, m *module, x *hostcalls.Exchange) error {
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
func (m *module) run(ctx context.Context, x *hostcalls.Exchange) (ran bool, err error) {
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
func (ms *modules) load(ctx context.Context, m *module) error {
	if err := ms.ensure(ctx, m); err != nil {
		return err
	}
	ms.shrink(ctx)
	return nil
}

func (ms *modules) ensure(ctx context.Context, m *module) error {
	m.running.Lock()
	defer m.running.Unlock()
	if m.code != nil {
		return nil
	}
	wasm, err := readBlob(ms.blobs, tenant.File{Hash: m.key.hash, Size: m.size})
	if err != nil {
		return err
	}
	if m.code, err = ms.engine.Compile(ctx, wasm, m.key.limits); err != nil {
		return err
	}
	m.used.Store(time.Now().UnixNano())
	ms.loaded.Add(m.cost())
	return nil
}

// cost is about what a loaded module takes, in bytes: machine code, and what the engine
// knows of each function. Measured with wazero. Small ones take mappings rather than bytes, of
// which Linux gives a process 65,530.
func (m *module) cost() int64 { return max(64<<10, 24<<10+6*m.size) }

// shrink unloads modules that nobody uses, those unused for longest first, if what is
// loaded exceeds the budget. It makes room for some more, so as not to be needed each time.
func (ms *modules) shrink(ctx context.Context) {
	if ms.budget == 0 || ms.loaded.Load() <= ms.budget {
		return
	}
	ms.mu.Lock()
	all := slices.Collect(maps.Values(ms.byKey))
	ms.mu.Unlock()
	last := make(map[*module]int64, len(all)) // it must not change while it is sorted by
	for _, m := range all {
		last[m] = m.used.Load()
	}
	slices.SortFunc(all, func(a, b *module) int { return cmp.Compare(last[a], last[b]) })
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
func (ms *modules) unload(ctx context.Context, m *module) error {
	if m.code == nil {
		return nil
	}
	err := m.code.Close(ctx)
	m.code = nil
	ms.loaded.Add(-m.cost())
	return err
}

func (ms *modules) count() int {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return len(ms.byKey)
}
