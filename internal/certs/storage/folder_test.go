package storage_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/certs/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newFolder(t *testing.T, dir string, lease time.Duration) *storage.Folder {
	t.Helper()
	f, err := storage.NewFolder(storage.FolderOptions{Dir: dir, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func folders(t *testing.T) certstest.Edges {
	dir := t.TempDir()
	a := newFolder(t, dir, time.Second)
	t.Cleanup(func() { storage.Crash(a) })
	return certstest.Edges{A: a, B: newFolder(t, dir, time.Second), Lease: time.Second, Crash: func() { storage.Crash(a) }}
}

func TestFolder(t *testing.T) { certstest.RunStorage(t, folders) }

func TestSealedFolder(t *testing.T) {
	certstest.RunStorage(t, func(t *testing.T) certstest.Edges {
		e := folders(t)
		e.A, e.B = seal(t, e.A, "one"), seal(t, e.B, "one")
		return e
	})
}

func seal(t *testing.T, s storage.Storage, secret string) storage.Storage {
	t.Helper()
	sealed, err := storage.Sealed(s, bytes.Repeat([]byte(secret), 32))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	f := newFolder(t, dir, 0)
	if err := f.Store(t.Context(), "c/d", []byte("secret")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{dir: os.ModeDir | 0o700, filepath.Join(dir, "c"): os.ModeDir | 0o700, filepath.Join(dir, "c/d"): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestSealedValues(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	f := newFolder(t, dir, 0)
	s := seal(t, f, "one")
	value := []byte("-----BEGIN EC PRIVATE KEY-----")
	for _, key := range []string{"a/key", "b/key"} {
		if err := s.Store(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "a", "key")
	box := read(t, file)
	if bytes.Contains(box, value[5:12]) {
		t.Fatal("the key lies there in the clear")
	}
	bent := bytes.Clone(box)
	bent[len(bent)-20] ^= 1
	for name, content := range map[string][]byte{
		"bent": bent, "cut": box[:len(box)-1], "another key's value": read(t, filepath.Join(dir, "b", "key")), "mark only": box[:17],
		"plain": value, "empty": {},
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Load(ctx, "a/key"); !errors.Is(err, storage.ErrSealed) || got != nil || !strings.Contains(err.Error(), "a/key") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := seal(t, f, "two").Load(ctx, "b/key"); !errors.Is(err, storage.ErrSealed) {
		t.Errorf("with another secret: %v", err)
	}
	if _, err := storage.Sealed(f, []byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
