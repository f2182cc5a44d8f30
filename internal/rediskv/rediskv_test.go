package rediskv_test

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/kvtest"
	"github.com/terrane/terrane/internal/rediskv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a Redis server of the test's own, on a socket in its folder.
type server struct {
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

func start(t testing.TB, dir string) *server {
	t.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		if bin, err = exec.LookPath("valkey-server"); err != nil {
			t.Skip("neither redis-server nor valkey-server is installed")
		}
	}
	s := &server{dir: dir, done: make(chan struct{})}
	s.cmd = exec.Command(bin, "--port", "0", "--unixsocket", s.socket(), "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always", "--enable-debug-command", "yes")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(s.done); _ = s.cmd.Wait() }() // killed
	t.Cleanup(s.kill)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(10 * time.Second); ; {
		if conn, err := new(net.Dialer).DialContext(t.Context(), "unix", s.socket()); err == nil {
			_ = conn.Close()
			return s
		}
		select {
		case <-tick.C:
		case <-s.done:
			t.Fatal("the server has ended")
		case <-deadline:
			t.Fatal("the server does not answer")
		}
	}
}

func (s *server) socket() string { return filepath.Join(s.dir, "s") }

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) open(t testing.TB, q hostcalls.Quota) *rediskv.Store {
	t.Helper()
	store, err := rediskv.New(rediskv.Options{URL: "unix://" + s.socket(), Quota: q, Timeout: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func TestConformance(t *testing.T) {
	s := start(t, t.TempDir())
	var tenants atomic.Int32
	open := func(t *testing.T, q hostcalls.Quota) hostcalls.KV {
		return s.open(t, q).KV(fmt.Sprint("/git/tenant", tenants.Add(1)))
	}
	kvtest.Run(t, func(t *testing.T) hostcalls.KV { return open(t, hostcalls.Quota{}) })
	t.Run("quota", func(t *testing.T) { kvtest.RunQuota(t, open) })
}

// TestManyExpired lists around more expired keys than one call sweeps.
func TestManyExpired(t *testing.T) {
	kv := start(t, t.TempDir()).open(t, hostcalls.Quota{}).KV("/git/alice")
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
	s := start(t, dir)
	kv := s.open(t, hostcalls.Quota{}).KV("/git/alice")
	version, err := kv.Put(t.Context(), "key", []byte("acknowledged"), 0, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	s.kill()
	if _, err := kv.Get(t.Context(), "key"); err == nil || strings.Contains(err.Error(), hostcalls.ErrNotFound.Error()) {
		t.Errorf("without a server: %v", err)
	}
	if _, err := kv.Put(t.Context(), "key", nil, version, time.Time{}); err == nil {
		t.Error("stored without a server")
	}
	start(t, dir)
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
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
	kv := start(b, b.TempDir()).open(b, hostcalls.Quota{}).KV("/git/alice")
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
