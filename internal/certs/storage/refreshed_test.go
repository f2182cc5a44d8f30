package storage_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/certs/storage"
)

// TestRefreshed: reads and lists see what a refresh brings, and without one what is at hand,
// after a second.
func TestRefreshed(t *testing.T) {
	for name, tt := range map[string]struct {
		refresh func(context.Context, hostcalls.KV) error
		want    string
		after   time.Duration
	}{
		"done": {func(ctx context.Context, kv hostcalls.KV) error {
			e, _ := kv.Get(ctx, "key")
			_, err := kv.Put(ctx, "key", []byte("new"), e.Version, time.Time{})
			return err
		}, "new", 0},
		"no majority": {func(context.Context, hostcalls.KV) error { return errors.New("no majority") }, "old", 0},
		"no answer":   {func(ctx context.Context, _ hostcalls.KV) error { <-ctx.Done(); return ctx.Err() }, "old", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kv, calls := memorykv.New(hostcalls.Quota{}), 0
				if _, err := kv.Put(t.Context(), "key", []byte("old"), 0, time.Time{}); err != nil {
					t.Fatal(err)
				}
				r := storage.Refreshed(kv, func(ctx context.Context) error { calls++; return tt.refresh(ctx, kv) })
				begun := time.Now()
				e, err := r.Get(t.Context(), "key")
				if err != nil || string(e.Value) != tt.want || time.Since(begun) != tt.after {
					t.Errorf("%q, %v after %s", e.Value, err, time.Since(begun))
				}
				if keys, err := r.List(t.Context(), "", "", 10); err != nil || len(keys) != 1 || calls != 2 {
					t.Errorf("%q, %v, %d refreshes", keys, err, calls)
				}
			})
		})
	}
}
