package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// rolling is the question to roll a tenant back, and its answer.
type rolling struct {
	From     string          `json:"from,omitempty"` // the edge that asks
	Tenant   tenant.ID       `json:"tenant,omitempty"`
	Revision tenant.Revision `json:"revision,omitempty"`
	Pin      *tenant.Pin     `json:"pin,omitempty"` // nil: an edge of an earlier version asks
	// Served is what the asking edge serves now, for edges that do not have it.
	Served  *tenant.Served `json:"served,omitempty"`
	Problem string         `json:"problem,omitempty"`
}

// rollback makes an earlier release live here, and then at all other edges. The error
// says which of them it is not live at.
func (e *Edge) rollback(ctx context.Context, id tenant.ID, rev tenant.Revision, by, reason string) error {
	pin := tenant.Pin{By: by, Reason: reason, Edge: e.cfg.Edge.Name, At: time.Now().UTC()}
	if live, _ := e.Syncer.Serving(id); !pin.Newer(live.Pin) { // the clock of an edge was ahead: what is asked now counts
		pin.At = live.Pin.At.Add(1)
	}
	if err := e.Syncer.Rollback(ctx, id, rev, pin); err != nil {
		return err
	}
	live, _ := e.Syncer.Serving(id)
	question, err := json.Marshal(rolling{From: e.cfg.Edge.Name, Tenant: id, Revision: rev, Pin: live.Pin, Served: &live})
	if err != nil {
		return err
	}
	missing := map[string]string{}
	for _, p := range e.Lattice.Presence.Edges() {
		if !p.Self && !p.Leaving {
			missing[p.Name] = "no answer: it follows when it is there again"
		}
	}
	if len(missing) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for answer, err := range e.Lattice.Asker.All(ctx, "rollback", question, len(missing)+1) {
		var r rolling
		if err != nil || json.Unmarshal(answer.Data, &r) != nil {
			continue
		}
		if delete(missing, answer.Edge); r.Problem != "" {
			missing[answer.Edge] = r.Problem
		}
		if len(missing) == 0 {
			return nil
		}
	}
	var errs []error
	for name, why := range missing {
		errs = append(errs, fmt.Errorf("rolled back, but not at edge %s: %s", name, why))
	}
	return errors.Join(errs...)
}

// rolledBack answers other edges.
func (e *Edge) rolledBack(ctx context.Context, question []byte) (any, error) {
	var r rolling
	if err := json.Unmarshal(question, &r); err != nil {
		return nil, err
	}
	if r.From == e.cfg.Edge.Name {
		return rolling{}, nil
	}
	id, err := tenant.ParseIDOrPreview(string(r.Tenant))
	if err == nil {
		pin := tenant.Pin{Edge: r.From, At: time.Now().UTC()}
		if r.Pin != nil {
			pin = *r.Pin
		}
		if err = e.Syncer.Rollback(ctx, id, r.Revision, pin); errors.Is(err, tenantsync.ErrUnknown) && r.Served != nil && r.Served.ID == id {
			err = e.Syncer.Adopt(ctx, *r.Served)
		}
	}
	if err != nil {
		return rolling{Problem: err.Error()}, nil
	}
	return rolling{}, nil
}
