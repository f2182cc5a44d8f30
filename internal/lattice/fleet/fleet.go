package fleet

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/terrane/terrane/tenant"
)

const (
	subjects = "terrane.fleet."

	defaultWait  = 3 * time.Second
	defaultShown = 10 * time.Second
	every        = 500 * time.Millisecond // that digests are looked at
	settle       = 2 * time.Second        // for which edges may differ during a deploy before they ask
	repeat       = 30 * time.Second       // between two comparisons of the same digests
	atOnce       = 8                      // comparisons
)

// Lattice is what the package needs of one.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	Name() string
}

// Source is what this edge serves, and where it takes up what others serve.
type Source interface {
	ServedStores() []tenant.ServedStore
	Served(prefix string, bucket func(int) bool) []tenant.Served
	OpenServed(id tenant.ID, content, object tenant.Hash) (r io.ReadSeekCloser, size int64, err error)
	// Offer must not block.
	Offer(served []tenant.Served)
}

// Peer is another edge that is heard, and the digest of each store that it says.
type Peer struct {
	Name string
	Sums map[string]tenant.Sum // by the store's prefix
}

// Options configure a Fleet.
type Options struct {
	Lattice Lattice
	// Peers are the other edges that are heard. It must not block.
	Peers func() []Peer
	// Alone: there are no other edges, and nothing is waited for.
	Alone bool
	Wait  time.Duration // for the first edge to be heard; 0: 3 s
	Shown time.Duration // how long a difference must last to be shown; 0: 10 s

	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil: none
}

// Fleet compares this edge with the others. Its methods are safe for concurrent use.
type Fleet struct {
	o       Options
	log     *slog.Logger
	source  Source // set by Run
	known   chan struct{}
	serving chan struct{} // places for questions being answered
	bytes   *rate.Limiter // of objects that are sent
	askers  map[string]*rate.Limiter

	mu      sync.Mutex
	isKnown bool              // guarded by mu
	pairs   map[pairKey]*pair // guarded by mu
	warned  map[tenant.ID]bool
}

// New starts nothing.
func New(o Options) (*Fleet, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Wait <= 0 {
		o.Wait = defaultWait
	}
	if o.Shown <= 0 {
		o.Shown = defaultShown
	}
	f := &Fleet{
		o: o, log: o.Logger, known: make(chan struct{}), serving: make(chan struct{}, maxServing),
		bytes: rate.NewLimiter(maxRate, chunk), askers: map[string]*rate.Limiter{},
		pairs: map[pairKey]*pair{}, warned: map[tenant.ID]bool{},
	}
	if o.Alone {
		f.isKnown = true
		close(f.known)
	}
	if o.Metrics == nil {
		return f, nil
	}
	return f, o.Metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrane_fleet_revision_differences_count",
		Help: "Tenants that another edge has served at another release than this one for some time, or that one of them does not serve.",
	}, func() float64 { return float64(len(f.Differences())) }))
}

// Known is closed when this edge has compared itself with those in reach, or has waited
// for them in vain.
func (f *Fleet) Known() <-chan struct{} { return f.known }

func (f *Fleet) hasKnown() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.isKnown
}

func (f *Fleet) setKnown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isKnown {
		f.isKnown = true
		close(f.known)
	}
}

// Run compares source with what the others serve, and answers them, until ctx ends. It may
// be called once.
func (f *Fleet) Run(ctx context.Context, source Source) error {
	f.source = source
	var parts sync.WaitGroup
	defer parts.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts.Go(func() {
		select {
		case <-time.After(f.o.Wait):
			// Edges that are heard by now are being asked, which is bounded.
			if len(f.o.Peers()) == 0 {
				f.setKnown()
			}
		case <-f.known:
		case <-ctx.Done():
		}
	})
	conn, err := f.o.Lattice.Conn(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	questions := make(chan *nats.Msg, maxWaiting)
	sub, err := conn.ChanSubscribe(subjects+"*."+f.o.Lattice.Name()+".*", questions)
	if err != nil {
		return err
	}
	parts.Go(func() { f.answerAll(ctx, questions) })
	f.follow(ctx, conn)
	return errors.Join(sub.Unsubscribe())
}

// follow looks at what peers say until ctx ends.
func (f *Fleet) follow(ctx context.Context, conn *nats.Conn) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for begun := time.Now(); ; {
		peers := f.o.Peers()
		answered := f.round(ctx, conn, peers)
		if answered && len(peers) > 0 || time.Since(begun) > f.o.Wait {
			f.setKnown()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
