package acme_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/certs/storage"
)

func TestACMERestartWithoutCA(t *testing.T) {
	p := startPebble(t)
	dir, key := t.TempDir(), bytes.Repeat([]byte("k"), 32)
	e := startEdge(t, p, dir, nil, acme.Options{Key: key})
	validateAt(p, e)
	cert := e.mustGet(t, p, "alice.restart-without-c-a.example")
	e.stop()
	p.API.Shut()
	seen := p.API.Seen.Load()
	again := startEdge(t, p, dir, nil, acme.Options{Key: key}).mustGet(t, p, "alice.restart-without-c-a.example")
	if again.SerialNumber.Cmp(cert.SerialNumber) != 0 || p.API.Seen.Load() != seen {
		t.Error("another certificate, or the CA was asked")
	}
}

func TestACMETamperedStorage(t *testing.T) {
	p := startPebble(t)
	dir, key := t.TempDir(), bytes.Repeat([]byte("k"), 32)
	e := startEdge(t, p, dir, nil, acme.Options{Key: key})
	validateAt(p, e)
	e.mustGet(t, p, "alice.tampered-storage.example")
	found, err := filepath.Glob(dir + "/certificates/*/alice.tampered-storage.example/alice.tampered-storage.example.key")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	box := read(t, found[0])
	box[len(box)-1] ^= 1
	if err := os.WriteFile(found[0], box, 0o600); err != nil {
		t.Fatal(err)
	}
	e.mustGet(t, p, "alice.tampered-storage.example") // from memory
	for name, o := range map[string]acme.Options{"bent": {Key: key}, "another key": {Key: bytes.Repeat([]byte("x"), 32)}, "no key": {}} {
		e := startEdge(t, p, dir, nil, o)
		if _, err := e.get(t, p, "alice.tampered-storage.example"); err == nil {
			t.Errorf("%s: served", name)
		}
	}
	if p.Orders(t) != 1 {
		t.Errorf("%d orders", p.Orders(t))
	}
}

// TestACMETornStorage orders anew what an edge that died left in halves.
func TestACMETornStorage(t *testing.T) {
	p := startPebble(t)
	for name, tear := range map[string]func(crt, key string) error{
		"another key": func(_, key string) error {
			_, other := certstest.WritePair(t, filepath.Dir(key), "x", time.Now(), "x.example")
			return os.Rename(other, key)
		},
		"no key":   func(_, key string) error { return os.Remove(key) },
		"half":     func(crt, _ string) error { return os.Truncate(crt, 300) },
		"metadata": func(crt, _ string) error { return os.Truncate(strings.TrimSuffix(crt, "crt")+"json", 10) },
	} {
		dir, host := t.TempDir(), strings.ReplaceAll(name, " ", "-")+".torn.example"
		e := startEdge(t, p, dir, nil, acme.Options{})
		validateAt(p, e)
		first := e.mustGet(t, p, host)
		e.stop()
		found, err := filepath.Glob(dir + "/certificates/*/*/*.crt")
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if err := tear(found[0], strings.TrimSuffix(found[0], "crt")+"key"); err != nil {
			t.Fatal(err)
		}
		e = startEdge(t, p, dir, nil, acme.Options{})
		validateAt(p, e)
		if cert, err := e.get(t, p, host); err != nil || cert.SerialNumber.Cmp(first.SerialNumber) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		e.stop()
	}
}

// TestACMELockOfTheDead takes over the lock of an edge that died while it made an order.
func TestACMELockOfTheDead(t *testing.T) {
	p := startPebble(t)
	const lease = 2 * time.Second
	kv := memorykv.New(hostcalls.Quota{})
	line := &certstest.Line{KV: kv}
	dead := storage.NewShared(line, lease)
	const lock = "terrane_alice.lock-of-the-dead.example"
	if err := dead.Lock(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dead.Unlock(context.Background(), lock) }) // ends its goroutine
	line.Cut()
	e := startEdge(t, p, "", nil, acme.Options{Storage: storage.NewShared(kv, lease)})
	validateAt(p, e)
	e.mustGet(t, p, "alice.lock-of-the-dead.example")
}

func TestACMECleansUp(t *testing.T) {
	dir := t.TempDir()
	folder := newFolder(t, dir, 0)
	old := filepath.Join(dir, "old")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-100 * day)
	cert, _ := certstest.WritePair(t, old, "gone", long, "gone.example")
	expired := read(t, cert)
	for key, value := range map[string][]byte{
		"certificates/ca/gone.example/gone.example.crt": expired, "certificates/ca/gone.example/gone.example.key": nil,
		"certificates/ca/gone.example/gone.example.json": nil, "terrane/failures/gone.example": nil, "terrane/failures/new.example": nil,
	} {
		if err := folder.Store(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, "terrane/failures/gone.example"), long, long); err != nil {
		t.Fatal(err)
	}
	a, err := acme.New(acme.Options{CAs: []string{"https://127.0.0.1:1/dir"}, Storage: folder, Permit: certstest.Permit})
	if err != nil {
		t.Fatal(err)
	}
	serveEdge(t, a)
	certstest.Eventually(t, "what is old is removed", func() bool {
		return !folder.Exists(t.Context(), "certificates/ca/gone.example/gone.example.key") && !folder.Exists(t.Context(), "terrane/failures/gone.example")
	})
	if !folder.Exists(t.Context(), "terrane/failures/new.example") {
		t.Error("a fresh record is removed")
	}
}

// sick is a storage of which nothing is to be had while it is ill.
type sick struct {
	storage.Storage
	ill atomic.Pointer[func(context.Context) error]
}

func (s *sick) suffer(ill func(context.Context) error) { s.ill.Store(&ill) }

func (s *sick) well(ctx context.Context) error {
	if ill := s.ill.Load(); ill != nil {
		return (*ill)(ctx)
	}
	return nil
}

func (s *sick) Load(ctx context.Context, key string) ([]byte, error) {
	if err := s.well(ctx); err != nil {
		return nil, err
	}
	return s.Storage.Load(ctx, key)
}

func (s *sick) Store(ctx context.Context, key string, value []byte) error {
	if err := s.well(ctx); err != nil {
		return err
	}
	return s.Storage.Store(ctx, key, value)
}

func (s *sick) Delete(ctx context.Context, key string) error {
	if err := s.well(ctx); err != nil {
		return err
	}
	return s.Storage.Delete(ctx, key)
}

func (s *sick) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	if err := s.well(ctx); err != nil {
		return nil, err
	}
	return s.Storage.List(ctx, prefix, recursive)
}

func (s *sick) Stat(ctx context.Context, key string) (storage.KeyInfo, error) {
	if err := s.well(ctx); err != nil {
		return storage.KeyInfo{}, err
	}
	return s.Storage.Stat(ctx, key)
}

func (s *sick) Lock(ctx context.Context, name string) error {
	if err := s.well(ctx); err != nil {
		return err
	}
	return s.Storage.Lock(ctx, name)
}

func (s *sick) Unlock(ctx context.Context, name string) error {
	if err := s.well(ctx); err != nil {
		return err
	}
	return s.Storage.Unlock(ctx, name)
}

// TestACMEStorageIsIll takes the storage away, with a renewal due: who is up stays up,
// others are refused in bounded time and without an order, and it ends when the storage is back.
func TestACMEStorageIsIll(t *testing.T) {
	p := startPebble(t)
	for name, ill := range map[string]func(context.Context) error{
		"no-quorum": func(context.Context) error { return errors.New("no quorum") },
		"hangs": func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, clock := &sick{Storage: newFolder(t, t.TempDir(), 0)}, new(clock)
			e := startEdge(t, p, "", clock, acme.Options{Storage: store})
			validateAt(p, e)
			alice, bob := "alice."+name+".example", "bob."+name+".example"
			first := e.mustGet(t, p, alice)
			orders := p.Orders(t)
			store.suffer(ill)
			clock.advance(80 * day)
			waiting := make(chan error, 1)
			go func() {
				_, err := e.get(t, p, bob)
				waiting <- err
			}()
			if cert := e.mustGet(t, p, alice); cert.SerialNumber.Cmp(first.SerialNumber) != 0 {
				t.Error("another certificate")
			}
			if err := <-waiting; err == nil || p.Orders(t) != orders {
				t.Errorf("%v, %d orders", err, p.Orders(t)-orders)
			}
			e.mustGet(t, p, alice)
			asking, cancel := context.WithTimeout(t.Context(), time.Second)
			if s := e.acme.Status(asking, alice); s.Problem == "" || s.Expires.IsZero() {
				t.Errorf("%+v", s)
			}
			cancel()
			store.ill.Store(nil)
			certstest.Eventually(t, "it is renewed", func() bool {
				clock.advance(time.Second)
				return e.mustGet(t, p, alice).SerialNumber.Cmp(first.SerialNumber) != 0
			})
			e.mustGet(t, p, bob)
			store.suffer(ill)
			e.stop() // returns
		})
	}
}
