package edge

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/internal/lattice/placement"
	"github.com/terrane/terrane/internal/lattice/presence"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// buildTasks builds what has modules run that no visitor asked for, and what has
// visitors' requests answered in the regions that tenants keep to.
func (e *Edge) buildTasks(context.Context) (err error) {
	l := e.Lattice.Lattice
	ledger := ""
	if !l.Clustered() && !l.External() {
		ledger = l.Ledger("terrane_msg")
	}
	e.Lattice.Messages, err = messages.New(messages.Options{
		Lattice: l, Run: e.do, Again: e.opt.Again, Ledger: ledger, Tell: e.tellTenant, Logger: e.logger("messages"), Metrics: e.metrics,
	})
	if err != nil {
		return err
	}
	e.Lattice.Cron, err = cron.New(cron.Options{
		Lattice: l, Ask: e.Lattice.Messages.Ask, Tell: e.tellTenant, Logger: e.logger("cron"), Metrics: e.metrics,
	})
	if err != nil {
		return err
	}
	e.Lattice.Placement = placement.New(placement.Options{
		Lattice: l,
		Edges:   e.readyIn,
		Serve:   func(ctx context.Context, ln net.Listener) error { return e.Server.ServeForwarded(ctx, ln) },
		Logger:  e.logger("placement"),
	})
	return nil
}

// readyIn are the names of a region's edges that are ready, the least busy first.
func (e *Edge) readyIn(region string) (names []string) {
	edges := e.Lattice.Presence.Edges()
	slices.SortStableFunc(edges, func(a, b presence.Peer) int { return cmp.Compare(a.Requests, b.Requests) })
	for _, p := range edges {
		if p.Region == region && p.Ready && !p.Silent {
			names = append(names, p.Name)
		}
	}
	return names
}

// do has this edge do a task.
func (e *Edge) do(ctx context.Context, id tenant.ID, t *messages.Task) (*messages.Answer, error) {
	code, h, body, err := e.Server.Do(ctx, id, &server.Task{Path: t.Path, Body: t.Body, Subject: t.Subject, Cron: t.Cron, Due: t.Due, Hops: t.Hops})
	return &messages.Answer{Code: code, Header: h, Body: body}, err
}

// tellTenant writes a line of the edge's own to a tenant's log.
func (e *Edge) tellTenant(id tenant.ID, level slog.Level, text string) {
	e.Logs.Of(id).Log(&hostcalls.Request{}, level, text)
}

// serves notes that a release is live here.
func (e *Edge) serves(s *tenant.Snapshot) {
	e.Lattice.Messages.Set(s.ID, &s.Manifest)
	e.Lattice.Cron.Set(s.ID, &s.Manifest)
	e.tell(s)
}

// servesNot notes that a tenant's folder is gone.
func (e *Edge) servesNot(id tenant.ID) {
	e.Lattice.Messages.Remove(id)
	e.Lattice.Cron.Remove(id)
}

func (e *Edge) tasks() (s admin.Tasks) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.Cron = e.Lattice.Cron.Status()
	if n, err := e.Lattice.Messages.Waiting(ctx); err == nil {
		s.Waiting = &n
	}
	return s
}
