package presence

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
)

const subjects = "terrane.presence."

// Lattice is what presence needs of one.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	Name() string
	Region() string
	Joined() <-chan struct{} // has a token when edges may be there that were not
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	// Self returns what this edge says; name and region are filled in. It is asked
	// every two seconds and after Touch, and must not block.
	Self func() Edge
	// Heard is called when an edge comes, returns, or is at other revisions than it said
	// before: with all of its stores in the first cases, else with those. Nil: nobody
	// asks. It must not block.
	Heard    func(edge string, stores []Store)
	Interval time.Duration         // between two words; default 2 s. After three of them an edge is silent
	Logger   *slog.Logger          // nil discards
	Metrics  prometheus.Registerer // nil: none
}

// Presence knows the edges of the lattice. Its methods are safe for concurrent use.
type Presence struct {
	o        Options
	log      *slog.Logger
	name     string
	instance string
	touched  chan struct{}
	again    int // words to be said soon; of Run's goroutine
	table    table
	twin     atomic.Pointer[time.Time] // when another edge was heard that has our name
	refused  prometheus.Counter
}

// New starts nothing.
func New(o Options) (*Presence, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Interval <= 0 {
		o.Interval = 2 * time.Second
	}
	p := &Presence{
		o: o, log: o.Logger, name: o.Lattice.Name(), instance: rand.Text(), touched: make(chan struct{}, 1),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_lattice_presence_refused_total", Help: "Words of peers that were not understood or had no room.",
		}),
	}
	p.table = table{self: p.name, silence: 3 * o.Interval, peers: map[string]Peer{}}
	if o.Metrics == nil {
		return p, nil
	}
	for _, c := range []prometheus.Collector{p.refused, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "terrane_lattice_edges_count", Help: "Edges that are heard, this one included.",
	}, p.count)} {
		if err := o.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Presence) count() float64 {
	n := 0.0
	for _, e := range p.Edges() {
		if !e.Silent {
			n++
		}
	}
	return n
}

// Edges returns all edges known, this one included, by region and name.
func (p *Presence) Edges() []Peer { return p.table.list(time.Now()) }

// Twin reports whether another edge uses the name of this one.
func (p *Presence) Twin() bool {
	at := p.twin.Load()
	return at != nil && time.Since(*at) < p.table.silence
}

// Touch makes this edge say again what it is, soon. It never blocks.
func (p *Presence) Touch() {
	select {
	case p.touched <- struct{}{}:
	default:
	}
}

// Run speaks and listens until ctx ends, and then says goodbye.
func (p *Presence) Run(ctx context.Context) error {
	conn, err := p.o.Lattice.Conn(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	words := make(chan *nats.Msg, 4*maxEdges)
	sub, err := conn.ChanSubscribe(subjects+"*", words)
	if err != nil {
		return err
	}
	p.loop(ctx, conn, words)
	self := p.self()
	self.Leaving, self.Ready = true, false
	p.say(conn, self)
	_ = conn.FlushTimeout(time.Second) // best effort: peers find out anyway
	return sub.Unsubscribe()
}

func (p *Presence) loop(ctx context.Context, conn *nats.Conn, words <-chan *nats.Msg) {
	const (
		least = 50 * time.Millisecond // between two words
		soon  = 250 * time.Millisecond
	)
	speak := time.NewTimer(0)
	defer speak.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-words:
			p.hear(strings.TrimPrefix(m.Subject, subjects), m.Data, time.Now())
		case <-p.touched:
			speak.Reset(time.Until(last.Add(least)))
		case <-p.o.Lattice.Joined():
			p.greet()
		case <-speak.C:
			last = time.Now()
			self := p.self()
			p.table.note(self, last) // also while nothing arrives
			p.say(conn, self)
			for _, name := range p.table.fade(last) {
				p.log.Warn("an edge is silent", "edge", name)
			}
			if p.again > 0 {
				p.again--
				speak.Reset(soon)
				continue
			}
			speak.Reset(p.o.Interval)
		}
	}
}

// greet speaks to edges that have just come into reach, and again, as the first words
// may have been too early for their subscriptions.
func (p *Presence) greet() {
	p.again = 2
	p.Touch()
}

func (p *Presence) self() Edge {
	e := p.o.Self()
	e.Name, e.Region, e.Instance = p.name, p.o.Lattice.Region(), p.instance
	e.bound()
	return e
}

// say publishes. What fails is said again soon.
func (p *Presence) say(conn *nats.Conn, e Edge) {
	data, err := json.Marshal(e)
	if err == nil && len(data) > maxMessage {
		e.Unmet, e.Stores = nil, nil // the rest fits
		data, err = json.Marshal(e)
	}
	if err == nil {
		err = conn.Publish(subjects+p.name, data)
	}
	if err != nil {
		p.log.Debug("presence was not sent", "err", err)
	}
}

func (p *Presence) hear(name string, data []byte, now time.Time) {
	e, err := parse(name, data)
	if err != nil {
		p.refused.Inc()
		p.log.Debug("an edge is not understood", "edge", plain(name), "err", err)
		return
	}
	if name == p.name {
		if e.Instance != p.instance && !e.Leaving {
			if !p.Twin() {
				p.log.Error("another edge of the lattice has the name of this one: give each its own edge.name")
			}
			p.twin.Store(&now)
		}
		return
	}
	before, known, ok := p.table.note(e, now)
	switch {
	case !ok:
		p.refused.Inc()
		return
	case e.Leaving:
		p.log.Info("an edge has left", "edge", name)
		return
	case !known:
		p.log.Info("an edge is there", "edge", name, "region", e.Region)
		p.greet() // it does not know us yet
		before.Stores = nil
	}
	if p.o.Heard == nil {
		return
	}
	if news := newer(before.Stores, e.Stores); len(news) > 0 {
		p.o.Heard(name, news)
	}
}

// newer are the stores whose revision is another.
func newer(before, now []Store) (news []Store) {
	had := make(map[string]string, len(before))
	for _, s := range before {
		had[s.Prefix] = s.Head
	}
	for _, s := range now {
		if head, ok := had[s.Prefix]; !ok || head != s.Head {
			news = append(news, s)
		}
	}
	return news
}
