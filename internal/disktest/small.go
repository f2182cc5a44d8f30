package disktest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Small is a disk that can be filled.
type Small struct{ Dir string }

// NewSmall mounts one of size bytes ("64m") until the test ends.
func NewSmall(t testing.TB, size string) *Small {
	t.Helper()
	root(t)
	s := &Small{t.TempDir()}
	if err := unix.Mount("tmpfs", s.Dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(s.Dir, unix.MNT_DETACH) })
	return s
}

// Fill has others use the disk, until it has so many bytes left, or as few as it has.
func (s *Small) Fill(t testing.TB, leave int64) {
	t.Helper()
	var fs unix.Statfs_t
	check(t, unix.Statfs(s.Dir, &fs))
	f, err := os.OpenFile(s.hog(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	check(t, err)
	if _, err = io.CopyN(f, zeros{}, max(0, int64(fs.Bavail)*fs.Bsize-leave)); !errors.Is(err, unix.ENOSPC) {
		check(t, err)
	}
	check(t, f.Close())
}

// Empty takes away what Fill has put there.
func (s *Small) Empty(t testing.TB) {
	t.Helper()
	check(t, os.Remove(s.hog()))
}

func (s *Small) hog() string { return filepath.Join(s.Dir, "hog") }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting wants root")
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
