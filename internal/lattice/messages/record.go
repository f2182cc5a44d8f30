package messages

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

const (
	recordSync = time.Second // between its fsyncs
	scanEvery  = time.Hour
	scanTime   = 10 * time.Minute
	maxEarly   = 1 << 16
)

// record is what an edge alone knows of its messages apart from its server's files: each that
// was accepted, until a module has handled it. Where several edges have copies of the stream
// there is none, as any of them may handle what another has accepted. The nil record has
// nothing.
type record struct {
	ledger *integrity.Ledger
	path   string
	log    *slog.Logger

	mu      sync.Mutex
	waiting map[uint64]integrity.Entry // accepted and not handled, by sequence; guarded by mu
	early   map[uint64]struct{}        // handled and not known as accepted yet; guarded by mu
	floor   uint64                     // the highest sequence given out before the start; guarded by mu
	damage  *DamageError               // guarded by mu
	checked bool                       // the stream was compared since the start; guarded by mu
}

// DamageError says that messages that were accepted are lost. No others are accepted until an
// operator has accepted the loss.
type DamageError struct {
	Lost   int    // messages
	Reason string // what else is wrong
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("messages: the stream is damaged: %d messages that were accepted are lost%s. No others are accepted. Run 'terrane lattice repair' (docs/state.md, \"Damaged state\")", e.Lost, e.Reason)
}

func openRecord(path string, log *slog.Logger) (*record, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // the nil record has nothing
	}
	l, err := integrity.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the record of the messages: %w", err)
	}
	if n := l.Damaged(); n > 0 {
		log.Warn("record of the messages is damaged: losses before now may not be noticed", "file", path, "parts", n)
	}
	return &record{ledger: l, path: path, log: log, waiting: make(map[uint64]integrity.Entry), early: make(map[uint64]struct{}), floor: l.Last()}, nil
}

// entry is that of a message. Sequences that are given out again differ by their bodies.
func (r *record) entry(seq uint64, body []byte, at time.Time) integrity.Entry {
	return integrity.Entry{
		Key: r.ledger.Hash("", strconv.FormatUint(seq, 10)), Seq: seq,
		Expires: at.Add(maxAge - time.Minute).UnixNano(), Sum: integrity.Sum(string(body)),
	}
}

// accepted records a message before its sender has the answer.
func (r *record) accepted(seq uint64, body []byte) {
	if r == nil {
		return
	}
	e := r.entry(seq, body, time.Now())
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, handled := r.early[seq]; handled {
		delete(r.early, seq)
		return
	}
	if seq <= r.floor && r.damage == nil {
		r.damaged(&DamageError{Reason: fmt.Sprintf("; a message was given the sequence %d, and %d was given out before", seq, r.floor)})
	}
	r.waiting[seq] = e
	r.failed(r.ledger.Append(&e))
}

// settled records that a message is handled, or given up, before the server knows it.
func (r *record) settled(seq uint64, body []byte) {
	if r == nil {
		return
	}
	e := r.entry(seq, body, time.Now())
	e.Expires = integrity.Dead
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.waiting[seq]; ok {
		delete(r.waiting, seq)
	} else if len(r.early) < maxEarly {
		r.early[seq] = struct{}{}
	}
	r.failed(r.ledger.Append(&e))
}

func (r *record) failed(err error) {
	if err != nil {
		r.log.Error("cannot record messages: the loss of some may not be noticed", "err", err)
	}
}

// damaged notes damage. r.mu is held.
func (r *record) damaged(d *DamageError) {
	if r.damage == nil || *r.damage != *d {
		r.log.Error("messages are lost", "lost", d.Lost, "err", d)
	}
	r.damage = d
}

// err is what is wrong.
func (r *record) err() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.damage != nil {
		return r.damage
	}
	return nil
}

// run brings the record to the disk and compares the stream with it, until ctx ends.
func (r *record) run(ctx context.Context, stream func(context.Context) (jetstream.Stream, error)) {
	if r == nil {
		<-ctx.Done()
		return
	}
	defer func() { r.failed(r.ledger.Close()) }()
	var compared time.Time
	for lattice.Pause(ctx, recordSync) == nil {
		r.failed(r.ledger.Sync(time.Now().UnixNano()))
		if time.Since(compared) > scanEvery {
			if s, err := stream(ctx); err == nil && r.compare(ctx, s) == nil {
				compared = time.Now()
			}
		}
		if r.ledger.Large() {
			r.failed(r.ledger.Rewrite(r.ledger.Created(), r.entries()))
		}
	}
}

// entries are those of the messages that wait.
func (r *record) entries() iter.Seq[integrity.Entry] {
	return func(yield func(integrity.Entry) bool) {
		r.mu.Lock()
		list := make([]integrity.Entry, 0, len(r.waiting))
		for _, e := range r.waiting {
			list = append(list, e)
		}
		r.mu.Unlock()
		for _, e := range list {
			if !yield(e) {
				return
			}
		}
	}
}

// compare looks for what the stream lacks. It is called before messages are accepted or
// handled, and while they are.
func (r *record) compare(ctx context.Context, s jetstream.Stream) error {
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	r.mu.Lock()
	first := !r.checked
	before := make(map[uint64]struct{}, len(r.waiting))
	for seq := range r.waiting {
		before[seq] = struct{}{}
	}
	r.mu.Unlock()
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	have, err := r.list(ctx, s)
	if err != nil {
		return err
	}
	if first {
		return r.start(info, have)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	lost, now := 0, time.Now().UnixNano()
	for seq := range before {
		e, waits := r.waiting[seq]
		if _, there := have[seq]; waits && !there && e.Expires > now {
			lost++
		}
	}
	if lost > 0 {
		r.damaged(&DamageError{Lost: lost})
	}
	return nil
}

// start compares with what was recorded before the edge's start.
func (r *record) start(info *jetstream.StreamInfo, have map[uint64]integrity.Entry) error {
	loss, err := r.ledger.Verify(time.Now().UnixNano(), func(yield func(integrity.Entry) bool) {
		for _, e := range have {
			if !yield(e) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if r.ledger.Created() == 0 { // so that it has marks of the time from now on
		if err := r.ledger.Rewrite(info.Created.UnixNano(), r.entries()); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for seq, e := range have {
		_, known := r.waiting[seq]
		if _, handled := r.early[seq]; !known && !handled {
			r.waiting[seq] = e
		}
	}
	maps.DeleteFunc(r.early, func(seq uint64, _ struct{}) bool { return seq <= r.floor })
	r.checked = true
	loss.Drop(r.floor) // what was accepted since then may not have been listed
	d := &DamageError{Lost: loss.Len()}
	if info.State.LastSeq < r.floor {
		d.Reason = fmt.Sprintf("; the stream ends at the sequence %d, and %d was given out", info.State.LastSeq, r.floor)
	}
	if _, err := os.Stat(r.path + salvaged); err == nil {
		d.Reason += "; a repair was interrupted"
	}
	if d.Lost > 0 || d.Reason != "" {
		r.damaged(d)
	}
	return nil
}

// list reads all messages: a broken one is not found.
func (r *record) list(ctx context.Context, s jetstream.Stream) (map[uint64]integrity.Entry, error) {
	have := make(map[uint64]integrity.Entry)
	for next := uint64(1); ; {
		m, err := s.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return have, nil
		}
		if err != nil {
			return nil, err
		}
		have[m.Sequence] = r.entry(m.Sequence, m.Data, m.Time)
		next = m.Sequence + 1
	}
}

// Healthy returns a *DamageError if messages that were accepted are lost.
func (m *Messages) Healthy() error { return m.record.Load().err() }

// Repair has messages accepted again without those that are lost, with acceptLoss, and says
// what it did.
func (m *Messages) Repair(ctx context.Context, acceptLoss bool) (string, error) {
	r := m.record.Load()
	if r.err() == nil {
		return "", nil
	}
	if !acceptLoss {
		return "", fmt.Errorf("%w. To restore them, stop the edge and restore its lattice folder from a copy of now; else run 'terrane lattice repair --accept-loss'", r.err())
	}
	n, err := m.rebuild(ctx, r)
	if err != nil {
		return "", fmt.Errorf("%s: what could be read is in %s, and is restored by another repair: %w", m.stream(), m.opts.Ledger+salvaged, err)
	}
	r.mu.Lock()
	lost := r.damage.Lost
	r.damage = nil
	r.mu.Unlock()
	m.log.Warn("messages go on without those that were lost", "lost", lost, "waiting", n)
	return fmt.Sprintf("%s: goes on with %d messages, without %d", m.stream(), n, lost), nil
}

// deleteConsumers deletes all consumers. Edges make them again.
func deleteConsumers(ctx context.Context, s jetstream.Stream) error {
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		if err := s.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return err
	}
	return nil
}
