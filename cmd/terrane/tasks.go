package main

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/internal/lattice/placement"
	"github.com/terrane/terrane/internal/lattice/presence"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// buildTasks builds what has modules run that no visitor asked for, and what has
// visitors' requests answered in the regions that tenants keep to.
func (e *edge) buildTasks(context.Context) (err error) {
	l := e.lattice.Lattice
	e.lattice.messages, err = messages.New(messages.Options{
		Lattice: l, Run: e.do, Again: e.opt.again, Tell: e.tellTenant, Logger: e.logger("messages"), Metrics: e.metrics,
	})
	if err != nil {
		return err
	}
	e.lattice.cron, err = cron.New(cron.Options{
		Lattice: l, Ask: e.lattice.messages.Ask, Tell: e.tellTenant, Logger: e.logger("cron"), Metrics: e.metrics,
	})
	if err != nil {
		return err
	}
	e.lattice.placement = placement.New(placement.Options{
		Lattice: l,
		Edges:   e.readyIn,
		Serve:   func(ctx context.Context, ln net.Listener) error { return e.server.ServeForwarded(ctx, ln) },
		Logger:  e.logger("placement"),
	})
	return nil
}

// readyIn are the names of a region's edges that are ready, the least busy first.
func (e *edge) readyIn(region string) (names []string) {
	edges := e.lattice.presence.Edges()
	slices.SortStableFunc(edges, func(a, b presence.Peer) int { return cmp.Compare(a.Requests, b.Requests) })
	for _, p := range edges {
		if p.Region == region && p.Ready && !p.Silent {
			names = append(names, p.Name)
		}
	}
	return names
}

// do has this edge do a task.
func (e *edge) do(ctx context.Context, id tenant.ID, t *messages.Task) (*messages.Answer, error) {
	code, h, body, err := e.server.Do(ctx, id, &server.Task{Path: t.Path, Body: t.Body, Subject: t.Subject, Cron: t.Cron, Due: t.Due, Hops: t.Hops})
	return &messages.Answer{Code: code, Header: h, Body: body}, err
}

// tellTenant writes a line of the edge's own to a tenant's log.
func (e *edge) tellTenant(id tenant.ID, level slog.Level, text string) {
	e.logs.Of(id).Log(&hostcalls.Request{}, level, text)
}

// serves notes that a release is live here.
func (e *edge) serves(s *tenant.Snapshot) {
	e.lattice.messages.Set(s.ID, &s.Manifest)
	e.lattice.cron.Set(s.ID, &s.Manifest)
	e.tell(s)
}

// servesNot notes that a tenant's folder is gone.
func (e *edge) servesNot(id tenant.ID) {
	e.lattice.messages.Remove(id)
	e.lattice.cron.Remove(id)
}

// tasksStatus is what runs, and waits to run, in this edge's region.
type tasksStatus struct {
	Cron    cron.Status `json:"cron"`
	Waiting *uint64     `json:"waiting"` // messages; nil: not known
}

func (e *edge) tasks() (s tasksStatus) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s.Cron = e.lattice.cron.Status()
	if n, err := e.lattice.messages.Waiting(ctx); err == nil {
		s.Waiting = &n
	}
	return s
}

// print shows what concerns an operator.
func (s *tasksStatus) print(row func(format string, args ...any)) {
	if s.Cron.Lines > 0 {
		row("cron\t%s leads\t%d lines of this region", orNone(s.Cron.Leader), s.Cron.Lines)
	}
	switch {
	case s.Waiting == nil:
		row("messages\tout of reach")
	case *s.Waiting > 0:
		row("messages\t%d wait", *s.Waiting)
	}
}
