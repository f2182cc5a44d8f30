package notice

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
)

const (
	subjects = "terrane.notice."
	gap      = 100 * time.Millisecond // between two notices of one store

	maxMessage = 4 << 10 // bytes
	maxStores  = 4096    // that are remembered or wait to be told
	maxPeers   = 1024    // whose floods are told apart

	perSecond, burst = 20, 50 // heard of one peer
)

// Notice says that a store has something new. Fields are not trusted.
type Notice struct {
	Store    string `json:"store"`              // its prefix, or the URL of a tenant's own repository
	Revision string `json:"revision,omitempty"` // empty: whatever is there now
}

// Lattice is what notices need of one.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	Name() string
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	Wake    func(Notice)          // an edge has told; it must not block
	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil: none
}

// Notices sends and hears them. Its methods are safe for concurrent use.
type Notices struct {
	o       Options
	log     *slog.Logger
	waiting chan struct{}
	count   *prometheus.CounterVec

	mu    sync.Mutex
	known map[string]string        // store -> the revision last told or heard; guarded by mu
	todo  map[string]struct{}      // stores to tell of; guarded by mu
	peers map[string]*rate.Limiter // of Run's goroutine
}

// New starts nothing.
func New(o Options) (*Notices, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Notices{
		o: o, log: o.Logger, waiting: make(chan struct{}, 1),
		known: map[string]string{}, todo: map[string]struct{}{}, peers: map[string]*rate.Limiter{},
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "terrane_lattice_notices_total", Help: "Deploy notices by result: sent, heard, refused.",
		}, []string{"result"}),
	}
	if o.Metrics != nil {
		return n, o.Metrics.Register(n.count)
	}
	return n, nil
}

// Send tells the other edges, soon. Revisions that they have told of, or were told of,
// are not sent again. It never blocks, and does nothing while the edge is cut off.
func (n *Notices) Send(note Notice) {
	n.mu.Lock()
	if _, queued := n.todo[note.Store]; note.Store == "" || !n.news(note) || !queued && len(n.todo) >= maxStores {
		n.mu.Unlock()
		return
	}
	n.todo[note.Store] = struct{}{}
	n.mu.Unlock()
	select {
	case n.waiting <- struct{}{}:
	default:
	}
}

// news notes the revision, and reports whether it was not known. n.mu is held.
func (n *Notices) news(note Notice) bool {
	if rev, ok := n.known[note.Store]; ok && note.Revision != "" && rev == note.Revision {
		return false
	}
	if len(n.known) >= maxStores {
		clear(n.known) // costs a notice too many
	}
	n.known[note.Store] = note.Revision
	return true
}

// Run sends and hears until ctx ends.
func (n *Notices) Run(ctx context.Context) error {
	conn, err := n.o.Lattice.Conn(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx has ended
	}
	heard := make(chan *nats.Msg, 1024)
	sub, err := conn.ChanSubscribe(subjects+"*", heard)
	if err != nil {
		return err
	}
	send := time.NewTimer(0)
	defer send.Stop()
	for last := (time.Time{}); ; {
		select {
		case <-ctx.Done():
			return sub.Unsubscribe()
		case m := <-heard:
			n.hear(strings.TrimPrefix(m.Subject, subjects), m.Data)
		case <-n.waiting:
			send.Reset(time.Until(last.Add(gap)))
		case <-send.C:
			if n.flush(conn) {
				last = time.Now()
			}
		}
	}
}

// flush sends what waits.
func (n *Notices) flush(conn *nats.Conn) (sent bool) {
	n.mu.Lock()
	var out []Notice
	for store := range n.todo {
		out = append(out, Notice{store, n.known[store]})
	}
	clear(n.todo)
	n.mu.Unlock()
	for _, note := range out {
		data, err := json.Marshal(note)
		if err == nil {
			err = conn.Publish(subjects+n.o.Lattice.Name(), data)
		}
		if err != nil {
			n.log.Debug("a notice was not sent", "store", note.Store, "err", err)
			continue
		}
		n.count.WithLabelValues("sent").Inc()
	}
	return len(out) > 0
}

func (n *Notices) hear(peer string, data []byte) {
	if peer == n.o.Lattice.Name() {
		return
	}
	note, ok := parse(data)
	if !ok || !n.allowed(peer) {
		n.count.WithLabelValues("refused").Inc()
		return
	}
	n.mu.Lock()
	n.news(note) // whoever has it next need not tell
	n.mu.Unlock()
	n.count.WithLabelValues("heard").Inc()
	n.o.Wake(note)
}

func parse(data []byte) (note Notice, ok bool) {
	if len(data) > maxMessage || json.Unmarshal(data, &note) != nil {
		return Notice{}, false
	}
	return note, note.Store != "" && len(note.Store) <= 1024 && len(note.Revision) <= 256
}

func (n *Notices) allowed(peer string) bool {
	l := n.peers[peer]
	if l == nil {
		if len(n.peers) >= maxPeers {
			clear(n.peers)
		}
		l = rate.NewLimiter(perSecond, burst)
		n.peers[peer] = l
	}
	return l.Allow()
}
