package folder

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/terrane/terrane/internal/disktest"
)

// put writes a file and the folders above it.
func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func mount(t *testing.T, source, dir, kind string, flags uintptr, data string) {
	t.Helper()
	err := unix.Mount(source, dir, kind, flags, data)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) {
		t.Skip("cannot mount: not root, or no " + kind)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// TestMountsBelowRoot: each folder and each file below the root may be a mount, and
// is judged by its own file system.
func TestMountsBelowRoot(t *testing.T) {
	foreign := func(t *testing.T, dir string) {
		t.Helper()
		under := t.TempDir()
		put(t, filepath.Join(under, "i.html"), "x")
		put(t, filepath.Join(under, "alice/i.html"), "x")
		disktest.MountForeign(t, under, dir, false)
	}
	tmpfs := func(t *testing.T, dir string) {
		t.Helper()
		mount(t, "tmpfs", dir, "tmpfs", 0, "")
		put(t, filepath.Join(dir, "i.html"), "x")
	}
	for _, tt := range []struct {
		name  string
		mount func(t *testing.T, dir string)
		alice time.Duration // how long the folders must keep still
		bob   time.Duration
	}{
		{"none", func(*testing.T, string) {}, settleLocal, settleLocal},
		{"tenant", func(t *testing.T, dir string) { foreign(t, filepath.Join(dir, "alice")) }, settleRemote, settleLocal},
		{"folder", func(t *testing.T, dir string) { foreign(t, filepath.Join(dir, "alice/sub")) }, settleRemote, settleLocal},
		{"file", func(t *testing.T, dir string) {
			under := t.TempDir()
			foreign(t, under)
			mount(t, filepath.Join(under, "i.html"), filepath.Join(dir, "alice/i.html"), "", unix.MS_BIND, "")
		}, settleRemote, settleLocal},
		{"ramfs", func(t *testing.T, dir string) {
			mount(t, "ramfs", filepath.Join(dir, "alice"), "ramfs", 0, "")
			put(t, filepath.Join(dir, "alice/i.html"), "x")
		}, settleRemote, settleLocal},
		{"volume", func(t *testing.T, dir string) { tmpfs(t, filepath.Join(dir, "alice")) }, settleLocal, settleLocal},
		{"overlay", func(t *testing.T, dir string) {
			lower, upper, work := t.TempDir(), t.TempDir(), t.TempDir()
			put(t, filepath.Join(lower, "i.html"), "x")
			mount(t, "overlay", filepath.Join(dir, "alice"), "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work)
		}, settleLocal, settleLocal},
		{"volume on a foreign root", func(t *testing.T, dir string) {
			under := t.TempDir()
			put(t, filepath.Join(under, "alice/.here"), "")
			put(t, filepath.Join(under, "bob/i.html"), "x")
			disktest.MountForeign(t, under, dir, false)
			tmpfs(t, filepath.Join(dir, "alice"))
		}, settleLocal, settleRemote},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "alice/i.html"), "x")
			put(t, filepath.Join(dir, "alice/sub/i.html"), "x")
			put(t, filepath.Join(dir, "bob/i.html"), "x")
			f := Open(t.Context(), Options{Path: dir})
			defer f.Close() //nolint:errcheck // a test
			look := func() {
				t.Helper()
				if _, err := f.Look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			look() // the mount comes while the store is followed
			tt.mount(t, dir)
			f.full = time.Time{}
			look()
			if got := f.seen["alice"].settle; got != tt.alice {
				t.Errorf("alice's folder is taken after %v, want %v", got, tt.alice)
			}
			if got := f.seen["bob"].settle; got != tt.bob {
				t.Errorf("bob's folder is taken after %v, want %v", got, tt.bob)
			}
		})
	}
}

// TestForeignListIsReadEachTime: what lies above tenants' folders is read at each look
// where its change times cannot be trusted.
func TestForeignListIsReadEachTime(t *testing.T) {
	dir, under := t.TempDir(), t.TempDir()
	put(t, filepath.Join(dir, "a/here"), "")
	put(t, filepath.Join(under, "alice/i.html"), "x")
	disktest.MountForeign(t, under, filepath.Join(dir, "a"), false)
	f := Open(t.Context(), Options{Path: dir, Depth: 2})
	defer f.Close() //nolint:errcheck // a test
	info, err := os.Stat(under)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bob", "carol"} {
		if _, err := f.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(under, name, "i.html"), "x")
		if err := os.Chtimes(under, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		look, err := f.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := look.Folders["a/"+name]; !ok {
			t.Errorf("%s is not found", name)
		}
	}
}
