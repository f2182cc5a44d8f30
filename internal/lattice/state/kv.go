package state

import (
	"context"
	"errors"
	"math/rand/v2"
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
	floor, _ := s.floors.LoadOrStore(token, new(atomic.Uint64))
	return &kv{store: s, token: token, reads: reads, floor: floor.(*atomic.Uint64)}
}

// kv is one tenant's.
type kv struct {
	store *Store
	token string
	reads Reads
	floor *atomic.Uint64 // what this edge has seen of the tenant: reads do not go behind it
}

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

// turn waits for the turn of an operation that writes so many bytes, and may read what
// is there by then.
func (k *kv) turn(ctx context.Context, key string, size int) (end func(), err error) {
	for size = k.most(key, size); ; {
		end, err := k.store.turns.wait(ctx, k.token, size)
		now := k.most(key, size)
		if err != nil || now == size {
			return end, err
		}
		end() // it has grown meanwhile
		size = now
	}
}

// most is the most bytes that an operation reads or writes.
func (k *kv) most(key string, size int) int {
	x := k.store.index.now.Load()
	select {
	case <-x.complete:
		it, _ := x.usage(k.token).get(key, k.store.now())
		return max(size, int(it.size))
	default:
		return hostcalls.KVValueMax
	}
}

// Get implements hostcalls.KV.
func (k *kv) Get(ctx context.Context, key string) (e hostcalls.KVEntry, err error) {
	s := k.store
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
	r, err := k.read(ctx, key, max(proven, k.floor.Load(), s.base.Load()), k.reads == Strict)
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
		err = s.room()
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
	k.note(key, &raw{seq: seq, dead: true})
	return nil
}

// write writes to a key that is at a version, where the server must find the sequence
// expect: for a key that is absent that of a tombstone or of what has expired, which
// the first answer tells if it is not known here.
func (k *kv) write(ctx context.Context, key string, h nats.Header, data []byte, at, expect uint64) (uint64, error) {
	s, subject := k.store, k.subject(key)
	h.Set(hdrWrite, strconv.FormatUint(rand.Uint64(), 36)) //nolint:gosec // no secret
	for {
		h.Set(hdrExpected, strconv.FormatUint(expect, 10))
		seq, err := s.publish(ctx, &nats.Msg{Subject: subject, Header: h, Data: data})
		wrong, ok := errors.AsType[wrongVersionError](err)
		if !ok {
			k.seen(seq)
			return seq, err
		}
		k.seen(wrong.last)
		if wrong.doubt {
			r, err := k.fetch(ctx, key, wrong.last, true)
			if err != nil {
				return 0, err
			}
			if r.write == h.Get(hdrWrite) {
				return r.seq, nil
			}
			if r.over != h.Get(hdrExpected) { // it may have replaced ours
				return 0, errDoubt
			}
		}
		if at != 0 {
			if wrong.pending { // nobody can read yet what another writes just now
				_ = pause(ctx, time.Millisecond)
			}
			return 0, hostcalls.ErrConflict
		}
		r, err := k.fetch(ctx, key, k.floor.Load(), true)
		if err != nil {
			return 0, err
		}
		if r.live(s.now()) {
			return 0, hostcalls.ErrConflict
		}
		if r.seq == expect { // a write is on its way that no copy has yet
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return 0, err
			}
		}
		expect = r.seq
	}
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
	return x.usage(k.token).list(prefix, after, limit, s.now()), nil
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

// read reads a key as of the sequence floor or later. Unless it must, it makes do with
// an older copy when there is none to be had soon.
func (k *kv) read(ctx context.Context, key string, floor uint64, must bool) (raw, error) {
	if must && !k.store.mirrors() && !k.store.single.Load() {
		return k.newest(ctx, key, floor)
	}
	r, seq, told := k.here(key, floor, must)
	if !told && seq == 0 && k.store.mirrors() {
		// What home has confirmed is on its way here: waiting is less than asking.
		within, cancel := context.WithTimeout(ctx, arrival)
		_ = k.store.index.now.Load().reached(within, floor)
		cancel()
		r, seq, told = k.here(key, floor, must)
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
	return k.fetch(ctx, key, floor, must)
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
		if waited := pause(ctx, 5*time.Millisecond); waited != nil {
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
		return s.getLast(ctx, nc, subject)
	}
	within := ctx
	if !must {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, min(freshTimeout, s.opts.Timeout/2))
		defer cancel()
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		r, upTo, err := s.getUpTo(within, nc, subject) // at home: a mirror has gaps
		if err == nil && upTo >= floor {
			return r, nil
		}
		if pause(within, wait) == nil {
			continue
		}
		if must {
			return raw{}, errors.Join(errStale, err, within.Err())
		}
		s.metrics.older.Inc()
		if r, _, told := k.here(key, 0, false); told && !r.dead {
			return r, nil
		}
		return s.getLast(ctx, nc, subject)
	}
}

var errDoubt = errors.New("state: the confirmation of the write was lost, and the key was written again since")

var errStale = errors.New("state: no copy in reach is fresh enough")
