package storage

import (
	"context"
	"time"

	"github.com/terrane/terrane/hostcalls"
)

const refreshTimeout = time.Second

// Refreshed returns kv, whose reads and lists are preceded by refresh, which brings them up to
// date. If refresh fails or takes more than a second, they return what is at hand: an edge
// that is cut off serves the certificates that it knows of.
func Refreshed(kv hostcalls.KV, refresh func(context.Context) error) hostcalls.KV {
	return refreshed{kv, refresh}
}

type refreshed struct {
	hostcalls.KV
	refresh func(context.Context) error
}

// Get implements hostcalls.KV.
func (r refreshed) Get(ctx context.Context, key string) (hostcalls.KVEntry, error) {
	r.attempt(ctx)
	return r.KV.Get(ctx, key)
}

// List implements hostcalls.KV.
func (r refreshed) List(ctx context.Context, prefix, after string, limit int) ([]string, error) {
	r.attempt(ctx)
	return r.KV.List(ctx, prefix, after, limit)
}

func (r refreshed) attempt(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	_ = r.refresh(ctx) // what is at hand is used then
}
