package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state/index"
	"github.com/terrane/terrane/internal/lattice/state/integrity"
)

const (
	ledgerInterval = time.Second // between its fsyncs
	// Before a loss in a cluster is final, the index is made again so many times: it may
	// come from one damaged copy, and another may be asked next.
	verifyTries = 6
	verifyAgain = 30 * time.Second // between comparisons while something is wrong
)

// guard compares the bucket with what this edge has recorded.
type guard struct {
	ledger    atomic.Pointer[integrity.Ledger] // nil: none
	broken    atomic.Bool                      // a record could not be written: logged once
	found     atomic.Pointer[DamageError]      // nil: nothing is wrong
	copy      atomic.Pointer[string]           // what is wrong with this edge's copy in a cluster, empty for nothing
	again     chan struct{}                    // wakes scanOften
	recheck   atomic.Bool                      // the index is to be made again
	lacking   atomic.Bool                      // the server had no copy when it was looked for last
	repairing atomic.Bool                      // see Repair
	tries     int                              // of verify, that failed; of Run

	mu      sync.Mutex
	scanned time.Time   // when the copy was last found complete; guarded by mu
	resyncs []time.Time // guarded by mu
}

// DamageError says that what is kept is not what was acknowledged. Nothing is written
// then, and what is missing is not read.
type DamageError struct {
	Bucket string
	Reason string
	loss   *integrity.Loss // nil: not known
	gone   bool            // the whole stream
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("state: the bucket %s is damaged: %s. Writes are refused. Run 'terrane lattice repair' (docs/state.md, \"Damaged state\")", e.Bucket, e.Reason)
}

// Check returns a *DamageError if something is wrong with what is kept. It waits for
// nothing.
func (s *Store) Check() error {
	if s.guard.repairing.Load() {
		return errRepairing
	}
	if d := s.damage(); d != nil {
		return d
	}
	return nil
}

// Healthy returns what an operator should know: what Check returns, or that this edge's
// copy is not complete. The other edges' copies are used then.
func (s *Store) Healthy() error {
	if err := s.Check(); err != nil {
		return err
	}
	if err := s.lattice.Unreadable(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if why := s.guard.copy.Load(); why != nil && *why != "" {
		return fmt.Errorf("state: %s", *why)
	}
	return nil
}

// Compared reports whether what is kept was compared with the record since the start. Until
// then Healthy cannot know of damage.
func (s *Store) Compared() bool {
	return s.damage() != nil || s.lattice.Unreadable() != nil || s.keys().IsLoaded()
}

func (s *Store) damage() *DamageError { return s.guard.found.Load() }

func (s *Store) damaged(d *DamageError) *DamageError {
	d.Bucket = s.opts.Bucket
	if old := s.guard.found.Swap(d); old == nil || old.Reason != d.Reason {
		s.log.Error("state is damaged", "bucket", s.opts.Bucket, "reason", d.Reason, "lost", d.loss.Len())
	}
	return d
}

// readable fails for a key that is missing.
func (s *Store) readable(token, key string) error {
	d := s.damage()
	if d == nil {
		return nil
	}
	l := s.guard.ledger.Load()
	if d.gone || l == nil {
		return d
	}
	if d.loss == nil {
		return nil
	}
	if _, lost := d.loss.Keys[l.Hash(token, key)]; lost {
		return d
	}
	return nil
}

// listable fails for a tenant that lacks a key.
func (s *Store) listable(token string) error {
	d := s.damage()
	if d == nil {
		return nil
	}
	l := s.guard.ledger.Load()
	if d.gone || l == nil {
		return d
	}
	if d.loss == nil {
		return nil
	}
	if _, lost := d.loss.Tenants[l.TenantHash(token)]; lost {
		return d
	}
	return nil
}

func (s *Store) openLedger() error {
	if s.opts.Ledger == "" || s.guard.ledger.Load() != nil {
		return nil
	}
	l, err := integrity.Open(s.opts.Ledger)
	if err != nil {
		return fmt.Errorf("the record of what the bucket holds: %w", err)
	}
	if n := l.Damaged(); n > 0 {
		s.log.Warn("record of the state is damaged: losses before now may not be noticed", "file", s.opts.Ledger, "parts", n)
	}
	s.guard.ledger.Store(l)
	return nil
}

func (s *Store) closeLedger() {
	if l := s.guard.ledger.Load(); l != nil {
		if err := l.Close(); err != nil {
			s.log.Warn("cannot close the record of the state", "err", err)
		}
	}
}

// record notes what was acknowledged.
func (s *Store) record(token, key string, r *raw) {
	l := s.guard.ledger.Load()
	if l == nil {
		return
	}
	e := integrity.Entry{Key: l.Hash(token, key), Seq: r.seq, Expires: r.expires, Sum: integrity.Sum(r.write)}
	if r.deleted {
		e.Expires = integrity.Dead
	}
	s.recorded(l.Append(&e))
}

// recorded tells once that records are missing: losses of what they are of go unnoticed.
func (s *Store) recorded(err error) {
	if s.guard.broken.Swap(err != nil) != (err != nil) && err != nil {
		s.log.Error("cannot record changes of the state", "file", s.opts.Ledger, "err", err)
	}
}

// tendLedger brings the record to the disk, and compacts it, until ctx ends.
func (s *Store) tendLedger(ctx context.Context) error {
	l := s.guard.ledger.Load()
	for lattice.Pause(ctx, ledgerInterval) == nil {
		if l == nil {
			continue
		}
		s.recorded(l.Sync(s.now()))
		if x := s.keys(); l.Large() && x.IsLoaded() && s.damage() == nil {
			s.recorded(l.Rewrite(l.Created(), integrity.Entries(x, s.now, l.Hash)))
		}
	}
	return ctx.Err()
}

// errMissing ends following by a consumer that lacks what was acknowledged: another copy
// may have it.
var errMissing = errors.New("entries that were acknowledged are missing")

// verify compares an index with the record. It fails while another attempt may help.
func (s *Store) verify(ctx context.Context, stream jetstream.Stream, x *index.Index) error {
	l := s.guard.ledger.Load()
	if l == nil {
		return nil
	}
	recorded := l.Last()
	last := lastOf(ctx, stream)
	if last == 0 && recorded > 0 && ctx.Err() == nil { // it is new, or cannot be asked
		info, err := stream.Info(ctx)
		if err != nil {
			return err
		}
		last = info.State.LastSeq
	}
	loss, err := l.Verify(s.now(), integrity.Entries(x, s.now, l.Hash))
	if err != nil {
		return err
	}
	created, back := stream.CachedInfo().Created.UnixNano(), last < recorded
	if s.mirrors() { // it may be behind what home has confirmed
		back = false
		loss.Drop(x.Last())
	}
	if n, err := os.Stat(s.opts.Ledger + salvaged); err == nil && n.Size() > 0 && !s.guard.repairing.Load() {
		_ = s.damaged(&DamageError{loss: loss, Reason: "a repair was interrupted"})
		return nil
	}
	if loss.Len() == 0 && !back {
		s.guard.tries = 0
		if s.guard.found.Swap(nil) != nil {
			s.log.Info("state is complete again", "bucket", s.opts.Bucket)
		}
		if l.Created() == created && l.Damaged() == 0 {
			return nil
		}
		return l.Rewrite(created, integrity.Entries(x, s.now, l.Hash))
	}
	s.guard.tries++
	switch {
	case s.mirrors() && s.guard.tries == 1:
		s.log.Warn("this region's copy of the state is damaged, and is made again", "bucket", s.opts.Bucket, "missing", loss.Len())
		return errMissedDeletes
	case s.mirrors(): // home has what counts
		return l.Rewrite(created, integrity.Entries(x, s.now, l.Hash))
	case !s.single.Load() && s.guard.tries < verifyTries && s.damage() == nil:
		s.missedDeletes = true
		s.wakeScan()
		return fmt.Errorf("%w (%d)", errMissing, loss.Len())
	}
	d := &DamageError{loss: loss}
	if n := loss.Len(); n > 0 {
		d.Reason = fmt.Sprintf("%d entries that were acknowledged are missing", n)
	}
	if back {
		d.Reason += fmt.Sprintf("; it ends at the sequence %d, and %d was given out: versions would be given twice", last, recorded)
	}
	_ = s.damaged(d) // what is there is used
	return nil
}

// wentBack is a write that was given a sequence that was given out before.
func (s *Store) wentBack(seq, passed uint64) error {
	return s.damaged(&DamageError{Reason: fmt.Sprintf("a write was given the sequence %d, and %d was given out before", seq, passed)})
}

// mayCreate is asked when there is no stream: if there was one, it is gone, and nothing
// takes its place before an operator says so.
func (s *Store) mayCreate() error {
	l := s.guard.ledger.Load()
	if l == nil || s.mirrors() || l.Last() == 0 {
		return nil
	}
	if s.guard.repairing.Load() {
		return errRepairing
	}
	s.guard.tries++
	if d := (&DamageError{Reason: "the stream " + s.stream() + " is not there, and held what was acknowledged", gone: true}); s.lattice.Replicas() == 1 || s.guard.tries > verifyTries {
		return s.damaged(d)
	}
	return fmt.Errorf("the stream %s is not there yet", s.stream())
}
