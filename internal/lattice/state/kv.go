package state

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/state/index"
)

// Reads says how fresh reads are.
type Reads int

// The kinds of reads.
const (
	Near   Reads = iota // from the nearest copy: at most a few seconds old while home is in reach
	Strict              // linearizable: each has a read barrier, and fails without a majority
)

// KV is one tenant's state.
func (s *Store) KV(id string, reads Reads) hostcalls.KV {
	token := tenantToken(id)
	return &kv{store: s, token: token, reads: reads, session: s.session(token)}
}

// session is the newest sequence of a tenant that this edge has read or written.
func (s *Store) session(token string) *atomic.Uint64 {
	seq, _ := s.sessions.LoadOrStore(token, new(atomic.Uint64))
	return seq.(*atomic.Uint64)
}

// kv is one tenant's state.
type kv struct {
	store   *Store
	token   string
	reads   Reads
	session *atomic.Uint64 // no read of this edge returns an older version
}

func (k *kv) subject(key string) string {
	return "$KV." + k.store.opts.Bucket + "." + k.token + "." + keyToken(key)
}

// raise makes a sequence at least seq.
func raise(at *atomic.Uint64, seq uint64) {
	for {
		old := at.Load()
		if seq <= old || at.CompareAndSwap(old, seq) {
			return
		}
	}
}

// apply puts what this edge has read or written into the indexes and the cache.
func (k *kv) apply(key string, r *raw) {
	s := k.store
	s.applyRaw(k.token, key, r)
	if r.live(s.now()) {
		s.cache.Put(k.token, key, r.seq, r.value)
	} else {
		s.cache.Drop(k.token, key)
	}
}

// Get implements hostcalls.KV.
func (k *kv) Get(ctx context.Context, key string) (e hostcalls.KVEntry, err error) {
	s := k.store
	if err := s.readable(k.token, key); err != nil {
		s.metrics.count(doGet, err)
		return hostcalls.KVEntry{}, err
	}
	if k.reads == Near { // a hit in memory costs nothing of what follows
		if r, _, ok := k.fromMemory(key, k.minSeq(0), false); ok {
			e, err = k.entry(&r)
			s.metrics.memory.Inc()
			s.metrics.count(doGet, err)
			return e, err
		}
	}
	defer func(begun time.Time) { s.metrics.timed(doGet, begun, err) }(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	barrier, err := k.readBarrier(ctx)
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	end, err := k.turn(ctx, key, 0)
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	defer end()
	read := func() (raw, error) {
		return k.read(ctx, key, k.minSeq(barrier), k.reads == Strict)
	}
	loaded := s.keys().IsLoaded()
	r, err := read()
	if errors.Is(err, nats.ErrNoResponders) && !loaded { // the bucket is being made
		if _, err = s.loadedKeys(ctx); err == nil {
			r, err = read()
		}
	}
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	k.apply(key, &r)
	return k.entry(&r)
}

// entry returns what was read.
func (k *kv) entry(r *raw) (hostcalls.KVEntry, error) {
	s := k.store
	raise(k.session, r.seq) // no later read returns an older version
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
	x, err := s.loadedKeys(ctx)
	if err == nil {
		err = errors.Join(s.checkDisks(), s.Check())
	}
	if err != nil {
		return 0, err
	}
	end, err := k.turn(ctx, key, len(value))
	if err != nil {
		return 0, err
	}
	defer end()
	expect, release, err := x.Tenant(k.token).Reserve(ctx, key, len(value), at, s.opts.Quota, s.now())
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
	k.apply(key, &r)
	return r.seq, nil
}

// Delete implements hostcalls.KV.
func (k *kv) Delete(ctx context.Context, key string, at uint64) (err error) {
	s := k.store
	defer func(begun time.Time) { s.metrics.timed(doDelete, begun, err) }(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	x, err := s.loadedKeys(ctx)
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
	if _, ended := x.Tenant(k.token).Get(key, s.now()); at == 0 || at == ended {
		return hostcalls.ErrNotFound
	}
	header := nats.Header{hdrOp: {opDelete}, hdrTTL: {strconv.Itoa(int(index.TombstoneTTL / time.Second))}}
	seq, err := k.write(ctx, key, header, nil, at, at)
	if errors.Is(err, hostcalls.ErrConflict) {
		r, err := k.fromServers(ctx, key, k.session.Load(), true)
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
	k.apply(key, &raw{seq: seq, deleted: true, write: header.Get(hdrWrite)})
	return nil
}

// List implements hostcalls.KV.
func (k *kv) List(ctx context.Context, prefix, after string, limit int) (keys []string, err error) {
	s := k.store
	defer func(begun time.Time) { s.metrics.timed(doList, begun, err) }(time.Now())
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	if _, err := s.loadedKeys(ctx); err != nil {
		return nil, err
	}
	barrier, err := k.readBarrier(ctx)
	if err != nil {
		return nil, err
	}
	x, err := k.completeKeys(ctx, barrier)
	if err != nil {
		return nil, err
	}
	if err := s.listable(k.token); err != nil {
		return nil, err
	}
	return x.Tenant(k.token).List(prefix, after, limit, s.now()), nil
}
