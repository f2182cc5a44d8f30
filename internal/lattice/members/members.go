package members

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/lattice"
)

const (
	lookEvery    = 2 * time.Second
	lookTimeout  = 2 * time.Second // of one question to the leader
	defaultAfter = time.Hour
	maxStreams   = 64
	missedTwice  = 2               // a member that starts is seen at once
	silence      = 6 * time.Second // without a word of a member, after which it is not live; those that are send one a second
)

// Lattice is what this package needs of *lattice.Lattice.
type Lattice interface {
	Conn(ctx context.Context) (*nats.Conn, error)
	System(ctx context.Context) (*nats.Conn, error)
	Name() string
	Clustered() bool
	Replicas() int
	Standing() lattice.Standing
	Join(removal string) error
	Forgotten()
}

// Options are what New takes.
type Options struct {
	Lattice Lattice
	// ForgetAfter is how long a member is absent before it is forgotten, if the others can
	// hold all copies. Default 1 h; negative: never.
	ForgetAfter time.Duration
	// Heard reports whether an edge was heard lately on another way than through the
	// cluster. Nil: there is none.
	Heard   func(edge string) bool
	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil: none
}

// Members is an edge's view of its cluster. Its methods are safe for concurrent use.
type Members struct {
	o   Options
	log *slog.Logger

	mu     sync.Mutex
	status Status               // guarded by mu
	absent map[string]time.Time // since when a member is, by ID, as far as this edge has led; of Run's goroutine
	said   string               // what was logged last; of Run's goroutine
	missed int                  // times in a row that this edge was no member; likewise
}

// New starts nothing.
func New(o Options) (*Members, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ForgetAfter == 0 {
		o.ForgetAfter = defaultAfter
	}
	if o.Heard == nil {
		o.Heard = func(string) bool { return false }
	}
	m := &Members{o: o, log: o.Logger, absent: map[string]time.Time{}}
	if o.Metrics == nil {
		return m, nil
	}
	return m, o.Metrics.Register(collector{m})
}

// Status is what is known of the cluster.
type Status struct {
	At      time.Time `json:"at,omitzero"`       // when it was so; zero: not known yet
	Problem string    `json:"problem,omitempty"` // why it is not known now
	Members []Member  `json:"members,omitempty"`
	Copies  []Copies  `json:"copies,omitempty"`

	removals map[string]string // see recordRemoval; nil: not known
}

// Member is an edge of the cluster, as the edge that leads it sees it.
type Member struct {
	Edge   string `json:"edge"` // empty: its name is not known since the cluster's leader was restarted
	ID     string `json:"id"`   // NATS's
	Leader bool   `json:"leader,omitempty"`
	Live   bool   `json:"live"`
	Behind uint64 `json:"behind,omitempty"` // operations
}

// Run looks at the cluster until ctx ends. Without one it only waits.
func (m *Members) Run(ctx context.Context) error {
	if !m.o.Lattice.Clustered() {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if s := m.Look(ctx); s.Problem == "" {
			m.standing(&s)
			m.forgetAbsent(ctx, &s)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// standing notes that this edge has become a member, or is none any more.
func (m *Members) standing(s *Status) {
	l := m.o.Lattice
	standing := l.Standing()
	switch own := slices.ContainsFunc(s.Members, func(x Member) bool { return x.ID == memberID(l.Name()) }); {
	case own:
		m.missed = 0
		if s.removals == nil {
			return // not known now
		}
		removal := s.removals[recordPrefix+l.Name()]
		switch {
		case !standing.Joined:
			if err := l.Join(removal); err != nil {
				m.log.Error("cannot record that this edge is a member", "err", err)
			}
		case removal != "" && removal != standing.Removal: // NATS took it back
			l.Forgotten()
		}
	case standing.Joined:
		if m.missed++; m.missed >= missedTwice {
			m.missed = 0
			l.Forgotten()
		}
	}
}

// Status returns what was seen last. It waits for nothing.
func (m *Members) Status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.status
}

// Look asks the edge that leads, and notes what it says.
func (m *Members) Look(ctx context.Context) Status {
	s := Status{At: time.Now()}
	var err error
	if s.Members, err = m.members(ctx); err == nil {
		s.Copies, s.removals, err = m.copies(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.status.Problem = err.Error()
		s.Problem = err.Error()
		return s
	}
	m.status = s
	return s
}

// ask sends a request in the system account.
func (m *Members) ask(ctx context.Context, subject string, question, answer any) error {
	conn, err := m.o.Lattice.System(ctx)
	if err != nil {
		return err
	}
	data, err := json.Marshal(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	reply, err := conn.RequestWithContext(ctx, subject, data)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrNoResponders):
		return errNoLeader
	case err != nil:
		return err
	}
	return json.Unmarshal(reply.Data, answer)
}

var errNoLeader = errors.New("no edge leads the cluster: a majority of its members is not there")

// members asks the edge that leads. It fails without a majority.
func (m *Members) members(ctx context.Context) (list []Member, err error) {
	var answer struct {
		Data struct {
			Meta *struct {
				Leader   string `json:"leader"`
				Peer     string `json:"peer"`
				Replicas []peer `json:"replicas"`
			} `json:"meta_cluster"`
		} `json:"data"`
	}
	if err := m.ask(ctx, "$SYS.REQ.SERVER.PING.JSZ", map[string]bool{"leader_only": true}, &answer); err != nil {
		return nil, err
	}
	meta := answer.Data.Meta
	if meta == nil || meta.Leader == "" {
		return nil, errNoLeader
	}
	list = append(list, Member{Edge: meta.Leader, ID: meta.Peer, Leader: true, Live: true})
	for _, p := range meta.Replicas {
		list = append(list, Member{Edge: p.name(), ID: p.ID, Live: live(p.Offline, p.Active), Behind: p.Lag})
	}
	return list, nil
}

// peer is how NATS describes a member.
type peer struct {
	Name    string        `json:"name"`
	ID      string        `json:"peer"`
	Offline bool          `json:"offline"`
	Active  time.Duration `json:"active"`
	Lag     uint64        `json:"lag"`
}

// live reports whether a leader hears a server. NATS marks one that was killed as offline
// only after minutes. active is the time since it was last heard, 0 if this leader never
// heard it.
func live(offline bool, active time.Duration) bool { return !offline && 0 < active && active < silence }

// name is the edge's, empty if the leader does not know it.
func (p *peer) name() string {
	if memberID(p.Name) == p.ID {
		return p.Name
	}
	return ""
}

// Copies are those of one stream.
type Copies struct {
	What   string `json:"what"`
	Stream string `json:"stream"`
	Wanted int    `json:"wanted"`
	At     []Copy `json:"at,omitempty"`
	// Problem is why nothing is known of them.
	Problem string `json:"problem,omitempty"`
}

// Copy is one edge's.
type Copy struct {
	Edge    string `json:"edge"`
	Leader  bool   `json:"leader,omitempty"`
	Current bool   `json:"current"` // the edge is live and has everything
	Live    bool   `json:"live"`
	Behind  uint64 `json:"behind,omitempty"` // operations
}

// Current is how many copies there are that lack nothing.
func (c *Copies) Current() (n int) {
	for i := range c.At {
		if c.At[i].Current {
			n++
		}
	}
	return n
}

// Whole reports whether all copies are there.
func (c *Copies) Whole() bool {
	return c.Problem == "" && c.Current() == len(c.At) && len(c.At) >= c.Wanted
}

// kind is what a stream holds, in the words of the documentation, empty if it is not
// terrane's.
func kind(stream string) string {
	switch stream {
	case "KV_terrane_state":
		return "state"
	case "KV_terrane_certs":
		return "certificates"
	case "KV_terrane_cron":
		return "schedules"
	case "terrane_msg":
		return "messages"
	}
	return ""
}

// copies asks the leader of each stream, also for the removals that are recorded.
func (m *Members) copies(ctx context.Context) (list []Copies, removals map[string]string, err error) {
	js, err := m.jetStream(ctx)
	if err != nil {
		return nil, nil, err
	}
	within, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	removals = map[string]string{}
	names := js.StreamNames(within)
	for name := range names.Name() {
		if len(list) == maxStreams {
			break
		}
		c, config := copiesOf(ctx, js, name)
		list = append(list, c)
		if name == recordStream {
			if removals = config.Metadata; removals == nil && c.Problem == "" {
				removals = map[string]string{}
			}
		}
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, nil, fmt.Errorf("list the streams: %w", err)
	}
	return list, removals, nil
}

// jetStream does not ask whether JetStream answers.
func (m *Members) jetStream(ctx context.Context) (jetstream.JetStream, error) {
	conn, err := m.o.Lattice.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return jetstream.New(conn)
}

func copiesOf(ctx context.Context, js jetstream.JetStream, name string) (c Copies, config jetstream.StreamConfig) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	c = Copies{What: cmp.Or(kind(name), name), Stream: name}
	stream, err := js.Stream(ctx, name)
	if err != nil {
		c.Problem = "no edge leads it: " + err.Error()
		return c, config
	}
	info := stream.CachedInfo()
	c.Wanted = info.Config.Replicas
	if info.Cluster == nil {
		return c, info.Config
	}
	c.At = append(c.At, Copy{Edge: info.Cluster.Leader, Leader: true, Current: true, Live: true})
	for _, r := range info.Cluster.Replicas {
		there := live(r.Offline, r.Active)
		c.At = append(c.At, Copy{Edge: r.Name, Current: r.Current && there, Live: there, Behind: r.Lag})
	}
	return c, info.Config
}
