package certstest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/certs"
)

// RunShared tests certs.Shared on key-value stores. open returns a new, empty one as
// two edges see it.
func RunShared(t *testing.T, lease time.Duration, open func(t *testing.T) (a, b hostcalls.KV)) {
	RunStorage(t, func(t *testing.T) Edges {
		a, b := open(t)
		line := &line{KV: a}
		storage := certs.NewShared(line, lease)
		t.Cleanup(func() { _ = storage.Unlock(context.Background(), "a") }) // of whoever crashed: ends its goroutine
		return Edges{A: storage, B: certs.NewShared(b, lease), Lease: lease, Crash: func() { line.dead.Store(true) }}
	})
}

// line is what leads an edge to a store.
type line struct {
	hostcalls.KV
	dead atomic.Bool
}

// Put implements hostcalls.KV.
func (l *line) Put(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	if l.dead.Load() {
		return 0, errors.New("the edge is dead")
	}
	return l.KV.Put(ctx, key, value, at, expires)
}
