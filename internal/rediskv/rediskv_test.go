package rediskv_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/kvtest"
	"github.com/terrane/terrane/internal/rediskv"
	"github.com/terrane/terrane/internal/rediskv/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, s *redistest.Server, q hostcalls.Quota) *rediskv.Store {
	t.Helper()
	store, err := rediskv.New(rediskv.Options{URL: s.URL, Quota: q, Timeout: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func TestConformance(t *testing.T) {
	s := redistest.Start(t, t.TempDir())
	var tenants atomic.Int32
	tenant := func(t *testing.T, q hostcalls.Quota) hostcalls.KV {
		return open(t, s, q).KV(fmt.Sprint("/git/tenant", tenants.Add(1)))
	}
	kvtest.Run(t, func(t *testing.T) hostcalls.KV { return tenant(t, hostcalls.Quota{}) })
	t.Run("quota", func(t *testing.T) { kvtest.RunQuota(t, tenant) })
}

// TestManyExpired lists around more expired keys than one call sweeps.
func TestManyExpired(t *testing.T) {
	kv := open(t, redistest.Start(t, t.TempDir()), hostcalls.Quota{}).KV("/git/alice")
	expires := time.Now().Add(200 * time.Millisecond)
	for i := range 1500 {
		if _, err := kv.Put(t.Context(), fmt.Sprintf("a%04d", i), nil, 0, expires); err != nil && i == 0 {
			t.Fatal(err)
		}
	}
	if _, err := kv.Put(t.Context(), "b", nil, 0, time.Time{}); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Until(expires))
	if keys, err := kv.List(t.Context(), "", "", 2); err != nil || strings.Join(keys, " ") != "b" {
		t.Errorf("%q, %v", keys, err)
	}
}

func TestServerDies(t *testing.T) {
	dir := t.TempDir()
	s := redistest.Start(t, dir)
	kv := open(t, s, hostcalls.Quota{}).KV("/git/alice")
	version, err := kv.Put(t.Context(), "key", []byte("acknowledged"), 0, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if _, err := kv.Get(t.Context(), "key"); err == nil || strings.Contains(err.Error(), hostcalls.ErrNotFound.Error()) {
		t.Errorf("without a server: %v", err)
	}
	if _, err := kv.Put(t.Context(), "key", nil, version, time.Time{}); err == nil {
		t.Error("stored without a server")
	}
	redistest.Start(t, dir)
	if e, err := kv.Get(t.Context(), "key"); err != nil || string(e.Value) != "acknowledged" || e.Version != version {
		t.Errorf("after the restart: %q at %d, %v", e.Value, e.Version, err)
	}
}

// TestHangingServer stops waiting in time.
func TestHangingServer(t *testing.T) {
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // the test's own
	store, err := rediskv.New(rediskv.Options{URL: "redis://" + ln.Addr().String(), Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // likewise
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := store.KV("/git/alice").Get(ctx, "key"); err == nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

func TestRefusesURLs(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:6379", "http://127.0.0.1", "redis://u:hunter2@:x"} {
		if _, err := rediskv.New(rediskv.Options{URL: url}); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func BenchmarkRedis(b *testing.B) {
	kv := open(b, redistest.Start(b, b.TempDir()), hostcalls.Quota{}).KV("/git/alice")
	b.Run("put", func(b *testing.B) {
		at := uint64(0)
		if e, err := kv.Get(b.Context(), "key"); err == nil {
			at = e.Version
		}
		for b.Loop() {
			var err error
			if at, err = kv.Put(b.Context(), "key", []byte("a value"), at, time.Time{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		for b.Loop() {
			if _, err := kv.Get(b.Context(), "key"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
