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

// Get implements hostcalls.KV.
func (k *kv) Get(ctx context.Context, key string) (hostcalls.KVEntry, error) {
	s := k.store
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	proven, err := k.proven(ctx)
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	r, err := s.read(ctx, k.subject(key), max(proven, k.floor.Load(), s.base.Load()), k.reads == Strict)
	if err != nil {
		return hostcalls.KVEntry{}, err
	}
	k.seen(r.seq)
	if !r.live(s.now()) {
		return hostcalls.KVEntry{}, hostcalls.ErrNotFound
	}
	if r.expires != 0 {
		s.note(k.token, key, &r, len(r.value)) // a later Put must know that it expired
	}
	return hostcalls.KVEntry{Value: r.value, Version: r.seq, Expires: s.local(r.expires)}, nil
}

// Put implements hostcalls.KV.
func (k *kv) Put(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	s := k.store
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	x, err := s.complete(ctx)
	if err != nil {
		return 0, err
	}
	u := x.usage(k.token)
	expect, release, err := u.reserve(key, len(value), at, s.opts.Quota, s.now())
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
	s.note(k.token, key, &r, len(value))
	return r.seq, nil
}

// Delete implements hostcalls.KV.
func (k *kv) Delete(ctx context.Context, key string, at uint64) error {
	s := k.store
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	x, err := s.complete(ctx)
	if err != nil {
		return err
	}
	if at == 0 || x.usage(k.token).over(key, at, s.now()) {
		return hostcalls.ErrNotFound
	}
	header := nats.Header{hdrOp: {opDelete}, hdrTTL: {strconv.Itoa(int(tombstoneTTL / time.Second))}}
	seq, err := k.write(ctx, key, header, nil, at, at)
	if errors.Is(err, hostcalls.ErrConflict) {
		r, err := s.read(ctx, k.subject(key), k.floor.Load(), true)
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
	s.note(k.token, key, &raw{seq: seq, dead: true}, 0)
	return nil
}

// write writes to a key that is at a version, where the server must find the sequence
// expect: for a key that is absent that of a tombstone or of what has expired, which
// the first answer tells if it is not known here.
func (k *kv) write(ctx context.Context, key string, h nats.Header, data []byte, at, expect uint64) (uint64, error) {
	s, subject := k.store, k.subject(key)
	for {
		h.Set(hdrExpected, strconv.FormatUint(expect, 10))
		seq, err := s.publish(ctx, &nats.Msg{Subject: subject, Header: h, Data: data})
		wrong, ok := errors.AsType[wrongVersionError](err)
		if !ok {
			k.seen(seq)
			return seq, err
		}
		k.seen(wrong.last)
		if at != 0 {
			return 0, hostcalls.ErrConflict
		}
		r, err := s.read(ctx, subject, k.floor.Load(), true)
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
func (k *kv) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	s := k.store
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
	if err := x.reached(ctx, proven); err != nil {
		return nil, err
	}
	return x.usage(k.token).list(prefix, after, limit, s.now()), nil
}

// read reads a subject from a copy that is complete up to floor. Unless it must, it
// makes do with an older one when there is none to be had soon.
func (s *Store) read(ctx context.Context, subject string, floor uint64, must bool) (raw, error) {
	nc, err := s.conn(ctx)
	if err != nil {
		return raw{}, err
	}
	if floor == 0 || s.single.Load() || s.mirrors() && s.index.now.Load().last() >= floor && s.oneCopy.Load() {
		return s.getLast(ctx, nc, subject)
	}
	within := ctx
	if !must {
		var cancel context.CancelFunc
		within, cancel = context.WithTimeout(ctx, min(freshTimeout, s.opts.Timeout/2))
		defer cancel()
	}
	for home, wait := false, time.Millisecond; ; home, wait = s.mirrors(), min(2*wait, 50*time.Millisecond) {
		r, upTo, err := s.getUpTo(within, nc, subject, home)
		if err == nil && upTo >= floor {
			return r, nil
		}
		if within.Err() == nil {
			_ = pause(within, wait)
		}
		switch {
		case within.Err() == nil:
		case must:
			return raw{}, errors.Join(errStale, err, within.Err())
		default:
			return s.getLast(ctx, nc, subject)
		}
	}
}

var errStale = errors.New("state: no copy in reach is fresh enough")
