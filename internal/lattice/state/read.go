package state

import (
	"context"
	"errors"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state/index"
)

var (
	errBehind = errors.New("state: the entry was acknowledged, and no copy in reach has it")
	errStale  = errors.New("state: no copy in reach is fresh enough")
)

// readBarrier returns the sequence of a barrier write that began after the call, 0 for a
// read that needs none.
func (k *kv) readBarrier(ctx context.Context) (uint64, error) {
	if k.reads == Near {
		return 0, nil
	}
	return k.store.barrier.wait(ctx, k.store.writeBarrier)
}

// minSeq is the minimum sequence of a read: what the read barrier, this edge's session of
// the tenant, and the bound on staleness demand.
func (k *kv) minSeq(barrier uint64) uint64 {
	return max(barrier, k.session.Load(), k.store.staleness.Load())
}

// completeKeys waits until the index is loaded and complete up to a sequence, 0 for any.
func (k *kv) completeKeys(ctx context.Context, seq uint64) (*index.Index, error) {
	for at := seq; ; {
		x, err := k.store.keysAt(ctx, at)
		if err != nil {
			return nil, err
		}
		if _, complete := x.Covers(seq); complete || seq == 0 {
			return x, nil
		}
		if at, err = k.readBarrier(ctx); err != nil { // closes the gap when the index reaches it
			return nil, err
		}
	}
}

// fromMemory reads a key at the minimum sequence minSeq from the index and the cache. If the
// index knows the version and the cache has no value of it, ok is false and seq is the least
// version that a server must answer with. Reads that are not linearizable ignore gaps of the
// index in other regions than home.
func (k *kv) fromMemory(key string, minSeq uint64, linearizable bool) (r raw, seq uint64, ok bool) {
	s := k.store
	x := s.keys()
	reached, complete := x.Covers(minSeq)
	it, ended := x.Tenant(k.token).Get(key, s.now())
	switch {
	case complete, it.Seq >= max(minSeq, 1), reached && !linearizable && s.mirrors():
	case reached:
		select {
		case s.gapFound <- struct{}{}:
		default:
		}
		return raw{}, 0, false
	default:
		return raw{}, 0, false
	}
	if it.Seq == 0 {
		return raw{seq: ended, deleted: true}, ended, true
	}
	value, ok := s.cache.Get(k.token, key, it.Seq)
	return raw{seq: it.Seq, value: value, expires: it.Expires}, it.Seq, ok
}

// awaitMemory is fromMemory after a moment: what home has confirmed is on its way to another
// region, and waiting takes less than asking home.
func (k *kv) awaitMemory(ctx context.Context, key string, minSeq uint64, linearizable bool) (r raw, seq uint64, ok bool) {
	within, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	_ = k.store.keys().Wait(within, minSeq)
	return k.fromMemory(key, minSeq, linearizable)
}

// read reads a key at the minimum sequence minSeq. A read that is not linearizable returns an
// older version when no copy in reach has that soon.
func (k *kv) read(ctx context.Context, key string, minSeq uint64, linearizable bool) (raw, error) {
	if linearizable && !k.store.mirrors() && !k.store.single.Load() {
		return k.readComplete(ctx, key, minSeq)
	}
	r, seq, ok := k.fromMemory(key, minSeq, linearizable)
	if !ok && seq == 0 && k.store.mirrors() {
		r, seq, ok = k.awaitMemory(ctx, key, minSeq, linearizable)
	}
	if ok {
		return r, nil
	}
	if seq != 0 { // a copy that has this version is fresh enough
		nc, err := k.store.conn(ctx)
		if err != nil {
			return raw{}, err
		}
		if r, err = k.store.getLast(ctx, nc, k.subject(key)); err == nil && r.seq >= seq {
			return r, nil
		}
	}
	if linearizable && k.store.mirrors() {
		return k.readConfirmed(ctx, key, minSeq)
	}
	return k.fromServers(ctx, key, minSeq, linearizable)
}

// readConfirmed is a linearizable read in another region than home. Any of home's copies may
// answer, and one that catches up after a cut has gaps: only a barrier write that home refuses
// unless the key is at the version read shows that it was the newest.
func (k *kv) readConfirmed(ctx context.Context, key string, minSeq uint64) (raw, error) {
	for {
		r, err := k.fromServers(ctx, key, minSeq, true)
		if err != nil {
			return raw{}, err
		}
		err = k.store.writeBarrierAt(ctx, k.subject(key), r.seq)
		if _, other := errors.AsType[wrongVersionError](err); !other {
			return r, err
		}
		if r, _, ok := k.awaitMemory(ctx, key, minSeq, true); ok {
			return r, nil
		}
		if ctx.Err() != nil {
			return raw{}, errors.Join(errStale, ctx.Err())
		}
	}
}

// readComplete is a linearizable read in the home region: the index, complete up to minSeq,
// says which version is the newest. What a copy says of itself is not enough: one that catches
// up after a cut has gaps, and answers.
func (k *kv) readComplete(ctx context.Context, key string, minSeq uint64) (raw, error) {
	s := k.store
	if _, err := k.completeKeys(ctx, minSeq); err != nil {
		return raw{}, err
	}
	nc, err := s.conn(ctx)
	if err != nil {
		return raw{}, err
	}
	for {
		r, seq, ok := k.fromMemory(key, minSeq, true)
		if ok {
			return r, nil
		}
		if seq != 0 {
			if r, err = s.getLast(ctx, nc, k.subject(key)); err == nil && r.seq >= seq {
				return r, nil
			}
		}
		if waited := lattice.Pause(ctx, 5*time.Millisecond); waited != nil {
			return raw{}, errors.Join(errStale, err, waited)
		}
	}
}

// fromServers is read from a server's copy, and knows deleted keys' sequences too.
func (k *kv) fromServers(ctx context.Context, key string, minSeq uint64, linearizable bool) (raw, error) {
	s, subject := k.store, k.subject(key)
	nc, err := s.conn(ctx)
	if err != nil {
		return raw{}, err
	}
	if minSeq == 0 || s.single.Load() {
		known := k.indexed(key)
		if r, err := s.getLast(ctx, nc, subject); err != nil || !k.isBehind(key, known, &r) {
			return r, err
		}
		if s.single.Load() {
			return raw{}, errBehind
		}
	}
	within := ctx
	if !linearizable {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, min(freshTimeout, s.opts.Timeout/2))
		defer cancel()
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		known := k.indexed(key)
		r, upTo, err := s.hooks.readHome(within, nc, subject) // at home: a mirror has gaps
		if err == nil && upTo >= minSeq && !k.isBehind(key, known, &r) {
			return r, nil
		}
		if lattice.Pause(within, wait) == nil {
			continue
		}
		if linearizable {
			return raw{}, errors.Join(errStale, err, within.Err())
		}
		s.metrics.older.Inc()
		if r, _, ok := k.fromMemory(key, 0, false); ok && !r.deleted {
			return r, nil
		}
		r, err = s.getLast(ctx, nc, subject)
		if err == nil && k.isBehind(key, known, &r) {
			return raw{}, errBehind
		}
		return r, err
	}
}

// indexed is the version at which every copy of home should have a key, 0 if it is not known.
func (k *kv) indexed(key string) uint64 {
	s := k.store
	x := s.keys()
	if s.mirrors() || !x.IsLoaded() {
		return 0
	}
	it, _ := x.Tenant(k.token).Get(key, s.now())
	return it.Seq
}

// isBehind reports whether a copy answered with an older version than the index had before it
// was asked: the copy is damaged, or late.
func (k *kv) isBehind(key string, known uint64, r *raw) bool {
	if known <= r.seq || k.indexed(key) != known {
		return false
	}
	k.store.wakeScan()
	return true
}
