package state

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
)

// turn waits for the turn of an operation that writes so many bytes, and may read what
// the key has by then.
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
	x := k.store.keys()
	if !x.IsLoaded() {
		return hostcalls.KVValueMax
	}
	it, _ := x.Tenant(k.token).Get(key, k.store.now())
	return max(size, int(it.Size))
}

// write writes to a key that is at the version at, 0 if it is absent. The leader accepts the
// write if the subject is at the sequence expect. For an absent key that is the sequence of a
// tombstone or of an expired version; the leader's first refusal tells it if it is not known
// here.
func (k *kv) write(ctx context.Context, key string, h nats.Header, data []byte, at, expect uint64) (uint64, error) {
	s, subject := k.store, k.subject(key)
	h.Set(hdrWrite, strconv.FormatUint(rand.Uint64(), 36)) //nolint:gosec // no secret
	for {
		h.Set(hdrExpected, strconv.FormatUint(expect, 10))
		seq, err := s.publish(ctx, &nats.Msg{Subject: subject, Header: h, Data: data})
		wrong, ok := errors.AsType[wrongVersionError](err)
		if !ok {
			raise(k.session, seq)
			return seq, err
		}
		raise(k.session, wrong.last)
		if wrong.doubt {
			r, err := k.fromServers(ctx, key, wrong.last, true)
			if err != nil {
				return 0, err
			}
			if r.write == h.Get(hdrWrite) {
				return r.seq, nil
			}
			// Ours would be at a later sequence than expect, unless it has expired.
			notDone := r.seq < expect && h.Get(hdrExpires) == ""
			if !notDone && r.replaced != h.Get(hdrExpected) { // it may have replaced ours
				return 0, errDoubt
			}
		}
		if at != 0 {
			if wrong.pending { // nobody can read yet what another writes just now
				_ = lattice.Pause(ctx, time.Millisecond)
			}
			return 0, hostcalls.ErrConflict
		}
		r, err := k.fromServers(ctx, key, k.session.Load(), true)
		if err != nil {
			return 0, err
		}
		if r.live(s.now()) {
			return 0, hostcalls.ErrConflict
		}
		if r.seq == expect { // a write is on its way that no copy has yet
			if err := lattice.Pause(ctx, 5*time.Millisecond); err != nil {
				return 0, err
			}
		}
		expect = r.seq
	}
}

var errDoubt = errors.New("state: the confirmation of the write was lost, and the key was written again since")
