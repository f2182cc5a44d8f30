package state

import (
	"context"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// barrier shares one proof among all reads that wait for one: a proof that starts
// after a read began holds for the read.
type barrier struct {
	turn chan struct{} // holds one token; whoever has it proves

	mu   sync.Mutex
	next *proof // not started yet
}

// proof is a write that a majority has confirmed. Its fields are set before done is closed.
type proof struct {
	done chan struct{}
	seq  uint64
	err  error
}

func newBarrier() *barrier {
	b := &barrier{turn: make(chan struct{}, 1)}
	b.turn <- struct{}{}
	return b
}

// pass returns the sequence of a proof that started after the call.
func (b *barrier) pass(ctx context.Context, prove func(context.Context) (uint64, error)) (uint64, error) {
	for {
		b.mu.Lock()
		p, leads := b.next, b.next == nil
		if leads {
			p = &proof{done: make(chan struct{})}
			b.next = p
		}
		b.mu.Unlock()
		if leads {
			b.lead(ctx, p, prove)
			return p.seq, p.err
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		if p.err == nil || ctx.Err() != nil {
			return p.seq, p.err
		}
		// Whoever led it may have had less time than we have.
	}
}

func (b *barrier) lead(ctx context.Context, p *proof, prove func(context.Context) (uint64, error)) {
	defer close(p.done)
	select {
	case <-b.turn:
		defer func() { b.turn <- struct{}{} }()
	case <-ctx.Done():
		p.err = ctx.Err()
	}
	b.mu.Lock()
	b.next = nil
	b.mu.Unlock()
	if p.err == nil {
		p.seq, p.err = prove(ctx)
	}
}

// prove writes where nothing is kept: what it returns is behind every write that was
// confirmed before.
func (s *Store) prove(ctx context.Context) (uint64, error) {
	seq, err := s.publish(ctx, &nats.Msg{Subject: s.barrierSubject()})
	if err != nil {
		s.metrics.proofsRefused.Inc()
	} else {
		s.metrics.proofs.Inc()
	}
	return seq, err
}

// attest is prove if a subject is at a sequence, 0 if it holds nothing; else a
// wrongVersionError.
func (s *Store) attest(ctx context.Context, subject string, seq uint64) error {
	_, err := s.publish(ctx, &nats.Msg{Subject: s.barrierSubject(), Header: nats.Header{
		hdrExpected: {strconv.FormatUint(seq, 10)}, hdrExpectedOf: {subject},
	}})
	return err
}
