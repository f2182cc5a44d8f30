package state_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/disktest"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

const diskFull = "disks that keep it are nearly full"

// writer stores values of 2 KiB, and knows which were confirmed.
type writer struct {
	kv        hostcalls.KV
	confirmed []string
	tried     int
}

var writersValue = bytes.Repeat([]byte("v"), 2<<10)

func (w *writer) write(t *testing.T) error {
	t.Helper()
	return w.writeIn(t.Context())
}

func (w *writer) writeIn(ctx context.Context) error {
	w.tried++
	key := strconv.Itoa(w.tried)
	_, err := w.kv.Put(ctx, key, writersValue, 0, time.Time{})
	if err == nil {
		w.confirmed = append(w.confirmed, key)
	}
	return err
}

// until writes until an error says so.
func (w *writer) until(t *testing.T, text string) {
	t.Helper()
	var err error
	latticetest.Await(t, func() bool { err = w.write(t); return err != nil && strings.Contains(err.Error(), text) },
		func() string { return fmt.Sprintf("after %d writes: %v", len(w.confirmed), err) })
}

// more writes until a write is confirmed again.
func (w *writer) more(t *testing.T) {
	t.Helper()
	var err error
	latticetest.Await(t, func() bool { err = w.write(t); return err == nil }, func() string { return err.Error() })
}

func (w *writer) check(t *testing.T, kv hostcalls.KV, when string) {
	t.Helper()
	for _, key := range w.confirmed {
		var e hostcalls.KVEntry
		var err error
		latticetest.Await(t, func() bool { // a server may be starting its state anew
			e, err = kv.Get(t.Context(), key)
			return err == nil
		}, func() string { return fmt.Sprintf("%s: %s of %d: %v", when, key, len(w.confirmed), err) })
		if !bytes.Equal(e.Value, writersValue) {
			t.Fatalf("%s: %s has %d bytes", when, key, len(e.Value))
		}
	}
}

// TestDiskFull fills the disk under the state: what was confirmed stays readable, and
// writes go on when there is space, even if the server met the end of the disk.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := disktest.NewSmall(t, "64m")
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1, Dirs: []string{disk.Dir}}, latticetest.Region{Name: "fra", Edges: 1})
	home, _ := run(t, net.Node("ams1"), state.Options{Timeout: 2 * time.Second})
	up(t, home)
	far, _ := run(t, net.Node("fra1"), state.Options{Home: "ams", Timeout: 2 * time.Second})
	up(t, far)
	w := writer{kv: home.KV("/git/alice", state.Near)}
	wFar := writer{kv: far.KV("/git/bob", state.Near)}
	wFar.more(t)
	disk.Fill(t, 5<<20)
	w.until(t, diskFull)
	wFar.until(t, diskFull)
	w.check(t, w.kv, "on a full disk")

	disk.Fill(t, 0) // others use it too
	latticetest.Await(t, func() bool {
		_, err := home.KV("/git/alice", state.Strict).Get(t.Context(), "1")
		return err != nil
	}, func() string { return "a proof is written on a disk without space" })
	disk.Empty(t)
	w.more(t)
	wFar.more(t)
	w.check(t, w.kv, "with space again")
	wFar.check(t, home.KV("/git/bob", state.Near), "with space again")
}

// TestDiskFullInCluster fills the disk of one edge of three, then of two.
func TestDiskFullInCluster(t *testing.T) {
	t.Parallel()
	disks := []*disktest.Small{disktest.NewSmall(t, "64m"), disktest.NewSmall(t, "64m")}
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3, Dirs: []string{disks[0].Dir, disks[1].Dir}})
	var stores []*state.Store
	for _, node := range net.Nodes() {
		s, _ := run(t, node, state.Options{Timeout: 4 * time.Second})
		up(t, s)
		stores = append(stores, s)
	}
	w := writer{kv: stores[0].KV("/git/alice", state.Near)}
	w.more(t)

	disks[0].Fill(t, 0)
	for range 20 {
		w.more(t)
	}
	w.check(t, stores[0].KV("/git/alice", state.Near), "on a full disk")
	disks[0].Empty(t)
	current(t, net.Node("ams1"))
	net.Node("ams3").Stop() // now both are needed
	w.more(t)
	w.check(t, stores[0].KV("/git/alice", state.Strict), "with space again")
	net.Node("ams3").Start()

	for _, d := range disks {
		d.Fill(t, 3<<20)
	}
	w.until(t, diskFull)
	w.check(t, w.kv, "on two full disks")
	disks[1].Empty(t)
	w.more(t)

	for _, d := range disks {
		d.Fill(t, 0)
	}
	latticetest.Await(t, func() bool { return w.write(t) != nil }, nil)
	for _, d := range disks {
		d.Empty(t)
	}
	w.more(t)
	w.check(t, stores[1].KV("/git/alice", state.Strict), "at the end")
}

// current waits until all replicas of the state have all of it.
func current(t *testing.T, node *latticetest.Node) {
	t.Helper()
	latticetest.Await(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		js, err := node.JetStream(ctx)
		if err != nil {
			return false
		}
		stream, err := js.Stream(ctx, "KV_terrane_state")
		if err != nil {
			return false
		}
		c := stream.CachedInfo().Cluster
		for _, p := range c.Replicas {
			if !p.Current || p.Offline {
				return false
			}
		}
		return c.Leader != ""
	}, nil)
}
