package edge

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/ask"
	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/fleet"
	"github.com/terrane/terrane/internal/lattice/logtail"
	"github.com/terrane/terrane/internal/lattice/members"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/internal/lattice/notice"
	"github.com/terrane/terrane/internal/lattice/placement"
	"github.com/terrane/terrane/internal/lattice/presence"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/internal/lattice/ticket"
	"github.com/terrane/terrane/tenant"
)

// Fabric is the lattice and what speaks on it.
type Fabric struct {
	*lattice.Lattice
	Presence *presence.Presence
	Members  *members.Members
	Notices  *notice.Notices
	Asker    *ask.Asker
	Logs     *logtail.Logs
	Tickets  *ticket.Tickets // nil with tls.tickets, and without tls.key
	Fleet    *fleet.Fleet

	Messages  *messages.Messages
	Cron      *cron.Cron
	Placement *placement.Placement
}

// buildLattice builds the lattice.
func (e *Edge) buildLattice(context.Context) (err error) {
	o := latticeOptions(e.cfg)
	o.Logger, o.Metrics = e.logger("lattice"), e.metrics
	e.Lattice.Lattice, err = lattice.New(o)
	return err
}

// buildFabric builds what edges find each other by.
func (e *Edge) buildFabric(context.Context) (err error) {
	l, log := e.Lattice.Lattice, e.logger("lattice")
	e.Lattice.Presence, err = presence.New(presence.Options{
		Lattice: l, Self: e.self, Heard: e.heard, Logger: log, Metrics: e.metrics,
	})
	if err != nil {
		return err
	}
	e.Lattice.Members, err = members.New(members.Options{
		Lattice: l, ForgetAfter: time.Duration(e.cfg.Lattice.ForgetAfter), Heard: e.hears, Logger: log, Metrics: e.metrics,
	})
	if err != nil {
		return err
	}
	e.Lattice.Notices, err = notice.New(notice.Options{Lattice: l, Wake: e.wake, Logger: log, Metrics: e.metrics})
	e.Lattice.Logs = logtail.New(logtail.Options{Lattice: l, Read: e.readLog, Edges: e.present, Logger: log})
	e.Lattice.Asker = ask.New(ask.Options{
		Lattice: l,
		Answers: map[string]func(context.Context, []byte) (any, error){"progress": e.progress, "rollback": e.rolledBack, state.ComparePart: e.compareState},
		Logger:  log,
	})
	return err
}

// latticeOptions translates the configuration.
func latticeOptions(cfg *config.Config) lattice.Options {
	c := &cfg.Lattice
	return lattice.Options{
		Name:        cfg.Edge.Name,
		Region:      cfg.Edge.Region,
		Dir:         LatticeDir(cfg),
		URLs:        c.URL,
		Listen:      c.Listen,
		LeafListen:  c.LeafListen,
		Cluster:     lattice.Cluster(c.Cluster),
		Leaf:        c.Leaf,
		Peers:       c.Peers,
		Credentials: c.Credentials,
		TLS:         lattice.TLS(c.TLS),
		Replicas:    c.Replicas,
		MaxMemory:   int64(c.MaxMemory),
		MaxDisk:     int64(c.MaxDisk),
	}
}

// shareTickets has edges of one tls.key resume each other's sessions.
func (e *Edge) shareTickets(conf *tls.Config) (err error) {
	if e.cfg.TLS.Key == "" {
		return nil
	}
	e.Lattice.Tickets, err = ticket.New(ticket.Options{
		Lattice: e.Lattice, Secret: []byte(e.cfg.TLS.Key), Set: conf.SetSessionTicketKeys, Logger: e.logger("tickets"),
	})
	return err
}

// hears reports whether another edge says that it is there.
func (e *Edge) hears(name string) bool { return slices.Contains(e.present()[1:], name) }

// present are the edges that are heard.
func (e *Edge) present() []string {
	names := []string{e.cfg.Edge.Name}
	for _, p := range e.Lattice.Presence.Edges() {
		if !p.Self && !p.Silent {
			names = append(names, p.Name)
		}
	}
	return names
}

// readLog reads this edge's log of a tenant, for any edge that asks.
func (e *Edge) readLog(ctx context.Context, id string, lines int, follow bool) iter.Seq[logtail.Line] {
	return func(yield func(logtail.Line) bool) {
		for l := range e.Logs.Read(ctx, tenant.ID(id), lines, follow) {
			if !yield(logtail.Line{Edge: e.cfg.Edge.Name, Time: l.Time, Level: l.Level, Request: l.Request, Module: l.Module, Text: l.Text}) {
				return
			}
		}
	}
}

// tenantLog is the newest of a tenant's log at all edges, or at this one while it is
// cut off, for the admin listener.
func (e *Edge) tenantLog(ctx context.Context, id tenant.ID, lines int, follow bool) iter.Seq[logtail.Line] {
	read := e.Lattice.Logs.Tail
	if !e.Lattice.Status().Connected {
		read = e.readLog
	}
	return func(yield func(logtail.Line) bool) {
		for line := range read(ctx, string(id), lines, follow) {
			if !line.Time.IsZero() && !yield(line) {
				return
			}
		}
	}
}

// self is what this edge says of itself to the others.
func (e *Edge) self() presence.Edge {
	s := presence.Edge{Version: e.opt.Version, Started: e.started, Requests: e.Server.InFlight()}
	s.Ready, s.Unmet = e.Ready()
	for _, st := range e.Syncer.Stores() {
		problem := st.Error
		if st.Refused != "" {
			problem = st.Refused
		}
		s.Stores = append(s.Stores, presence.Store{Prefix: st.Prefix, Head: st.Head, Pending: st.Pending, Problem: problem})
	}
	for _, st := range e.Syncer.ServedStores() {
		s.Serves = append(s.Serves, presence.Serves{Prefix: st.Prefix, Tenants: st.Tenants, Sum: st.Sum()})
	}
	if e.announcer != nil {
		for _, n := range e.announcer.Status().Neighbors {
			for _, p := range n.Announced {
				s.Prefixes = append(s.Prefixes, p.String())
			}
		}
		slices.Sort(s.Prefixes)
		s.Prefixes = slices.Compact(s.Prefixes)
	}
	return s
}

// heard takes what another edge says of its stores.
func (e *Edge) heard(_ string, list []presence.Store) {
	for _, s := range list {
		if s.Head != "" {
			e.wake(notice.Notice{Store: s.Prefix, Revision: s.Head})
		}
	}
}

// wake looks at a store that another edge has news of, and this one has not.
func (e *Edge) wake(n notice.Notice) {
	for _, s := range e.Syncer.Stores() {
		if s.Prefix == n.Store && n.Revision != "" && s.Head == n.Revision {
			return
		}
	}
	e.Syncer.Nudge(n.Store)
}

// tell tells the other edges that a release went live here.
func (e *Edge) tell(s *tenant.Snapshot) {
	select {
	case <-e.Syncer.Mirrored():
	default:
		return // of an earlier run
	}
	store := string(s.ID)
	for i := range e.cfg.Stores {
		if st := &e.cfg.Stores[i]; st.Kind != tenant.GitTenantStore && strings.HasPrefix(store, st.Prefix) {
			store = st.Prefix
			break
		}
	}
	e.Lattice.Notices.Send(notice.Notice{Store: store, Revision: string(s.Revision)})
	e.Lattice.Presence.Touch()
}

// fleetProgress asks all edges that are heard. One that does not answer is not there yet.
func (e *Edge) fleetProgress(ctx context.Context, rev tenant.Revision) []admin.Progress {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	own, _ := e.progress(ctx, []byte(rev))
	list := []admin.Progress{own.(admin.Progress)}
	for _, name := range e.present()[1:] {
		list = append(list, admin.Progress{Edge: name})
	}
	if len(list) == 1 {
		return list
	}
	for answer, err := range e.Lattice.Asker.All(ctx, "progress", []byte(rev), len(list)) {
		var p admin.Progress
		if err != nil || json.Unmarshal(answer.Data, &p) != nil {
			continue
		}
		for i := range list {
			if i > 0 && list[i].Edge == answer.Edge {
				list[i].Live, list[i].Problem = p.Live, p.Problem
			}
		}
	}
	return list
}

// progress answers other edges.
func (e *Edge) progress(_ context.Context, revision []byte) (any, error) {
	s := e.Syncer.Status()
	live, err := s.Progress(tenant.Revision(revision))
	p := admin.Progress{Edge: e.cfg.Edge.Name, Live: live}
	if err != nil {
		p.Problem = err.Error()
	}
	return p, nil
}

// LatticeDir is where an edge has its copies.
func LatticeDir(c *config.Config) string { return filepath.Join(c.Edge.Data, "lattice") }
