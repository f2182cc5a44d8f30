package state

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice/state/index"
)

// indexes are the index in use, and the one that will replace it, nil if none will.
type indexes struct{ inUse, next atomic.Pointer[index.Index] }

// keys returns the index in use, which may not be loaded yet.
func (s *Store) keys() *index.Index { return s.index.inUse.Load() }

// useKeys puts an index in the place of the one in use.
func (s *Store) useKeys(x *index.Index) {
	if old := s.index.inUse.Swap(x); old != nil && old != x {
		old.Retire()
	}
}

// loadedKeys waits until the index in use is loaded.
func (s *Store) loadedKeys(ctx context.Context) (*index.Index, error) {
	for {
		x := s.keys()
		select {
		case <-x.Loaded():
			return x, nil
		case <-x.Retired():
		case <-ctx.Done():
			return nil, fmt.Errorf("state: not read yet, as the lattice is not up or was started just now: %w", ctx.Err())
		}
	}
}

// keysAt waits until the index in use is loaded and has reached a sequence.
func (s *Store) keysAt(ctx context.Context, seq uint64) (*index.Index, error) {
	for {
		x, err := s.loadedKeys(ctx)
		if err != nil {
			return nil, err
		}
		if err = x.Wait(ctx, seq); !errors.Is(err, index.ErrRetired) {
			return x, err
		}
	}
}

// applyRaw puts what this edge has read or written into each index, and records it.
func (s *Store) applyRaw(token, key string, r *raw) {
	it, now := r.item(key, len(r.value)), s.now()
	isNew := s.keys().Tenant(token).Apply(it, r.deleted, now)
	if next := s.index.next.Load(); next != nil {
		next.Tenant(token).Apply(it, r.deleted, now)
	}
	if isNew {
		s.record(token, key, r)
	}
}

// errMissedDeletes ends following when the servers may have forgotten deletions that this edge
// has not heard of.
var errMissedDeletes = errors.New("the lattice was out of reach for too long")

// follow applies the stream to an index until something fails, and returns the failure. With
// rebuild the index begins empty. It is loaded, and comes into use, when it has everything
// that there is and has reached the sequence until.
func (s *Store) follow(ctx context.Context, js jetstream.JetStream, rebuild bool, until uint64) error {
	x := s.keys()
	if rebuild {
		x = index.New()
		s.index.next.Store(x)
		defer s.index.next.Store(nil)
	}
	from := x.Last() + 1
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
		if err := s.install(ctx, stream, x); err != nil {
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
			if idle++; idle > 1 && x.Last() >= until {
				if err := s.install(ctx, stream, x); err != nil {
					return err
				}
			}
			if idle%2 == 0 {
				if x.Last() < due && exists(ctx, stream, due) {
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
		s.apply(x, m, meta)
		if (meta.NumPending == 0 || meta.Sequence.Stream >= last) && meta.Sequence.Stream >= until {
			if err := s.install(ctx, stream, x); err != nil {
				return err
			}
		}
	}
}

// errStalled ends following by a consumer that sends heartbeats and no messages.
var errStalled = errors.New("the stream has messages that its consumer does not deliver")

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

// exists reports whether there is a message of this sequence or a later one: it may have
// expired, and been the last.
func exists(ctx context.Context, stream jetstream.Stream, seq uint64) bool {
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

// install makes an index that has all keys the one in use, after a comparison with what this
// edge has recorded.
func (s *Store) install(ctx context.Context, stream jetstream.Stream, x *index.Index) error {
	if x.IsLoaded() {
		return nil
	}
	if err := s.verify(ctx, stream, x); err != nil {
		return err
	}
	x.SetLoaded()
	s.useKeys(x)
	s.missedDeletes = false
	return nil
}

// apply puts a message of the stream into an index.
func (s *Store) apply(x *index.Index, m jetstream.Msg, meta *jetstream.MsgMetadata) {
	r := raw{seq: meta.Sequence.Stream}
	if token, key, ok := s.parseSubject(m.Subject()); ok {
		size, _ := strconv.Atoi(m.Headers().Get(hdrSize))
		if err := r.parse(m.Headers()); err != nil {
			s.log.Warn("an entry is left out of lists", "subject", m.Subject(), "err", err)
			r.deleted = true
		}
		if x.Tenant(token).Apply(r.item(key, size), r.deleted, s.now()) && x.IsLoaded() {
			s.record(token, key, &r)
		}
	} else {
		s.applyDisk(m, meta.Timestamp)
	}
	x.Advance(r.seq)
}
