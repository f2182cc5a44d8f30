package state_test

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// TestDiskFull fills the disk under the state: what was confirmed stays readable, over a
// restart too.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system wants root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("no small file system: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // it ends with this process's namespace anyway
	begin := func() (hostcalls.KV, func()) {
		l, err := lattice.New(lattice.Options{Name: "ams1", Region: "ams", Dir: dir, Logger: latticetest.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		stopLattice := latticetest.Run(t, l.Run)
		s, err := state.New(state.Options{Lattice: l, Bucket: "terrane_state", Timeout: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		stopState := latticetest.Run(t, s.Run)
		up(t, s)
		return s.KV("/git/alice", state.Near), func() { stopState(); stopLattice() }
	}
	kv, stop := begin()
	value := bytes.Repeat([]byte("v"), 64<<10)
	confirmed := 0
	for ; ; confirmed++ {
		_, err := kv.Put(t.Context(), strconv.Itoa(confirmed), value, 0, time.Time{})
		if errors.Is(err, hostcalls.ErrFull) || confirmed > 300 {
			t.Fatalf("the disk is not full after %d writes: %v", confirmed, err)
		}
		if err != nil {
			t.Logf("after %d writes: %v", confirmed, err)
			break
		}
	}
	check := func(when string) {
		for i := range confirmed {
			if e, err := kv.Get(t.Context(), strconv.Itoa(i)); err != nil || !bytes.Equal(e.Value, value) {
				t.Fatalf("%s %d of %d: %d bytes, %v", when, i, confirmed, len(e.Value), err)
			}
		}
	}
	check("on a full disk")
	stop()
	kv, _ = begin()
	check("after a restart")
}
