package cron

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	leaderKey = "leader"
	lease     = 6 * time.Second // without a renewal, after which another edge leads
)

// election is one edge's view of who leads. It is for one goroutine.
type election struct {
	kv   jetstream.KeyValue
	name string

	leader  string    // as far as is known
	mine    bool      // the last revision seen is ours
	last    uint64    // revision
	changed time.Time // when it was seen first
}

// leads renews our lease, or takes one that has run out, and reports whether this
// edge leads.
func (e *election) leads(ctx context.Context) bool {
	if e.mine {
		sent := time.Now()
		revision, err := e.kv.Update(ctx, leaderKey, []byte(e.name), e.last)
		switch {
		case err == nil:
			e.last, e.changed = revision, sent
		case errors.Is(err, jetstream.ErrKeyExists): // what a wrong revision is
			e.mine = false
		}
		return e.mine && time.Since(e.changed) < lease/2
	}
	entry, err := e.kv.Get(ctx, leaderKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		revision, err := e.kv.Create(ctx, leaderKey, []byte(e.name))
		return e.took(revision, err)
	}
	if err != nil {
		return false
	}
	e.leader = string(entry.Value()[:min(len(entry.Value()), 128)])
	if entry.Revision() != e.last {
		e.last, e.changed = entry.Revision(), time.Now()
		return false
	}
	if time.Since(e.changed) < lease {
		return false
	}
	revision, err := e.kv.Update(ctx, leaderKey, []byte(e.name), e.last)
	return e.took(revision, err)
}

func (e *election) took(revision uint64, err error) bool {
	if err == nil {
		e.mine, e.leader, e.last, e.changed = true, e.name, revision, time.Now()
	}
	return err == nil
}

// resign lets another edge lead at once.
func (e *election) resign(ctx context.Context) {
	if e.mine {
		_ = e.kv.Delete(ctx, leaderKey, jetstream.LastRevision(e.last)) // else the lease runs out
	}
}
