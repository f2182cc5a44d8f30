package messages

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/tenant"
)

const (
	// MaxBytes bounds a message, and an answer with its header.
	MaxBytes = hostcalls.MessageMax
	// MaxHops bounds the messages that lead to one another.
	MaxHops = 16

	maxTasks   = 256 // of this edge that others asked for, at a time
	retryEvery = 2 * time.Second

	redeliverTime = time.Minute
)

// Task is what a module is to do: a message, or a run of a cron line.
type Task struct {
	Subject tenant.Subject // of a message
	Cron    string         // the line's schedule, else
	Due     time.Time      // when the line was due; zero if an older edge leads
	Path    string         // of the request; for a message, that of its subscription
	Body    []byte
	Hops    int
}

// Answer is what a module made of it.
type Answer struct {
	Code   int
	Header http.Header
	Body   []byte
}

// Runner has this edge do a task. The error is that it cannot, now at least, and
// that no module has seen the task.
type Runner func(ctx context.Context, id tenant.ID, t *Task) (*Answer, error)

// Lattice is what this package needs of *lattice.Lattice.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	Name() string
	Region() string
	Domain() string
	JetStream(ctx context.Context) (jetstream.JetStream, error)
	External() bool
	Replicas() int
	ReplicasOf(ctx context.Context, js jetstream.JetStream, stream string) (int, error)
	TendLed(ctx context.Context, stream string, repaired func(ctx context.Context))
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	Run     Runner
	// Wait bounds a task of this edge; default 30 s.
	Wait time.Duration
	// Again is how long a message waits after each time that it was not handled but
	// the last; nil: 1 s, 5 s, 30 s, 2 minutes.
	Again []time.Duration
	// Ledger is the file of this edge's own record of the messages that wait, for an edge that
	// keeps the only copy of them. Empty: none.
	Ledger  string
	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil: none
	// Tell takes what a tenant should know, for its log. Nil discards.
	Tell func(id tenant.ID, level slog.Level, text string)
}

// Messages is an edge's part. Its methods are safe for concurrent use.
type Messages struct {
	opts    Options
	log     *slog.Logger
	changed chan struct{} // a token: tenants have changed
	tasks   chan struct{} // one for each that others asked for
	metrics *metrics
	record  atomic.Pointer[record] // nil: none, or not open yet
	all     sync.WaitGroup

	mu      sync.Mutex
	tenants map[tenant.ID]*tenant.Manifest // those this edge serves
	tokens  map[string]tenant.ID           // of the same
}

// New starts nothing.
func New(o Options) (*Messages, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tell == nil {
		o.Tell = func(tenant.ID, slog.Level, string) {}
	}
	if o.Wait <= 0 {
		o.Wait = 30 * time.Second
	}
	if o.Again == nil {
		o.Again = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute}
	}
	m := &Messages{
		opts: o, log: o.Logger, changed: make(chan struct{}, 1), tasks: make(chan struct{}, maxTasks),
		tenants: make(map[tenant.ID]*tenant.Manifest), tokens: make(map[string]tenant.ID),
	}
	var err error
	m.metrics, err = newMetrics(o.Metrics, m)
	return m, err
}

// Set says that this edge has the tenant's folder, with this manifest.
func (m *Messages) Set(id tenant.ID, manifest *tenant.Manifest) {
	if !manifest.At(m.opts.Lattice.Region()) || len(manifest.Subscriptions)+len(manifest.Crons) == 0 {
		m.Remove(id)
		return
	}
	m.mu.Lock()
	m.tenants[id], m.tokens[token(id)] = manifest, id
	m.mu.Unlock()
	m.poke()
}

// Remove says that this edge does not serve the tenant, or that nothing can be sent to it.
func (m *Messages) Remove(id tenant.ID) {
	m.mu.Lock()
	delete(m.tenants, id)
	delete(m.tokens, token(id))
	m.mu.Unlock()
	m.poke()
}

func (m *Messages) poke() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// manifest is nil for a tenant that this edge does not serve.
func (m *Messages) manifest(id tenant.ID) *tenant.Manifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tenants[id]
}

// Run takes tasks from the lattice until ctx ends, and waits for those under way.
func (m *Messages) Run(ctx context.Context) error {
	conn, err := m.opts.Lattice.Conn(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	r, err := openRecord(m.opts.Ledger, m.log)
	if err != nil {
		m.log.Error("cannot open the record of the messages: their loss may not be noticed", "err", err)
	}
	m.record.Store(r)
	var recording sync.WaitGroup
	recordCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	recording.Go(func() { r.run(recordCtx, m.existing) })
	recording.Go(func() { m.opts.Lattice.TendLed(ctx, m.stream(), m.redeliver) })
	defer func() { // after the last message is settled
		stop()
		recording.Wait()
	}()
	again := time.NewTicker(retryEvery)
	defer again.Stop()
	in := &intake{m: m, conn: conn, asks: make(chan *nats.Msg, maxTasks), open: make(map[tenant.ID]*subscriber)}
	var answering sync.WaitGroup
	answering.Go(func() { in.answer(ctx) })
	for {
		in.follow(ctx)
		select {
		case <-m.changed:
		case <-again.C:
		case <-ctx.Done():
			in.close()
			answering.Wait()
			m.all.Wait()
			return nil
		}
	}
}

// start runs do within Options.Wait, and gives back its caller's place among m.tasks.
// It is called by what Run has subscribed to, and outlives ctx.
func (m *Messages) start(ctx context.Context, do func(ctx context.Context)) {
	m.all.Go(func() {
		defer func() { <-m.tasks }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.opts.Wait)
		defer cancel()
		do(ctx)
	})
}

// redeliver has what waits delivered again: consumers have passed what a damaged copy could
// not give them.
func (m *Messages) redeliver(ctx context.Context) {
	for lattice.Pause(ctx, retryEvery) == nil { // the server has just started
		within, cancel := context.WithTimeout(ctx, redeliverTime)
		s, err := m.existing(within)
		if err == nil {
			err = deleteConsumers(within, s)
		}
		cancel()
		if err == nil {
			return
		}
		m.log.Debug("messages that wait are not delivered again yet", "err", err)
	}
}

// existing is the region's stream. It does not make it.
func (m *Messages) existing(ctx context.Context) (jetstream.Stream, error) {
	js, err := m.jetStream(ctx)
	if err != nil {
		return nil, err
	}
	return js.Stream(ctx, m.stream())
}

// stream is the region's. An operator's NATS has those of all regions side by side.
func (m *Messages) stream() string {
	if l := m.opts.Lattice; l.External() {
		return streamName + "_" + l.Domain()
	}
	return streamName
}

// token stands for a tenant in subjects.
func token(id tenant.ID) string {
	sum := sha256.Sum256([]byte(id))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// ErrNobody is where no edge serves the tenant, or none takes the subject.
var ErrNobody = errors.New("no module subscribes to this")

func tooLarge(n int) error {
	return fmt.Errorf("%d bytes: a message may have %d", n, MaxBytes)
}
