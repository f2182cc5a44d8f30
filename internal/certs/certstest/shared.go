package certstest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/certs/storage"
)

// RunShared tests storage.Shared on key-value stores. open returns a new, empty one as
// two edges see it.
func RunShared(t *testing.T, lease time.Duration, open func(t *testing.T) (a, b hostcalls.KV)) {
	RunStorage(t, func(t *testing.T) Edges {
		a, b := open(t)
		line := &Line{KV: a}
		own := storage.NewShared(line, lease)
		t.Cleanup(func() { _ = own.Unlock(context.Background(), "a") }) // of whoever crashed: ends its goroutine
		return Edges{A: own, B: storage.NewShared(b, lease), Lease: lease, Crash: line.Cut}
	})
}

// Line leads an edge to a store until it is cut.
type Line struct {
	hostcalls.KV
	dead atomic.Bool
}

// Cut makes all further writes fail.
func (l *Line) Cut() { l.dead.Store(true) }

// Put implements hostcalls.KV.
func (l *Line) Put(ctx context.Context, key string, value []byte, at uint64, expires time.Time) (uint64, error) {
	if l.dead.Load() {
		return 0, errors.New("the edge is dead")
	}
	return l.KV.Put(ctx, key, value, at, expires)
}
