package cron

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

const (
	tick    = time.Second
	late    = time.Minute      // a line that is due for longer was missed
	apart   = 10 * time.Minute // between clocks of edges, and of a step back: nothing fires twice for less
	bucket  = "terrane_cron"
	maxRuns = 64
	runTime = time.Minute // of the asking, whatever the guest's own limits
	patient = 5 * time.Second
	atATime = lease / 4 // of firing, before the lease is renewed again
)

// Lattice is what this package needs of *lattice.Lattice.
type Lattice interface {
	JetStream(ctx context.Context) (jetstream.JetStream, error)
	Name() string
	Region() string
	External() bool
	Hub() bool
	Clustered() bool
	TendLed(ctx context.Context, stream string, repaired func(ctx context.Context))
	ReplicasOf(ctx context.Context, js jetstream.JetStream, stream string) (int, error)
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	// Ask has the tenant's module run; see messages.Messages.
	Ask func(ctx context.Context, id tenant.ID, t *messages.Task) (*messages.Answer, error)
	// Tell takes what a tenant should know, for its log. Nil discards.
	Tell    func(id tenant.ID, level slog.Level, text string)
	Logger  *slog.Logger          // nil discards
	Now     func() time.Time      // nil: time.Now
	Metrics prometheus.Registerer // nil: none
}

// Cron is an edge's part. Its methods are safe for concurrent use.
type Cron struct {
	opts Options
	log  *slog.Logger
	runs chan struct{} // one for each under way
	all  sync.WaitGroup

	metrics *metrics
	leading atomic.Bool
	leader  atomic.Value // string

	mu    sync.Mutex
	lines map[tenant.ID][]*line
}

// New starts nothing.
func New(o Options) (*Cron, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Tell == nil {
		o.Tell = func(tenant.ID, slog.Level, string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cron{opts: o, log: o.Logger, runs: make(chan struct{}, maxRuns), lines: make(map[tenant.ID][]*line)}
	var err error
	c.metrics, err = newMetrics(o.Metrics, c)
	return c, err
}

// Status is who fires the lines of this edge's region.
type Status struct {
	Leader string `json:"leader"` // empty: none is known
	Lines  int    `json:"lines"`
}

// Status is as of the last second.
func (c *Cron) Status() Status {
	name, _ := c.leader.Load().(string)
	return Status{Leader: name, Lines: len(c.current())}
}

// Set says what the tenant's manifest is now. Lines that are not new keep their times.
func (c *Cron) Set(id tenant.ID, m *tenant.Manifest) {
	var lines []*line
	if c.home(m) {
		c.mu.Lock()
		old := c.lines[id]
		c.mu.Unlock()
		for _, spec := range m.Crons {
			times, err := cron.ParseStandard(spec.Schedule)
			if err != nil {
				continue // the manifest's decoder refuses such a release
			}
			l := &line{tenant: id, schedule: spec.Schedule, path: spec.Path, times: times, key: key(id, spec)}
			for _, o := range old {
				if o.key == l.key {
					l = o
				}
			}
			lines = append(lines, l)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(lines) == 0 {
		delete(c.lines, id)
		return
	}
	c.lines[id] = lines
}

// Remove ends the tenant's lines.
func (c *Cron) Remove(id tenant.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lines, id)
}

// home reports whether the tenant's lines fire in this region. On an operator's NATS one
// edge of all regions leads.
func (c *Cron) home(m *tenant.Manifest) bool {
	if c.opts.Lattice.External() {
		return true
	}
	if len(m.Regions) > 0 {
		return m.Regions[0] == c.opts.Lattice.Region()
	}
	return c.opts.Lattice.Hub()
}

// Run fires lines while this edge leads, until ctx ends.
func (c *Cron) Run(ctx context.Context) error {
	defer c.all.Wait()
	defer c.leading.Store(false)
	js, err := c.opts.Lattice.JetStream(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	c.all.Go(func() {
		c.opts.Lattice.TendLed(ctx, "KV_"+bucket, func(context.Context) {})
	})
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var e *election
	for idle := 0; ; {
		if e == nil || c.alone() && idle >= triesAlone {
			e, idle = c.stand(ctx, js), 0
		}
		leads := e != nil && c.leads(ctx, e)
		if e != nil {
			c.leader.Store(e.leader)
		}
		if c.leading.Swap(leads) != leads {
			c.log.Info("cron", "leads", leads)
			c.forget()
		}
		if leads && c.fire(ctx, e.kv) {
			idle = 0
		} else {
			idle++
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if e != nil {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patient)
				defer cancel()
				e.resign(ctx)
			}
			return nil
		}
	}
}

// stand makes sure of the bucket; nil if it is out of reach.
func (c *Cron) stand(ctx context.Context, js jetstream.JetStream) *election {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	var kv jetstream.KeyValue
	replicas, err := c.opts.Lattice.ReplicasOf(ctx, js, "KV_"+bucket)
	config := jetstream.KeyValueConfig{Bucket: bucket, Replicas: replicas}
	if err == nil && c.alone() {
		err = c.rescue(ctx, js, &config)
	}
	if err == nil {
		kv, err = js.CreateOrUpdateKeyValue(ctx, config)
	}
	if err != nil {
		c.log.Debug("cron", "err", err)
		return nil
	}
	return &election{kv: kv, name: c.opts.Lattice.Name()}
}

func (c *Cron) leads(ctx context.Context, e *election) bool {
	ctx, cancel := context.WithTimeout(ctx, lease/3)
	defer cancel()
	return e.leads(ctx)
}

// current are the lines now.
func (c *Cron) current() (all []*line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, lines := range c.lines {
		all = append(all, lines...)
	}
	return all
}

// forget makes what another leader may have changed be read again.
func (c *Cron) forget() {
	for _, l := range c.current() {
		l.known = false
	}
}
