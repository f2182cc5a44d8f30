package sync_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/terrane/terrane/sync/storetest"
)

// TestPowerCut has an edge on a file system of its own, whose disk is a file. Once the
// edge is dead, the disk holds what was synced and hardly more, as after a power cut:
// a copy of it, mounted, must hold whole releases, and none older than what was live.
func TestPowerCut(t *testing.T) {
	cuts := 5
	if n, err := strconv.Atoi(os.Getenv("TERRANE_POWER_CUTS")); err == nil {
		cuts = n
	}
	dir := t.TempDir()
	disk, data, store := filepath.Join(dir, "disk"), filepath.Join(dir, "data"), filepath.Join(dir, "store")
	check(t, os.Mkdir(data, 0o755))
	check(t, os.WriteFile(disk, nil, 0o600))
	check(t, os.Truncate(disk, 32<<20))
	if os.Geteuid() != 0 {
		t.Skip("mounting wants root")
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", disk).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v %s", err, out)
	}
	attach := func() {
		t.Helper()
		// Nothing reaches the disk by itself for a quarter of an hour.
		if out, err := exec.Command("mount", "-o", "loop,commit=900", disk, data).CombinedOutput(); err != nil {
			t.Skipf("no loop device here: %v %s", err, out)
		}
	}
	detach := func() { check(t, unix.Unmount(data, 0)) }

	t.Cleanup(func() { _ = unix.Unmount(data, unix.MNT_DETACH) }) // of a test that failed

	version := 0
	put := func() {
		version++
		fresh := filepath.Join(store, ".new")
		check(t, os.MkdirAll(fresh, 0o755))
		for _, name := range []string{"version", "copy", fmt.Sprint("only", version)} {
			check(t, os.WriteFile(filepath.Join(fresh, name), fmt.Appendf(nil, "%d\n", version), 0o644))
		}
		check(t, os.RemoveAll(filepath.Join(store, "alice")))
		check(t, os.Rename(fresh, filepath.Join(store, "alice")))
	}
	put()
	for range cuts {
		attach()
		seen := killOne(t, dir, put)
		after := filepath.Join(dir, "after")
		copyFile(t, after, disk)
		detach()
		check(t, os.Rename(after, disk))

		attach()
		check(t, os.Rename(store, store+".away"))
		e := storetest.Start(t, childOptions(dir))
		if seen > 0 {
			e.AwaitMirrored(t)
			got := e.Content(alice, "version")
			n, _ := strconv.ParseInt(strings.TrimSpace(got), 10, 64)
			if n < seen || got != e.Content(alice, "copy") || got != e.Content(alice, fmt.Sprint("only", n)) {
				t.Errorf("after %d was live, the disk has version %q, copy %q", seen, got, e.Content(alice, "copy"))
			}
		}
		e.Stop(t)
		check(t, os.Rename(store+".away", store))
		detach()
	}
}

func copyFile(t *testing.T, to, from string) {
	t.Helper()
	src, err := os.Open(from)
	check(t, err)
	dst, err := os.Create(to)
	check(t, err)
	_, err = io.Copy(dst, src)
	check(t, err)
	check(t, src.Close())
	check(t, dst.Close())
}
