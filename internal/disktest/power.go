package disktest

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Losing is a disk that loses power: a file system of its own whose device is a file.
// Nothing reaches the file by itself, only what is synced and hardly more.
type Losing struct {
	Dir  string
	file string
}

// NewLosing mounts one of size bytes at a folder, until the test ends.
func NewLosing(t testing.TB, dir string, size int64) *Losing {
	t.Helper()
	root(t)
	d := &Losing{Dir: dir, file: filepath.Join(t.TempDir(), "disk")}
	check(t, os.WriteFile(d.file, nil, 0o600))
	check(t, os.Truncate(d.file, size))
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", "-F", d.file).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v %s", err, out)
	}
	d.mount(t)
	t.Cleanup(func() { _ = unix.Unmount(d.Dir, unix.MNT_DETACH) })
	return d
}

func (d *Losing) mount(t testing.TB) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "mount", "-o", "loop,commit=900", d.file, d.Dir).CombinedOutput(); err != nil { // 15 min
		t.Skipf("no loop device here: %v %s", err, out)
	}
}

// Cut ends the power of all the disks at once; they come back with what is in their
// files. Whatever used them must be dead.
func Cut(t testing.TB, disks ...*Losing) {
	t.Helper()
	for _, d := range disks {
		src, err := os.Open(d.file)
		check(t, err)
		dst, err := os.Create(d.file + ".after")
		check(t, err)
		_, err = io.Copy(dst, src)
		check(t, err)
		check(t, src.Close())
		check(t, dst.Close())
	}
	for _, d := range disks {
		check(t, unix.Unmount(d.Dir, 0))
		check(t, os.Rename(d.file+".after", d.file))
		d.mount(t)
	}
}
