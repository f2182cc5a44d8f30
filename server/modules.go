package server

import (
	"context"
	"errors"
	"sync"

	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/tenant"
)

// moduleKey is all that compiled code depends on: releases and tenants that agree
// on it share one module.
type moduleKey struct {
	hash   tenant.Hash
	limits engine.Limits
}

// modules holds the compiled modules of all live releases, each once.
type modules struct {
	engine engine.Engine
	blobs  Blobs

	mu    sync.Mutex
	byKey map[moduleKey]*module
}

// module is one compiled module, and how many releases hold it.
type module struct {
	engine.Module // set, or err, once done is closed

	key  moduleKey
	refs int // guarded by modules.mu
	done chan struct{}
	err  error
}

// acquire returns the module, compiled by this call or another one. Whoever gets
// it must release it.
func (ms *modules) acquire(ctx context.Context, key moduleKey, size int64) (*module, error) {
	for {
		ms.mu.Lock()
		m, found := ms.byKey[key]
		if !found {
			m = &module{key: key, done: make(chan struct{})}
			ms.byKey[key] = m
		}
		m.refs++
		ms.mu.Unlock()

		if !found {
			m.Module, m.err = ms.compile(ctx, key, size)
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
	// The one who compiles holds m until it has: the last one finds it done.
	if !last || m.Module == nil {
		return nil
	}
	return m.Close(context.WithoutCancel(ctx))
}

func (m *module) failed() bool {
	select {
	case <-m.done:
		return m.err != nil
	default:
		return false
	}
}

func (ms *modules) compile(ctx context.Context, key moduleKey, size int64) (engine.Module, error) {
	wasm, err := readBlob(ms.blobs, tenant.File{Hash: key.hash, Size: size})
	if err != nil {
		return nil, err
	}
	return ms.engine.Compile(ctx, wasm, key.limits)
}

func (ms *modules) count() int {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	return len(ms.byKey)
}
