package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// index has the usage of every tenant, as of a sequence of the stream.
type index struct {
	complete chan struct{} // closed when the keys of the start are all there

	mu      sync.Mutex
	tenants map[string]*usage // by token
	at      uint64            // the last sequence taken up
	moved   chan struct{}     // closed when at grows

	// A write that was replaced before it came is not there, and what replaced it may
	// come much later: then there is a gap, until the index has a write that was begun
	// when the gap was known, and with it all that was there before.
	gaps    uint64 // how many there were
	settled uint64 // of them; when all are, the index is whole
	witness uint64 // the sequence that settles them, 0 if there is none yet
	whole   uint64 // the last sequence at which nothing was missing
}

func newIndex() *index {
	return &index{complete: make(chan struct{}), tenants: map[string]*usage{}, moved: make(chan struct{}), gaps: 1}
}

func (x *index) usage(token string) *usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	u, ok := x.tenants[token]
	if !ok {
		u = newUsage()
		x.tenants[token] = u
	}
	return u
}

func (x *index) advance(seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if seq <= x.at {
		return
	}
	if seq != x.at+1 {
		x.gaps++
		x.witness = 0
	}
	x.at = seq
	x.settle()
	close(x.moved)
	x.moved = make(chan struct{})
}

// gapsNow is for vouch.
func (x *index) gapsNow() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.gaps
}

// vouch takes up the sequence of a write that was begun when there were so many gaps.
func (x *index) vouch(gaps, seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if gaps == x.gaps && (x.witness == 0 || seq < x.witness) {
		x.witness = seq
		x.settle()
	}
}

func (x *index) settle() {
	if x.witness != 0 && x.at >= x.witness {
		x.settled = x.gaps
	}
	if x.settled == x.gaps {
		x.whole = x.at
	}
}

// covers reports whether the index has all up to a sequence: passed, but for what may
// be missing in a gap, and whole, without exception.
func (x *index) covers(seq uint64) (passed, whole bool) {
	select {
	case <-x.complete:
	default:
		return false, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.at >= seq, x.whole >= seq
}

// done reports whether the keys of the start are all there.
func (x *index) done() bool {
	select {
	case <-x.complete:
		return true
	default:
		return false
	}
}

// last is the last sequence taken up.
func (x *index) last() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.at
}

// reached waits until the index has passed a sequence.
func (x *index) reached(ctx context.Context, seq uint64) error {
	for {
		x.mu.Lock()
		at, moved := x.at, x.moved
		x.mu.Unlock()
		if at >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("state: the list of keys is behind: %w", ctx.Err())
		}
	}
}

// all are the usages of all tenants.
func (x *index) all() []*usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Values(x.tenants))
}

// indexes are the index in use, and the one that will replace it.
type indexes struct{ now, next atomic.Pointer[index] }

// complete waits for the first index.
func (s *Store) complete(ctx context.Context) (*index, error) {
	x := s.index.now.Load()
	select {
	case <-x.complete:
		return x, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("state: not read yet, as the lattice is not up or was started just now: %w", ctx.Err())
	}
}

// note takes up in each index what a write here, or another, has done, and records it.
func (s *Store) note(token, key string, r *raw, size int) {
	now := s.now()
	fresh := s.index.now.Load().usage(token).note(key, r, size, now)
	if next := s.index.next.Load(); next != nil {
		next.usage(token).note(key, r, size, now)
	}
	if fresh && r.seq != 0 {
		s.record(token, key, r)
	}
}

// errGap ends following when deletions may have been missed.
var errGap = errors.New("the lattice was out of reach for too long")

// follow keeps an index until something fails; then it returns what. With anew the
// index begins empty. It is complete, and comes into use, when it has all that there is
// and has passed the sequence until.
func (s *Store) follow(ctx context.Context, js jetstream.JetStream, anew bool, until uint64) error {
	x := s.index.now.Load()
	if anew {
		x = newIndex()
		s.index.next.Store(x)
		defer s.index.next.Store(nil)
	}
	from := x.last() + 1
	stream, err := js.Stream(ctx, s.stream())
	if err != nil {
		return err
	}
	last := stream.CachedInfo().State.LastSeq
	cons, err := js.CreateConsumer(ctx, s.stream(), jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, HeadersOnly: true,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
	})
	if err != nil {
		return err
	}
	if cons.CachedInfo().NumPending == 0 && until == 0 {
		if err := s.use(ctx, stream, x); err != nil {
			return err
		}
	}
	it, err := cons.Messages(jetstream.PullMaxMessages(2000), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullExpiry/4),
		jetstream.WithMessagesErrOnMissingHeartbeat(true))
	if err != nil {
		return err
	}
	defer it.Stop()
	due := uint64(0) // a sequence that was there when last looked
	for n, idle := uint64(1), 0; ; n++ {
		m, err := next(ctx, it)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			// What was to come may have been replaced or have expired meanwhile, which
			// the server's count does not always see.
			if idle++; idle > 1 && x.last() >= until {
				if err := s.use(ctx, stream, x); err != nil {
					return err
				}
			}
			if idle%2 == 0 {
				if x.last() < due && there(ctx, stream, due) {
					return errStalled
				}
				due = lastOf(ctx, stream)
			}
			n--
			continue
		}
		if err != nil {
			return err
		}
		idle = 0
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != n {
			return errors.New("messages were lost on the way")
		}
		s.take(x, m, meta)
		if (meta.NumPending == 0 || meta.Sequence.Stream >= last) && meta.Sequence.Stream >= until {
			if err := s.use(ctx, stream, x); err != nil {
				return err
			}
		}
	}
}

// errStalled ends following by a consumer that lives and gives nothing.
var errStalled = errors.New("what is there does not come")

// lastOf is the stream's last sequence, 0 if it cannot be asked.
func lastOf(ctx context.Context, stream jetstream.Stream) uint64 {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	info, err := stream.Info(ctx)
	if err != nil {
		return 0
	}
	return info.State.LastSeq
}

// there reports whether there is a message of this sequence or behind it: it may have
// expired, and been the last.
func there(ctx context.Context, stream jetstream.Stream, seq uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">"))
	return err == nil
}

// next waits for a message for a second.
func next(ctx context.Context, it jetstream.MessagesContext) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return it.Next(jetstream.NextContext(ctx))
}

// use makes an index that is complete the one in use, after it was compared with what
// this edge has recorded.
func (s *Store) use(ctx context.Context, stream jetstream.Stream, x *index) error {
	if x.done() {
		return nil
	}
	if err := s.verify(ctx, stream, x); err != nil {
		return err
	}
	close(x.complete)
	s.index.now.Store(x)
	s.gap = false
	return nil
}

// take takes up a message of the stream.
func (s *Store) take(x *index, m jetstream.Msg, meta *jetstream.MsgMetadata) {
	r := raw{seq: meta.Sequence.Stream}
	if token, key, ok := s.parseSubject(m.Subject()); ok {
		size, _ := strconv.Atoi(m.Headers().Get(hdrSize))
		if err := r.parse(m.Headers()); err != nil {
			s.log.Warn("an entry is left out of lists", "subject", m.Subject(), "err", err)
			r.dead = true
		}
		if x.usage(token).note(key, &r, size, s.now()) && x.done() {
			s.record(token, key, &r)
		}
	} else {
		s.takeDisk(m, meta.Timestamp)
	}
	x.advance(r.seq)
}
