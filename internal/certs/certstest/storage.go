// Package certstest is the contract of storage.Storage as tests, which every storage
// passes: what certmagic documents, and what terrane relies on beyond. It also runs
// Pebble, a real ACME server, for tests of whatever gets certificates.
package certstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/certs/storage"
)

// Edges are storages that share what they keep, as those of two edges do.
type Edges struct {
	A, B  storage.Storage
	Lease time.Duration // how long a lock outlives its holder
	Crash func()        // ends what keeps the locks of A alive, as the death of its process would
}

// RunStorage tests the storages that newEdges makes, empty ones for each call.
func RunStorage(t *testing.T, newEdges func(t *testing.T) Edges) {
	for name, test := range map[string]func(*testing.T, Edges){
		"values": values, "directories": directories, "missing": missing, "hostile keys": hostileKeys, "overwriting": overwriting,
		"ended context": endedContext, "lock excludes": lockExcludes, "lock waits": lockWaits, "lock ends with context": lockContext,
		"lock of the dead": lockOfTheDead, "lock outlives its lease": lockOutlivesLease, "unlock of others": unlockOfOthers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newEdges(t))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func values(t *testing.T, e Edges) {
	ctx := t.Context()
	long := bytes.Repeat([]byte{0, 1, '\n', 0xff}, 16<<10)
	for i, value := range [][]byte{[]byte("one"), {}, long, []byte("short again")} {
		before := time.Now().Add(-time.Minute)
		must(t, e.A.Store(ctx, "certificates/ca.example-dir/a.example/a.example.key", value))
		got, err := e.B.Load(ctx, "certificates/ca.example-dir/a.example/a.example.key")
		if err != nil || !bytes.Equal(got, value) {
			t.Errorf("%d: %d bytes, %v; want %d", i, len(got), err, len(value))
		}
		info, err := e.B.Stat(ctx, "certificates/ca.example-dir/a.example/a.example.key")
		if err != nil || !info.IsTerminal || info.Key != "certificates/ca.example-dir/a.example/a.example.key" || info.Modified.Before(before) {
			t.Errorf("%d: %+v, %v", i, info, err)
		}
	}
	must(t, e.B.Delete(ctx, "certificates/ca.example-dir/a.example/a.example.key"))
	if _, err := e.A.Load(ctx, "certificates/ca.example-dir/a.example/a.example.key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after Delete: %v", err)
	}
	if e.A.Exists(ctx, "certificates") {
		t.Error("a directory of nothing exists")
	}
}

func directories(t *testing.T, e Edges) {
	ctx := t.Context()
	for _, key := range []string{"a/b/c", "a/b/d", "a/e", "ab/f", "a/b/g@h.example/wildcard_.i"} {
		must(t, e.A.Store(ctx, key, []byte(key)))
	}
	for _, tt := range []struct {
		prefix    string
		recursive bool
		want      string
	}{
		{"a", false, "a/b a/e"}, {"a", true, "a/b/c a/b/d a/b/g@h.example/wildcard_.i a/e"},
		{"a/b", false, "a/b/c a/b/d a/b/g@h.example"}, {"ab", false, "ab/f"},
	} {
		keys, err := e.B.List(ctx, tt.prefix, tt.recursive)
		keys = slices.DeleteFunc(keys, func(key string) bool { // directories may be named when all below is
			info, err := e.B.Stat(ctx, key)
			return tt.recursive && err == nil && !info.IsTerminal
		})
		slices.Sort(keys)
		if got := strings.Join(keys, " "); err != nil || got != tt.want {
			t.Errorf("List(%s, %t): %s, %v; want %s", tt.prefix, tt.recursive, got, err, tt.want)
		}
	}
	if info, err := e.B.Stat(ctx, "a/b"); err != nil || info.IsTerminal {
		t.Errorf("a/b: %+v, %v", info, err)
	}
	for key, want := range map[string]bool{"a": true, "a/b": true, "a/b/c": true, "a/b/c/d": false, "b": false, "a/x": false} {
		if e.B.Exists(ctx, key) != want {
			t.Errorf("Exists(%s): %t", key, !want)
		}
	}
	must(t, e.B.Delete(ctx, "a/b"))
	keys, err := e.A.List(ctx, "a", true)
	if err != nil || strings.Join(keys, " ") != "a/e" {
		t.Errorf("after Delete: %v, %v", keys, err)
	}
	if !e.A.Exists(ctx, "ab/f") {
		t.Error("Delete(a/b) deleted ab")
	}
}

func missing(t *testing.T, e Edges) {
	ctx := t.Context()
	if _, err := e.A.Load(ctx, "no/such"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load: %v", err)
	}
	if _, err := e.A.Stat(ctx, "no/such"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Stat: %v", err)
	}
	if keys, err := e.A.List(ctx, "no", true); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("List: %v, %v", keys, err)
	}
	if err := e.A.Delete(ctx, "no/such"); err != nil {
		t.Errorf("Delete: %v", err)
	}
}

func hostileKeys(t *testing.T, e Edges) {
	for _, key := range []string{"", "../a", "a/../../b", "/etc/x", "a//b", "a/", "a/./b", "..", "a\x00b"} {
		if err := e.A.Store(t.Context(), key, []byte("x")); err == nil {
			t.Errorf("Store(%q) is taken", key)
		}
		if _, err := e.A.Load(t.Context(), key); err == nil {
			t.Errorf("Load(%q) is taken", key)
		}
	}
}

// overwriting wants values whole while they change, and folders that vanish meanwhile.
func overwriting(t *testing.T, e Edges) {
	ctx := t.Context()
	var wg sync.WaitGroup
	for i, s := range []storage.Storage{e.A, e.B, e.A, e.B} {
		value := bytes.Repeat([]byte{byte('a' + i)}, 4000)
		wg.Go(func() {
			for range 50 {
				if err := s.Store(ctx, "one/key", value); err != nil {
					t.Errorf("Store: %v", err)
				}
				if err := s.Store(ctx, fmt.Sprintf("two/%d", i), value); err != nil {
					t.Errorf("Store: %v", err)
				}
				if err := s.Delete(ctx, fmt.Sprintf("two/%d", i)); err != nil {
					t.Errorf("Delete: %v", err)
				}
				got, err := s.Load(ctx, "one/key")
				if err != nil || len(got) != 4000 || !bytes.Equal(got, bytes.Repeat(got[:1], 4000)) {
					t.Errorf("Load: %d bytes, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func endedContext(t *testing.T, e Edges) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.A.Store(ctx, "a/b", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Store: %v", err)
	}
	if _, err := e.A.Load(ctx, "a/b"); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v", err)
	}
	if err := e.A.Lock(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v", err)
	}
}

func lockExcludes(t *testing.T, e Edges) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var holders, turns atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		s := []storage.Storage{e.A, e.B}[i%2]
		wg.Go(func() {
			for range 4 {
				if err := s.Lock(ctx, "issue_cert_a.example"); err != nil {
					t.Errorf("Lock: %v", err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two hold one lock")
				}
				turns.Add(1)
				holders.Add(-1)
				if err := s.Unlock(ctx, "issue_cert_a.example"); err != nil {
					t.Errorf("Unlock: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if turns.Load() != 32 {
		t.Errorf("%d turns", turns.Load())
	}
}

// locked takes a lock in the background.
func locked(t *testing.T, s storage.Storage, name string) <-chan error {
	got := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	go func() { got <- s.Lock(ctx, name) }()
	return got
}

func lockWaits(t *testing.T, e Edges) {
	ctx := t.Context()
	must(t, e.A.Lock(ctx, "a/b *"))
	must(t, e.A.Lock(ctx, "another"))
	same, other := locked(t, e.A, "a/b *"), locked(t, e.B, "a/b *")
	select {
	case err := <-same:
		t.Fatalf("locked twice by one edge: %v", err)
	case err := <-other:
		t.Fatalf("locked twice: %v", err)
	case <-time.After(500 * time.Millisecond):
	}
	must(t, e.A.Unlock(ctx, "a/b *"))
	select {
	case err := <-same:
		must(t, err)
		must(t, e.A.Unlock(ctx, "a/b *"))
		must(t, <-other)
		must(t, e.B.Unlock(ctx, "a/b *"))
	case err := <-other:
		must(t, err)
		must(t, e.B.Unlock(ctx, "a/b *"))
		must(t, <-same)
		must(t, e.A.Unlock(ctx, "a/b *"))
	}
	must(t, e.A.Unlock(ctx, "another"))
}

func lockContext(t *testing.T, e Edges) {
	must(t, e.A.Lock(t.Context(), "a"))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := e.B.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Lock: %v", err)
	}
	must(t, e.A.Unlock(ctx, "a")) // also when its context has ended
	must(t, e.B.Lock(t.Context(), "a"))
	must(t, e.B.Unlock(t.Context(), "a"))
}

func lockOfTheDead(t *testing.T, e Edges) {
	must(t, e.A.Lock(t.Context(), "a"))
	e.Crash()
	must(t, <-locked(t, e.B, "a"))
	must(t, e.B.Unlock(t.Context(), "a"))
}

func lockOutlivesLease(t *testing.T, e Edges) {
	must(t, e.A.Lock(t.Context(), "a"))
	ctx, cancel := context.WithTimeout(t.Context(), 2*e.Lease)
	defer cancel()
	if err := e.B.Lock(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a lock was taken from its living holder: %v", err)
	}
	must(t, e.A.Unlock(t.Context(), "a"))
}

func unlockOfOthers(t *testing.T, e Edges) {
	must(t, e.A.Lock(t.Context(), "a"))
	if err := e.B.Unlock(t.Context(), "a"); err == nil {
		t.Error("another edge's lock is unlocked")
	}
	must(t, e.A.Unlock(t.Context(), "a"))
}
