package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state/compare"
	"github.com/terrane/terrane/internal/lattice/state/index"
	"github.com/terrane/terrane/internal/lattice/state/values"
)

const (
	probeInterval = 2 * time.Second
	lookupTimeout = 2 * time.Second       // of a question that nobody may be there to answer
	proofInterval = time.Minute           // between signs of life in the bucket, when there is no other write
	freshTimeout  = time.Second           // how long a read looks for a copy that is not behind
	inactive      = time.Minute           // after which the servers forget a follower
	arrival       = 20 * time.Millisecond // how long a mirror may take behind a confirmation before home is asked
	pullExpiry    = 10 * time.Second      // of the follower's requests; a quarter of it between signs of life
)

// Options are what New takes.
type Options struct {
	Lattice Lattice
	Bucket  string // "terrane_state"
	// Home is the region that keeps the state; others mirror it. Empty: this region,
	// and the lattice's own if it is the operator's NATS.
	Home    string
	Quota   hostcalls.Quota       // of each tenant
	Timeout time.Duration         // of each operation; default 8 s, which most elections of a new leader fit in
	Answer  time.Duration         // after which a write that was not answered is sent again; default 1 s
	Ledger  string                // file of this edge's own record of what it must hold; see package integrity. Empty: none
	Scan    time.Duration         // between comparisons of this edge's copy with the record; default 1 h
	Asker   compare.Asker         // asks other edges what they have; nil: nothing is compared
	Compare time.Duration         // between comparisons with the other edges; default 10 min
	Cache   int64                 // bytes of values kept in memory; default 16 MiB
	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil: none
}

// Store is the state of all tenants in one bucket. It is safe for concurrent use. Run
// must run for anything to work; operations wait for it.
type Store struct {
	opts     Options
	lattice  Lattice
	log      *slog.Logger
	barrier  *barrier
	index    indexes
	cache    *values.Cache
	metrics  *metrics
	turns    *turns
	gapFound chan struct{} // wakes closeGaps
	sessions sync.Map      // tenant's token -> *atomic.Uint64: see kv.session
	hooks    hooks

	single        atomic.Bool            // one server keeps the bucket, here: its answers are final
	staleness     atomic.Uint64          // what home had a few seconds ago: reads return nothing older while home is in reach
	home          atomic.Uint64          // what home had when it was asked last
	leader        atomic.Pointer[string] // of home's copies, then
	offset        atomic.Int64           // the lattice's clock minus this edge's, in nanoseconds
	missedDeletes bool                   // the servers may have forgotten deletions that this edge has not heard of; of Run
	created       time.Time              // when the stream was; of Run

	generation atomic.Pointer[string] // created, for Ready
	disks      disks
	guard      guard
	comparer   *compare.Comparer
}

// New checks the options. It starts nothing.
func New(o Options) (*Store, error) {
	if o.Lattice == nil || o.Bucket == "" {
		return nil, errors.New("state: want a lattice and a bucket")
	}
	if o.Timeout <= 0 {
		o.Timeout = 8 * time.Second
	}
	if o.Answer <= 0 {
		o.Answer = time.Second
	}
	if o.Scan <= 0 {
		o.Scan = time.Hour
	}
	if o.Compare <= 0 {
		o.Compare = 10 * time.Minute
	}
	if o.Cache <= 0 {
		o.Cache = 16 << 20
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Quota = o.Quota.WithDefaults()
	s := &Store{
		opts: o, lattice: o.Lattice, log: o.Logger, barrier: newBarrier(),
		cache: values.New(o.Cache), turns: newTurns(), gapFound: make(chan struct{}, 1),
		guard: guard{again: make(chan struct{}, 1)},
	}
	s.hooks = noHooks{s}
	s.index.inUse.Store(index.New())
	s.comparer = compare.New(compare.Options{
		Bucket: o.Bucket, Edge: o.Lattice.Name(), Asker: o.Asker, Index: s.keys, Now: s.now, LeaderHas: s.leaderHas, Logger: o.Logger,
	})
	s.disks.low = map[string]time.Time{}
	var err error
	s.metrics, err = newMetrics(o.Metrics, s)
	return s, err
}

// Bucket is the bucket's name.
func (s *Store) Bucket() string { return s.opts.Bucket }

// mirrors reports whether this region has a copy of another's state.
func (s *Store) mirrors() bool { return s.opts.Home != "" && s.opts.Home != s.lattice.Domain() }

// now is the time by the lattice's clock, which is that of the bucket's leader, in
// nanoseconds: edges whose own clocks are apart agree on it.
func (s *Store) now() int64 { return s.hooks.now().UnixNano() + s.offset.Load() }

// shared makes a time of this edge one of the lattice's clock, 0 for the zero time.
func (s *Store) shared(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano() + s.offset.Load()
}

// local is the reverse of shared.
func (s *Store) local(t int64) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(0, t-s.offset.Load())
}

// Run makes the bucket, or this region's mirror of it, and follows it until ctx
// ends. What fails is tried again.
func (s *Store) Run(ctx context.Context) error {
	defer s.closeLedger()
	for ctx.Err() == nil {
		err := s.openLedger()
		if err == nil {
			err = s.run(ctx)
		}
		if err != nil && ctx.Err() == nil {
			s.log.Warn("state is not followed", "bucket", s.opts.Bucket, "err", err)
			_ = lattice.Pause(ctx, time.Second)
		}
	}
	return nil
}

func (s *Store) run(ctx context.Context) error {
	js, err := s.lattice.JetStream(ctx)
	if err != nil {
		return err
	}
	rebuild := s.missedDeletes
	stream, until, err := s.ensure(ctx, js, rebuild)
	if err != nil {
		return err
	}
	s.single.Store(!s.mirrors() && stream.CachedInfo().Config.Replicas == 1)
	s.setStream(stream.CachedInfo().Created)
	if rebuild && s.mirrors() {
		if err := s.remirror(ctx, js); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.probe(ctx, js, rebuild) })
	group.Go(func() error { s.reportDisk(ctx); return nil })
	group.Go(func() error { return s.follow(ctx, js, rebuild, until) })
	group.Go(func() error { return s.closeGaps(ctx) })
	group.Go(func() error { return s.tendLedger(ctx) })
	group.Go(func() error { return s.scanOften(ctx, js) })
	group.Go(func() error { return s.compareOften(ctx) })
	err = group.Wait()
	if errors.Is(err, errMissedDeletes) {
		s.missedDeletes = true
	}
	return err
}

// setStream forgets everything about a stream that was removed and made again: its sequences
// begin again.
func (s *Store) setStream(created time.Time) {
	known := s.created
	s.created = created
	generation := created.Format(time.RFC3339Nano)
	s.generation.Store(&generation)
	if known.IsZero() || known.Equal(created) {
		return
	}
	s.useKeys(index.New())
	s.sessions.Range(func(_, session any) bool {
		session.(*atomic.Uint64).Store(0)
		return true
	})
	s.staleness.Store(0)
	s.cache.Clear()
}

// closeGaps closes the gaps of the index when a read has met one, at most once a second.
func (s *Store) closeGaps(ctx context.Context) error {
	for {
		select {
		case <-s.gapFound:
			within, cancel := context.WithTimeout(ctx, s.opts.Timeout)
			_, _ = s.writeBarrier(within) // if it fails, reads go on to servers
			cancel()
			_ = lattice.Pause(ctx, time.Second)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ensure finds the stream, or makes it. More replicas than it has are added. A mirror
// that begins now is complete when it has passed the sequence until.
func (s *Store) ensure(ctx context.Context, js jetstream.JetStream, rebuild bool) (stream jetstream.Stream, until uint64, err error) {
	want := s.config()
	lookup, cancel := context.WithTimeout(ctx, lookupTimeout)
	stream, err = js.Stream(lookup, s.stream())
	cancel()
	missing := errors.Is(err, jetstream.ErrStreamNotFound)
	if err != nil && !missing {
		return nil, 0, fmt.Errorf("bucket %s: %w", s.opts.Bucket, err)
	}
	if s.mirrors() && (rebuild || missing) { // before there is one: a server that does not find home then looks again only after a while
		ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		defer cancel()
		if until, err = s.writeBarrier(ctx); err != nil {
			return nil, 0, err
		}
	}
	if missing {
		if err = s.mayCreate(); err != nil {
			return nil, 0, err
		}
		if stream, err = js.CreateStream(ctx, want); err != nil {
			return nil, 0, fmt.Errorf("bucket %s: %w", s.opts.Bucket, err)
		}
	}
	have := stream.CachedInfo().Config
	if (have.Mirror != nil) != s.mirrors() {
		return nil, 0, fmt.Errorf("bucket %s: this region was, or was not, the home of the state before: move it with the nats command, or remove the stream %s here",
			s.opts.Bucket, s.stream())
	}
	if have.Replicas < want.Replicas {
		have.Replicas = want.Replicas
		if stream, err = js.UpdateStream(ctx, have); err != nil {
			return nil, 0, fmt.Errorf("bucket %s: %d replicas: %w", s.opts.Bucket, want.Replicas, err)
		}
	}
	return stream, until, nil
}

func (s *Store) config() jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: s.stream(), Description: "state of terrane's tenants", Storage: jetstream.FileStorage,
		MaxMsgsPerSubject: 1, AllowDirect: true, AllowMsgTTL: true, Replicas: s.lattice.Replicas(),
		Discard: jetstream.DiscardNew,
	}
	if s.mirrors() {
		c.Mirror = &jetstream.StreamSource{Name: s.stream(), Domain: s.opts.Home}
		return c
	}
	c.Subjects = []string{"$KV." + s.opts.Bucket + ".>"}
	return c
}

// remirror begins the mirror rebuild. Until it is complete, reads go home.
func (s *Store) remirror(ctx context.Context, js jetstream.JetStream) error {
	if err := js.DeleteStream(ctx, s.stream()); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	stream, err := js.CreateStream(ctx, s.config())
	if err == nil {
		s.created = stream.CachedInfo().Created // its sequences are home's, as before
	}
	return err
}

// probe asks home how far it is and what time it has, until ctx ends or deletions may
// have been missed. A mirror that is not rebuild says itself how old it is.
func (s *Store) probe(ctx context.Context, local jetstream.JetStream, rebuild bool) error {
	js := local
	if s.mirrors() {
		var err error
		if js, err = jetstream.NewWithDomain(local.Conn(), s.opts.Home); err != nil {
			return err
		}
	}
	var last uint64
	var reached, proved time.Time
	for ; ctx.Err() == nil; _ = lattice.Pause(ctx, probeInterval) {
		before := s.hooks.now()
		stream, err := js.Stream(ctx, s.stream())
		if err != nil {
			continue
		}
		info, now := stream.CachedInfo(), s.hooks.now()
		if took := now.Sub(before); took < time.Second { // else it does not tell the time
			s.setClock(info.TimeStamp.Sub(before.Add(took / 2)))
		}
		if reached.IsZero() {
			reached = now
			if s.mirrors() && !rebuild {
				if reached, err = s.mirrored(ctx, local); err != nil {
					return err
				}
			}
			last = info.State.LastSeq
		}
		if now.Sub(reached) > index.TombstoneTTL/2 {
			return errMissedDeletes
		}
		reached = now
		s.staleness.Store(last)
		last = info.State.LastSeq
		s.noteHome(info)
		if !s.mirrors() && now.Sub(proved) > proofInterval {
			if _, err = s.writeBarrier(ctx); err == nil {
				proved = now
			}
		}
		s.noteReplicas(info)
		for _, t := range s.keys().Tenants() {
			t.Usage(s.now()) // forgets what has ended
		}
	}
	return nil
}

// noteHome notes how far home is and who leads it.
func (s *Store) noteHome(info *jetstream.StreamInfo) {
	s.home.Store(info.State.LastSeq)
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return
	}
	if old := s.leader.Swap(&info.Cluster.Leader); old != nil && *old != info.Cluster.Leader {
		s.metrics.leaders.Inc()
	}
}

// mirrored is when home's last sign of life that this region's mirror has was made.
func (s *Store) mirrored(ctx context.Context, js jetstream.JetStream) (time.Time, error) {
	stream, err := js.Stream(ctx, s.stream())
	if err != nil {
		return time.Time{}, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, s.barrierSubject())
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return s.hooks.now(), nil // it begins
	}
	if err != nil {
		return time.Time{}, err
	}
	return m.Time.Add(-time.Duration(s.offset.Load())), nil
}

// ClockOffset is how far the lattice's clock is ahead of this edge's, 0 for less than a second.
func (s *Store) ClockOffset() time.Duration { return time.Duration(s.offset.Load()) }

// setClock heeds a difference of clocks that is no jitter of the network.
func (s *Store) setClock(offset time.Duration) {
	old := time.Duration(s.offset.Load())
	switch {
	case offset.Abs() < time.Second:
		offset = 0
	case (offset - old).Abs() < time.Second:
		return
	}
	if offset != old {
		s.offset.Store(int64(offset))
		s.log.Warn("this edge's clock differs from the lattice's: check NTP", "offset", offset)
	}
}
