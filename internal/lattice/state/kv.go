package state

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/hostcalls"
)

// Reads says how fresh reads are.
type Reads int

// The kinds of reads.
const (
	Near     Reads = iota // from the nearest copy
	Strict                // linearizable: each proves with a write that a majority is there, and fails without one
	Cautious              // Strict where a majority answers within a second, else Near
)

// KV is one tenant's state.
func (s *Store) KV(id string, reads Reads) hostcalls.KV {
	token := tenantToken(id)
	return &kv{store: s, token: token, reads: reads, floor: s.floor(token)}
}

// floor is what this edge has seen of a tenant.
func (s *Store) floor(token string) *atomic.Uint64 {
	floor, _ := s.floors.LoadOrStore(token, new(atomic.Uint64))
	return floor.(*atomic.Uint64)
}

// kv is one tenant's.
type kv struct {
	store *Store
	token string
	reads Reads
	floor *atomic.Uint64 // what this edge has seen of the tenant: reads do not go behind it
}

func (k *kv) subject(key string) string {
	return "$KV." + k.store.opts.Bucket + "." + k.token + "." + keyToken(key)
}

func (k *kv) seen(seq uint64) {
	for {
		old := k.floor.Load()
		if seq <= old || k.floor.CompareAndSwap(old, seq) {
			return
		}
	}
}

// note takes up what this edge has read or written.
func (k *kv) note(key string, r *raw) {
	s, p := k.store, place{k.token, key}
	s.note(k.token, key, r, len(r.value))
	if r.live(s.now()) {
		s.cache.keep(p, r.seq, r.value)
	} else {
		s.cache.forget(p)
	}
}

// Get implements hostcalls.KV.
func (k *kv) Get(ctx context.Context, key string) (e hostcalls.KVEntry, err error) {
	s := k.store
	if err := s.readable(k.token, key); err != nil {
		s.metrics.count(doGet, err)
		return hostcalls.KVEntry{}, err
	}
	if k.reads == Near { // nothing of what follows is to be paid for what is here
		if r, _, told := k.here(key, max(k.floor.Load(), s.base.Load()), false); told {
			e, err = k.entry(&r)
			s.metrics.memory.Inc()
			s.metrics.count(doGet, err)
			return e, err
		}
	}
	defer func(begun time.Time) { s.metrics.timed(doGet, begun, err) }(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	proven, err := k.proven(ctx)
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	end, err := k.turn(ctx, key, 0)
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	defer end()
	read := func() (raw, error) {
		return k.read(ctx, key, max(proven, k.floor.Load(), s.base.Load()), k.reads == Strict)
	}
	begun, _ := s.index.now.Load().covers(0)
	r, err := read()
	if errors.Is(err, nats.ErrNoResponders) && !begun { // the bucket is being made
		if _, err = s.complete(ctx); err == nil {
			r, err = read()
		}
	}
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	k.note(key, &r) // no later read goes behind it
	return k.entry(&r)
}

// entry returns what was read.
func (k *kv) entry(r *raw) (hostcalls.KVEntry, error) {
	s := k.store
	k.seen(r.seq)
	if !r.live(s.now()) {
		return hostcalls.KVEntry{}, hostcalls.ErrNotFound
	}
	return hostcalls.KVEntry{Value: r.value, Version: r.seq, Expires: s.local(r.expires)}, nil
}

// Put implements hostcalls.KV.
func (k *kv) Put(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (version uint64, err error) {
	s := k.store
	defer func(begun time.Time) { s.metrics.timed(doPut, begun, err) }(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	x, err := s.complete(ctx)
	if err == nil {
		err = errors.Join(s.room(), s.Check())
	}
	if err != nil {
		return 0, err
	}
	end, err := k.turn(ctx, key, len(value))
	if err != nil {
		return 0, err
	}
	defer end()
	u := x.usage(k.token)
	expect, release, err := u.reserve(ctx, key, len(value), at, s.opts.Quota, s.now())
	if err != nil {
		return 0, err
	}
	defer release()
	r := raw{value: value, expires: s.shared(expires)}
	header := nats.Header{}
	if r.expires != 0 {
		header.Set(hdrExpires, strconv.FormatInt(r.expires, 10))
		header.Set(hdrTTL, strconv.FormatInt(max(0, r.expires-s.now())/int64(time.Second)+2, 10)) // never too early
	}
	r.seq, err = k.write(ctx, key, header, value, at, expect)
	if err != nil {
		return 0, err
	}
	r.write = header.Get(hdrWrite)
	k.note(key, &r)
	return r.seq, nil
}

// Delete implements hostcalls.KV.
func (k *kv) Delete(ctx context.Context, key string, at uint64) (err error) {
	s := k.store
	defer func(begun time.Time) { s.metrics.timed(doDelete, begun, err) }(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	x, err := s.complete(ctx)
	if err == nil {
		err = s.Check()
	}
	if err != nil {
		return err
	}
	end, err := k.turn(ctx, key, 0)
	if err != nil {
		return err
	}
	defer end()
	if at == 0 || x.usage(k.token).over(key, at, s.now()) {
		return hostcalls.ErrNotFound
	}
	header := nats.Header{hdrOp: {opDelete}, hdrTTL: {strconv.Itoa(int(tombstoneTTL / time.Second))}}
	seq, err := k.write(ctx, key, header, nil, at, at)
	if errors.Is(err, hostcalls.ErrConflict) {
		r, err := k.fetch(ctx, key, k.floor.Load(), true)
		if err == nil && !r.live(s.now()) {
			err = hostcalls.ErrNotFound
		} else if err == nil {
			err = hostcalls.ErrConflict
		}
		return err
	}
	if err != nil {
		return err
	}
	k.note(key, &raw{seq: seq, dead: true, write: header.Get(hdrWrite)})
	return nil
}

// List implements hostcalls.KV.
func (k *kv) List(ctx context.Context, prefix, after string, limit int) (keys []string, err error) {
	s := k.store
	defer func(begun time.Time) { s.metrics.timed(doList, begun, err) }(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	x, err := s.complete(ctx)
	if err != nil {
		return nil, err
	}
	proven, err := k.proven(ctx)
	if err != nil {
		return nil, err
	}
	if err := k.whole(ctx, x, proven); err != nil {
		return nil, err
	}
	if err := s.listable(k.token); err != nil {
		return nil, err
	}
	return x.usage(k.token).list(prefix, after, limit, s.now()), nil
}
