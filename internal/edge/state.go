package edge

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/internal/rediskv"
	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// stateBucket is that of tenants' state in the lattice.
const stateBucket = "terrane_state"

// certsBucket is that of certificates that edges share.
const certsBucket = "terrane_certs"

// tenantStates is where guests' state is kept.
type tenantStates struct {
	of     func(id tenant.ID, strict bool) hostcalls.KV
	all    func(context.Context) ([]tenant.ID, error) // that have state
	ready  func(context.Context) (string, error)      // see statemove.Store; nil: always
	run    func(context.Context) error                // nil: nothing runs
	status func() any                                 // nil: none
	store  *state.Store                               // nil where they are not in the lattice
	clock  func() time.Duration                       // how far the lattice's is ahead; nil: nobody knows
}

// State is a tenant's state. A strict read is linearizable, where the provider can.
func (e *Edge) State(id tenant.ID, strict bool) hostcalls.KV { return e.states.of(id, strict) }

// buildState builds what state.provider asks for.
func (e *Edge) buildState(context.Context) error {
	c := &e.cfg.State
	quota := hostcalls.Quota{Bytes: int64(c.Bytes), Keys: c.Keys}
	switch c.Provider {
	case "memory":
		var all sync.Map // tenant.ID -> hostcalls.KV: state outlives releases
		e.states.of = func(id tenant.ID, _ bool) hostcalls.KV {
			kv, _ := all.LoadOrStore(id, memorykv.New(quota))
			return kv.(hostcalls.KV)
		}
		e.states.all = func(context.Context) (ids []tenant.ID, err error) {
			all.Range(func(id, _ any) bool { ids = append(ids, id.(tenant.ID)); return true })
			return ids, nil
		}
	case "redis":
		s, err := rediskv.New(rediskv.Options{
			URL: string(c.URL), Quota: quota, Timeout: time.Duration(c.Timeout), Logger: e.logger("state"),
		})
		if err != nil {
			return err
		}
		e.states.of = func(id tenant.ID, _ bool) hostcalls.KV { return s.KV(string(id)) }
		e.states.all = ids(s.Tenants)
		e.states.run = func(ctx context.Context) error {
			<-ctx.Done()
			return s.Close()
		}
	default:
		s, err := state.New(state.Options{
			Lattice: e.Lattice.Lattice, Bucket: stateBucket, Home: c.Home,
			Ledger: e.Lattice.Ledger(stateBucket), Asker: e.Lattice.Asker,
			Quota: quota, Timeout: time.Duration(c.Timeout), Logger: e.logger("state"), Metrics: e.metrics,
		})
		if err != nil {
			return err
		}
		e.states.of = func(id tenant.ID, strict bool) hostcalls.KV {
			if strict || c.Strict {
				return s.KV(string(id), state.Strict)
			}
			return s.KV(string(id), state.Near)
		}
		e.states.all = ids(s.Tenants)
		e.states.run, e.states.ready = s.Run, s.Ready
		e.states.clock, e.states.store = s.ClockOffset, s
		e.states.status = func() any { return s.Status() }
	}
	return nil
}

func ids(list func(context.Context) ([]string, error)) func(context.Context) ([]tenant.ID, error) {
	return func(ctx context.Context) (ids []tenant.ID, err error) {
		names, err := list(ctx)
		for _, name := range names {
			ids = append(ids, tenant.ID(name))
		}
		return ids, err
	}
}

// buildShared builds the store of certificates in the lattice, if that is theirs.
func (e *Edge) buildShared(context.Context) error {
	if e.cfg.TLS.Mode != "acme" || e.cfg.TLS.Storage != config.StorageLattice {
		return nil
	}
	var err error
	e.shared, err = state.New(state.Options{
		Lattice: e.Lattice.Lattice, Bucket: certsBucket, Home: e.cfg.State.Home,
		Ledger: e.Lattice.Ledger(certsBucket), Asker: e.Lattice.Asker,
		Quota: hostcalls.Quota{Bytes: math.MaxInt64, Keys: math.MaxInt}, Logger: e.logger("certs"),
	})
	return err
}

// moves is where state is, for exports and imports.
func (s *tenantStates) moves() *statemove.Store {
	return &statemove.Store{Of: s.of, All: s.all, Ready: s.ready}
}
