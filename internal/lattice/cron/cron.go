package cron

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

const (
	tick    = time.Second
	late    = time.Minute // a line that is due for longer was missed
	maxRuns = 64
	runTime = time.Minute // of the asking, whatever the guest's own limits
	patient = 5 * time.Second
	atATime = lease / 4 // of firing, before the lease is renewed again
)

// Options are what New takes.
type Options struct {
	Lattice *lattice.Lattice
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

// line is one [[cron]] of a tenant that fires in this region.
type line struct {
	tenant   tenant.ID
	schedule string
	path     string
	times    cron.Schedule
	key      string

	// What follows is the leader's; it belongs to Run's goroutine.
	known bool // whether next, and what the bucket has, are
	next  time.Time
	kept
	busy chan struct{} // closed when the last run has ended; nil: there was none
	end  *kept         // what that left in the bucket, read once busy is closed
}

// kept is a record and the revision it has in the bucket, 0 if there is none.
type kept struct {
	record
	revision uint64
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

// key stands for a line in the bucket.
func key(id tenant.ID, spec tenant.Cron) string {
	sum := sha256.Sum256([]byte(string(id) + "\x00" + spec.Schedule + "\x00" + spec.Path))
	return "line." + hex.EncodeToString(sum[:16])
}

// Run fires lines while this edge leads, until ctx ends.
func (c *Cron) Run(ctx context.Context) error {
	defer c.all.Wait()
	defer c.leading.Store(false)
	js, err := c.opts.Lattice.JetStream(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var e *election
	for {
		if e == nil {
			e = c.stand(ctx, js)
		}
		leads := e != nil && c.leads(ctx, e)
		if e != nil {
			c.leader.Store(e.leader)
		}
		if c.leading.Swap(leads) != leads {
			c.log.Info("cron", "leads", leads)
			c.forget()
		}
		if leads {
			c.fire(ctx, e.kv)
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
	kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "terrane_cron", Replicas: c.opts.Lattice.Replicas()})
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

// fire runs the lines that are due. Those that it has no time for wait for the next
// tick, and so do those that find maxRuns under way.
func (c *Cron) fire(ctx context.Context, kv jetstream.KeyValue) {
	now, began := c.opts.Now().UTC(), time.Now()
	for _, l := range c.current() {
		if l.known && (now.Before(l.next) || len(c.runs) == cap(c.runs) && now.Sub(l.next) < late) {
			continue
		}
		if err := c.due(ctx, kv, l, now); err != nil {
			c.log.Warn("cron", "tenant", l.tenant, "schedule", l.schedule, "err", err)
			l.known = false
			return // the store is in trouble, or another edge leads
		}
		if time.Since(began) > atATime {
			return
		}
	}
}

// record is what is known of a line.
type record struct {
	Due  time.Time `json:"due"` // the newest time that was fired or given up
	Edge string    `json:"edge"`
	Open bool      `json:"open,omitempty"` // the run has not ended
}

// due fires a line if its time has come. An error leaves it as it was.
func (c *Cron) due(ctx context.Context, kv jetstream.KeyValue, l *line, now time.Time) error {
	ctx2, cancel := context.WithTimeout(ctx, lease/3)
	defer cancel()
	running := l.running()
	if !running && l.end != nil {
		l.kept, l.end = *l.end, nil
		l.known = l.known && l.revision != 0
	}
	if !l.known || running {
		var err error
		if l.kept, err = read(ctx2, kv, l.key); err != nil {
			return err
		}
	}
	r := l.record
	if l.revision == 0 { // it is new: its past does not count
		r.Due = now
	}
	if !l.known && r.Open && !running {
		c.tell(l, r.Due, slog.LevelWarn, "cut short: the edge "+r.Edge+", which led, left before the run ended")
		r.Open = false
	}
	at, missed := l.newest(r.Due, now)
	fires, why := false, ""
	if !at.IsZero() {
		r.Due = at
		if fires, why = c.may(l, now.Sub(at)); !fires {
			missed++
		}
	}
	if missed > 0 {
		c.metrics.missed.Add(float64(missed))
		c.tell(l, r.Due, slog.LevelWarn, fmt.Sprintf("missed, the last of %d: %s", missed, why))
	}
	r.Edge, r.Open = c.opts.Lattice.Name(), r.Open || fires
	if r != l.record || l.revision == 0 {
		var err error
		if l.kept, err = write(ctx2, kv, l.key, kept{r, l.revision}); err != nil {
			if fires {
				<-c.runs
			}
			return err
		}
	}
	l.known, l.next = true, l.times.Next(r.Due)
	if fires {
		c.start(ctx, kv, l)
	}
	return nil
}

// may reports whether a line that has been due for so long runs, and has then taken
// one of c.runs; or why it does not.
func (c *Cron) may(l *line, since time.Duration) (runs bool, why string) {
	switch {
	case since >= late && len(c.runs) == cap(c.runs):
		return false, fmt.Sprintf("%d lines ran all the time", maxRuns)
	case since >= late:
		return false, "no edge led"
	case l.running():
		return false, "the run before it goes on"
	}
	select {
	case c.runs <- struct{}{}:
		return true, "no edge led"
	default:
		return false, fmt.Sprintf("%d lines run already", maxRuns)
	}
}

func (l *line) running() bool {
	if l.busy == nil {
		return false
	}
	select {
	case <-l.busy:
		return false
	default:
		return true
	}
}

// tell tells the tenant of the run that was due at a time.
func (c *Cron) tell(l *line, due time.Time, level slog.Level, text string) {
	c.opts.Tell(l.tenant, level, fmt.Sprintf("cron %q: %s at %s: %s", l.schedule, l.path, due.Format(time.RFC3339), text))
}

// newest is the last time after last that has come, and how many more have. A line
// has at most one time a minute: those of a day are counted.
func (l *line) newest(last, now time.Time) (at time.Time, more int) {
	if day := now.Add(-24 * time.Hour); last.Before(day) {
		last = day
	}
	for next := l.times.Next(last); !next.IsZero() && !next.After(now); next = l.times.Next(next) {
		if !at.IsZero() {
			more++
		}
		at = next
	}
	return at, more
}

// start runs a line, and gives back its place among c.runs.
func (c *Cron) start(ctx context.Context, kv jetstream.KeyValue, l *line) {
	busy, end, due := make(chan struct{}), new(kept), l.Due
	l.busy, l.end = busy, end
	k := l.kept
	c.all.Go(func() {
		defer func() { close(busy); <-c.runs }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runTime)
		defer cancel()
		a, err := c.opts.Ask(ctx, l.tenant, &messages.Task{Cron: l.schedule, Path: l.path, Due: due})
		switch {
		case err != nil:
			c.metrics.failed.Inc()
			c.tell(l, due, slog.LevelError, err.Error())
		case a.Code >= 400:
			c.metrics.failed.Inc()
			c.tell(l, due, slog.LevelError, fmt.Sprintf("answered %d", a.Code))
		default:
			c.metrics.done.Inc()
		}
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patient) // ctx may have ended
		defer cancel()
		if *end, err = c.ended(writing, kv, l.key, k); err != nil {
			c.log.Debug("cron", "tenant", l.tenant, "err", err) // it may be told as cut short
		}
	})
}

// ended notes that a run is over, whose start left k. A run that was missed meanwhile has changed it.
func (c *Cron) ended(ctx context.Context, kv jetstream.KeyValue, key string, k kept) (kept, error) {
	for {
		k.Open = false
		written, err := write(ctx, kv, key, k)
		if !errors.Is(err, jetstream.ErrKeyExists) { // what a wrong revision is
			return written, err
		}
		if k, err = read(ctx, kv, key); err != nil || k.Edge != c.opts.Lattice.Name() {
			return kept{}, err // another edge leads
		}
	}
}

// read returns what the bucket has of a line.
func read(ctx context.Context, kv jetstream.KeyValue, key string) (k kept, err error) {
	entry, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return kept{}, nil
	}
	if err != nil {
		return kept{}, err
	}
	if err := json.Unmarshal(entry.Value(), &k.record); err != nil {
		return kept{}, fmt.Errorf("%s: %w", key, err)
	}
	k.revision = entry.Revision()
	return k, nil
}

// write fails if the record is not at k's revision any more.
func write(ctx context.Context, kv jetstream.KeyValue, key string, k kept) (kept, error) {
	value, err := json.Marshal(k.record)
	if err != nil {
		return kept{}, err
	}
	if k.revision == 0 {
		k.revision, err = kv.Create(ctx, key, value)
	} else {
		k.revision, err = kv.Update(ctx, key, value, k.revision)
	}
	if err != nil {
		return kept{}, err
	}
	return k, nil
}
