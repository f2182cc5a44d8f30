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
				_ = lattice.Pause(ctx, time.Millisecond)
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
			if err := lattice.Pause(ctx, 5*time.Millisecond); err != nil {
				return 0, err
			}
		}
		expect = r.seq
	}
}

var errDoubt = errors.New("state: the confirmation of the write was lost, and the key was written again since")
