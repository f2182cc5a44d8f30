package index

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
)

// Index has the keys of every tenant, as of a sequence.
type Index struct {
	loaded  chan struct{} // closed when the keys of the start are all there
	retired chan struct{} // closed when another index has taken its place

	mu       sync.Mutex
	tenants  map[string]*Tenant // by token
	last     uint64             // the last sequence applied
	advanced chan struct{}      // closed when last grows
	gaps     uint64             // how many there were
	closed   uint64             // how many of them are closed
	closes   uint64             // the sequence that closes the rest, 0 if it is not known
	complete uint64             // no change at or before it is missing
}

// New returns an empty index, which begins with a gap: what was there before.
func New() *Index {
	return &Index{loaded: make(chan struct{}), retired: make(chan struct{}), tenants: map[string]*Tenant{}, advanced: make(chan struct{}), gaps: 1}
}

// SetLoaded says that the keys of the start are all there. It is called once.
func (x *Index) SetLoaded() { close(x.loaded) }

// Loaded is closed when the keys of the start are all there.
func (x *Index) Loaded() <-chan struct{} { return x.loaded }

// Retire says that nothing more is applied, as another index has taken the place of this one.
// It is called once.
func (x *Index) Retire() { close(x.retired) }

// Retired is closed by Retire.
func (x *Index) Retired() <-chan struct{} { return x.retired }

// ErrRetired is returned by Wait on an index that was retired before it reached the sequence.
var ErrRetired = errors.New("the index was replaced by another")

// IsLoaded reports whether Loaded is closed.
func (x *Index) IsLoaded() bool {
	select {
	case <-x.loaded:
		return true
	default:
		return false
	}
}

// Tenant returns a tenant's keys. An unknown tenant is added.
func (x *Index) Tenant(token string) *Tenant {
	x.mu.Lock()
	defer x.mu.Unlock()
	t, ok := x.tenants[token]
	if !ok {
		t = newTenant()
		x.tenants[token] = t
	}
	return t
}

// Tenants returns all tenants by their tokens, those without keys included.
func (x *Index) Tenants() map[string]*Tenant {
	x.mu.Lock()
	defer x.mu.Unlock()
	return maps.Clone(x.tenants)
}

// Advance says that the change at a sequence has been applied.
func (x *Index) Advance(seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if seq <= x.last {
		return
	}
	if seq != x.last+1 {
		x.gaps++
		x.closes = 0
	}
	x.last = seq
	x.update()
	close(x.advanced)
	x.advanced = make(chan struct{})
}

// Gaps is how many gaps there were until now, for CloseGaps.
func (x *Index) Gaps() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gaps
}

// CloseGaps says that a write got the sequence seq, and that it began after Gaps had
// returned gaps. All of them are closed when the index reaches seq, if there was no other
// gap since.
func (x *Index) CloseGaps(gaps, seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if gaps == x.gaps && (x.closes == 0 || seq < x.closes) {
		x.closes = seq
		x.update()
	}
}

func (x *Index) update() {
	if x.closes != 0 && x.last >= x.closes {
		x.closed = x.gaps
	}
	if x.closed == x.gaps {
		x.complete = x.last
	}
}

// Covers reports whether the index has reached a sequence, and whether it is complete up
// to it. Both are false until it is loaded.
func (x *Index) Covers(seq uint64) (reached, complete bool) {
	if !x.IsLoaded() {
		return false, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last >= seq, x.complete >= seq
}

// Last is the last sequence applied.
func (x *Index) Last() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last
}

// Wait waits until the index has reached a sequence. It fails with ErrRetired or at the end of
// ctx.
func (x *Index) Wait(ctx context.Context, seq uint64) error {
	for {
		x.mu.Lock()
		last, advanced := x.last, x.advanced
		x.mu.Unlock()
		if last >= seq {
			return nil
		}
		select {
		case <-advanced:
		case <-x.retired:
			return ErrRetired
		case <-ctx.Done():
			return fmt.Errorf("state: the index of keys is behind: %w", ctx.Err())
		}
	}
}
