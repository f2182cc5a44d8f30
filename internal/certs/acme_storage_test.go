package certs_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/certs"
)

func TestACMERestartWithoutCA(t *testing.T) {
	p := startPebble(t)
	dir, key := t.TempDir(), bytes.Repeat([]byte("k"), 32)
	e := startEdge(t, p, dir, nil, certs.ACMEOptions{Key: key})
	p.validateAt(e)
	cert := e.mustGet(t, p, "alice.restart-without-c-a.example")
	e.stop()
	p.api.shut()
	seen := p.api.seen.Load()
	again := startEdge(t, p, dir, nil, certs.ACMEOptions{Key: key}).mustGet(t, p, "alice.restart-without-c-a.example")
	if again.SerialNumber.Cmp(cert.SerialNumber) != 0 || p.api.seen.Load() != seen {
		t.Error("another certificate, or the CA was asked")
	}
}

func TestACMETamperedStorage(t *testing.T) {
	p := startPebble(t)
	dir, key := t.TempDir(), bytes.Repeat([]byte("k"), 32)
	e := startEdge(t, p, dir, nil, certs.ACMEOptions{Key: key})
	p.validateAt(e)
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
	for name, o := range map[string]certs.ACMEOptions{"bent": {Key: key}, "another key": {Key: bytes.Repeat([]byte("x"), 32)}, "no key": {}} {
		e := startEdge(t, p, dir, nil, o)
		if _, err := e.get(t, p, "alice.tampered-storage.example"); err == nil {
			t.Errorf("%s: served", name)
		}
	}
	if p.orders(t) != 1 {
		t.Errorf("%d orders", p.orders(t))
	}
}

// TestACMETornStorage orders anew what an edge that died left in halves.
func TestACMETornStorage(t *testing.T) {
	p := startPebble(t)
	for name, tear := range map[string]func(crt, key string) error{
		"another key": func(_, key string) error {
			return os.Rename(pairUntil(t, filepath.Dir(key), "x", time.Now(), "x.example").Key, key)
		},
		"no key":   func(_, key string) error { return os.Remove(key) },
		"half":     func(crt, _ string) error { return os.Truncate(crt, 300) },
		"metadata": func(crt, _ string) error { return os.Truncate(strings.TrimSuffix(crt, "crt")+"json", 10) },
	} {
		dir, host := t.TempDir(), strings.ReplaceAll(name, " ", "-")+".torn.example"
		e := startEdge(t, p, dir, nil, certs.ACMEOptions{})
		p.validateAt(e)
		first := e.mustGet(t, p, host)
		e.stop()
		found, err := filepath.Glob(dir + "/certificates/*/*/*.crt")
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		if err := tear(found[0], strings.TrimSuffix(found[0], "crt")+"key"); err != nil {
			t.Fatal(err)
		}
		e = startEdge(t, p, dir, nil, certs.ACMEOptions{})
		p.validateAt(e)
		if cert, err := e.get(t, p, host); err != nil || cert.SerialNumber.Cmp(first.SerialNumber) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		e.stop()
	}
}

func TestACMELockOfTheDead(t *testing.T) {
	p := startPebble(t)
	dir := t.TempDir()
	dead := newFolder(t, dir, 2*time.Second)
	if err := dead.Lock(t.Context(), "terrane_alice.lock-of-the-dead.example"); err != nil {
		t.Fatal(err)
	}
	certs.Crash(dead)
	e := startEdge(t, p, dir, nil, certs.ACMEOptions{})
	p.validateAt(e)
	e.mustGet(t, p, "alice.lock-of-the-dead.example")
}

func TestACMECleansUp(t *testing.T) {
	dir := t.TempDir()
	storage := newFolder(t, dir, 0)
	old := filepath.Join(dir, "old")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-100 * day)
	expired := read(t, pairUntil(t, old, "gone", long, "gone.example").Cert)
	for key, value := range map[string][]byte{
		"certificates/ca/gone.example/gone.example.crt": expired, "certificates/ca/gone.example/gone.example.key": nil,
		"certificates/ca/gone.example/gone.example.json": nil, "terrane/failures/gone.example": nil, "terrane/failures/new.example": nil,
	} {
		if err := storage.Store(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(dir, "terrane/failures/gone.example"), long, long); err != nil {
		t.Fatal(err)
	}
	a, err := certs.NewACME(certs.ACMEOptions{CAs: []string{"https://127.0.0.1:1/dir"}, Storage: storage, Permit: permitExample})
	if err != nil {
		t.Fatal(err)
	}
	serveEdge(t, a)
	eventually(t, "what is old is removed", func() bool {
		return !storage.Exists(t.Context(), "certificates/ca/gone.example/gone.example.key") && !storage.Exists(t.Context(), "terrane/failures/gone.example")
	})
	if !storage.Exists(t.Context(), "terrane/failures/new.example") {
		t.Error("a fresh record is removed")
	}
}

// hanging is a storage that stops answering.
type hanging struct {
	certs.Storage
	now atomic.Bool
}

func (h *hanging) Load(ctx context.Context, key string) ([]byte, error) {
	if h.now.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.Storage.Load(ctx, key)
}

func TestACMEStorageHangs(t *testing.T) {
	p := startPebble(t)
	storage := &hanging{Storage: newFolder(t, t.TempDir(), 0)}
	e := startEdge(t, p, "", nil, certs.ACMEOptions{Storage: storage})
	p.validateAt(e)
	e.mustGet(t, p, "alice.storage-hangs.example")
	storage.now.Store(true)
	waiting := make(chan error, 1)
	go func() {
		_, err := e.get(t, p, "bob.storage-hangs.example")
		waiting <- err
	}()
	e.mustGet(t, p, "alice.storage-hangs.example")
	if err := <-waiting; err == nil || p.orders(t) != 1 {
		t.Errorf("%v, %d orders", err, p.orders(t))
	}
}
