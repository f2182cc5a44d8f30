package state

import (
	"context"
	"errors"
	"time"

	"github.com/terrane/terrane/internal/lattice"
)

// proven returns a sequence that a read must not go behind, 0 if any will do.
func (k *kv) proven(ctx context.Context) (uint64, error) {
	if k.reads == Near {
		return 0, nil
	}
	if k.reads == Cautious {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(freshTimeout, k.store.opts.Timeout/4))
		defer cancel()
	}
	at, err := k.store.barrier.pass(ctx, k.store.prove)
	if k.reads == Cautious {
		return at, nil //nolint:nilerr // it was an attempt
	}
	return at, err
}

// whole waits until an index has everything up to a sequence.
func (k *kv) whole(ctx context.Context, x *index, seq uint64) error {
	for at := seq; ; {
		if err := x.reached(ctx, at); err != nil {
			return err
		}
		if _, whole := x.covers(seq); whole || seq == 0 {
			return nil
		}
		var err error
		if at, err = k.proven(ctx); err != nil || at == 0 { // 0: no proof, and it was an attempt
			return err
		}
	}
}

// here reads a key as of the sequence floor or later from what this edge has in memory,
// if that tells it. If it tells only at which sequence the key is at least, that is seq.
// Without must, in another region than the home, a gap is put up with.
func (k *kv) here(key string, floor uint64, must bool) (r raw, seq uint64, told bool) {
	s := k.store
	x := s.index.now.Load()
	passed, whole := x.covers(floor)
	it, dead := x.usage(k.token).get(key, s.now())
	switch {
	case whole, it.seq >= max(floor, 1), passed && !must && s.mirrors():
	case passed:
		select {
		case s.unsure <- struct{}{}:
		default:
		}
		return raw{}, 0, false
	default:
		return raw{}, 0, false
	}
	if it.seq == 0 {
		return raw{seq: dead, dead: true}, dead, true
	}
	value, told := s.cache.find(place{k.token, key}, it.seq)
	return raw{seq: it.seq, value: value, expires: it.expires}, it.seq, told
}

// arrived is here after a moment: what home has confirmed is on its way to another
// region, and waiting is less than asking.
func (k *kv) arrived(ctx context.Context, key string, floor uint64, must bool) (r raw, seq uint64, told bool) {
	within, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	_ = k.store.index.now.Load().reached(within, floor)
	return k.here(key, floor, must)
}

// read reads a key as of the sequence floor or later. Unless it must, it makes do with
// an older copy when there is none to be had soon.
func (k *kv) read(ctx context.Context, key string, floor uint64, must bool) (raw, error) {
	if must && !k.store.mirrors() && !k.store.single.Load() {
		return k.newest(ctx, key, floor)
	}
	r, seq, told := k.here(key, floor, must)
	if !told && seq == 0 && k.store.mirrors() {
		r, seq, told = k.arrived(ctx, key, floor, must)
	}
	if told {
		return r, nil
	}
	if seq != 0 { // a copy that has this is fresh enough
		nc, err := k.store.conn(ctx)
		if err != nil {
			return raw{}, err
		}
		if r, err = k.store.getLast(ctx, nc, k.subject(key)); err == nil && r.seq >= seq {
			return r, nil
		}
	}
	if must && k.store.mirrors() {
		return k.attested(ctx, key, floor)
	}
	return k.fetch(ctx, key, floor, must)
}

// attested reads a key as of the sequence floor or later from home. Which copy answers
// there nobody knows, and one that catches up after a cut has gaps: only a write that
// home refuses unless the key is at what was read shows that it was the newest.
func (k *kv) attested(ctx context.Context, key string, floor uint64) (raw, error) {
	for {
		r, err := k.fetch(ctx, key, floor, true)
		if err != nil {
			return raw{}, err
		}
		err = k.store.attest(ctx, k.subject(key), r.seq)
		if _, other := errors.AsType[wrongVersionError](err); !other {
			return r, err
		}
		if r, _, told := k.arrived(ctx, key, floor, true); told {
			return r, nil
		}
		if ctx.Err() != nil {
			return raw{}, errors.Join(errStale, ctx.Err())
		}
	}
}

// newest reads a key as of the sequence floor or later by what the index says, which
// must be whole for that. What a copy says of itself is not enough: one that catches up
// after a cut has gaps, and answers.
func (k *kv) newest(ctx context.Context, key string, floor uint64) (raw, error) {
	s := k.store
	x, err := s.complete(ctx)
	if err != nil {
		return raw{}, err
	}
	if err := k.whole(ctx, x, floor); err != nil {
		return raw{}, err
	}
	nc, err := s.conn(ctx)
	if err != nil {
		return raw{}, err
	}
	for {
		r, seq, told := k.here(key, floor, true)
		if told {
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

// fetch is read from a server's copy, and knows deleted keys' sequences too.
func (k *kv) fetch(ctx context.Context, key string, floor uint64, must bool) (raw, error) {
	s, subject := k.store, k.subject(key)
	nc, err := s.conn(ctx)
	if err != nil {
		return raw{}, err
	}
	if floor == 0 || s.single.Load() {
		known := k.known(key)
		if r, err := s.getLast(ctx, nc, subject); err != nil || !k.lacks(key, known, &r) {
			return r, err
		}
		if s.single.Load() {
			return raw{}, errLacks
		}
	}
	get := copies(s.getUpTo)
	if s.copies != nil {
		get = s.copies(get)
	}
	within := ctx
	if !must {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, min(freshTimeout, s.opts.Timeout/2))
		defer cancel()
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		known := k.known(key)
		r, upTo, err := get(within, nc, subject) // at home: a mirror has gaps
		if err == nil && upTo >= floor && !k.lacks(key, known, &r) {
			return r, nil
		}
		if lattice.Pause(within, wait) == nil {
			continue
		}
		if must {
			return raw{}, errors.Join(errStale, err, within.Err())
		}
		s.metrics.older.Inc()
		if r, _, told := k.here(key, 0, false); told && !r.dead {
			return r, nil
		}
		r, err = s.getLast(ctx, nc, subject)
		if err == nil && k.lacks(key, known, &r) {
			return raw{}, errLacks
		}
		return r, err
	}
}

// known is the sequence at which every copy of home should have a key, 0 if nobody knows.
func (k *kv) known(key string) uint64 {
	s := k.store
	x := s.index.now.Load()
	if s.mirrors() || !x.done() {
		return 0
	}
	it, _ := x.usage(k.token).get(key, s.now())
	return it.seq
}

// lacks reports whether a copy did not have what was known before it was asked: it is
// damaged, or behind.
func (k *kv) lacks(key string, known uint64, r *raw) bool {
	if known <= r.seq || k.known(key) != known {
		return false
	}
	k.store.wakeScan()
	return true
}

var errLacks = errors.New("state: the entry was acknowledged, and no copy in reach has it")

var errStale = errors.New("state: no copy in reach is fresh enough")
