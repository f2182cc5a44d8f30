package state

import (
	"context"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// barrier shares one barrier write among all reads that wait for one: a write that begins
// after a read began is good for the read.
type barrier struct {
	writing chan struct{} // a semaphore: one write at a time

	mu   sync.Mutex
	next *barrierWrite // not begun yet
}

// barrierWrite is a write that a majority has confirmed. Its fields are set before done is
// closed.
type barrierWrite struct {
	done chan struct{}
	seq  uint64
	err  error
}

func newBarrier() *barrier { return &barrier{writing: make(chan struct{}, 1)} }

// wait returns the sequence of a write that began after the call.
func (b *barrier) wait(ctx context.Context, write func(context.Context) (uint64, error)) (uint64, error) {
	for {
		b.mu.Lock()
		w, leads := b.next, b.next == nil
		if leads {
			w = &barrierWrite{done: make(chan struct{})}
			b.next = w
		}
		b.mu.Unlock()
		if leads {
			b.lead(ctx, w, write)
			return w.seq, w.err
		}
		select {
		case <-w.done:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		if w.err == nil || ctx.Err() != nil {
			return w.seq, w.err
		}
		// The caller that led it may have had less time than this one.
	}
}

func (b *barrier) lead(ctx context.Context, w *barrierWrite, write func(context.Context) (uint64, error)) {
	defer close(w.done)
	select {
	case b.writing <- struct{}{}:
		defer func() { <-b.writing }()
	case <-ctx.Done():
		w.err = ctx.Err()
	}
	b.mu.Lock()
	b.next = nil
	b.mu.Unlock()
	if w.err == nil {
		w.seq, w.err = write(ctx)
	}
}

// writeBarrier writes to a subject that holds nothing. Its sequence is after every write that
// was confirmed before, and only a majority can give it.
func (s *Store) writeBarrier(ctx context.Context) (uint64, error) {
	seq, err := s.publish(ctx, &nats.Msg{Subject: s.barrierSubject()})
	if err != nil {
		s.metrics.barriersFailed.Inc()
	} else {
		s.metrics.barriers.Inc()
	}
	return seq, err
}

// writeBarrierAt is writeBarrier if a subject is at a sequence, 0 if it holds nothing; else it
// returns a wrongVersionError.
func (s *Store) writeBarrierAt(ctx context.Context, subject string, seq uint64) error {
	_, err := s.publish(ctx, &nats.Msg{Subject: s.barrierSubject(), Header: nats.Header{
		hdrExpected: {strconv.FormatUint(seq, 10)}, hdrExpectedOf: {subject},
	}})
	return err
}

// Refresh is a read barrier for a tenant: reads at this edge that begin after it return what
// was confirmed before it, or newer, if a copy in reach has that. It fails without a majority.
func (s *Store) Refresh(ctx context.Context, id string) error {
	seq, err := s.barrier.wait(ctx, s.writeBarrier)
	if err != nil {
		return err
	}
	raise(s.session(tenantToken(id)), seq)
	_, err = s.keysAt(ctx, seq)
	return err
}
