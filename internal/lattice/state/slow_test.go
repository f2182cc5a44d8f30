package state_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/disktest"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// TestDiskSlow slows the disks of a cluster down: that of an edge that follows, of the
// one that leads, and all.
func TestDiskSlow(t *testing.T) {
	t.Parallel()
	disks := []*disktest.Slow{disktest.NewSlow(t), disktest.NewSlow(t), disktest.NewSlow(t)}
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3, Dirs: []string{disks[0].Dir, disks[1].Dir, disks[2].Dir}})
	writers, stores := make([]writer, 3), make([]*state.Store, 3)
	for i, node := range net.Nodes() {
		s, _ := run(t, node, state.Options{})
		up(t, s)
		stores[i] = s
		writers[i] = writer{kv: s.KV(fmt.Sprint("/git/", i), state.Near)}
		writers[i].more(t)
	}
	current(t, net.Node("ams1"))
	leader := 0
	latticetest.Await(t, func() bool {
		_, err := fmt.Sscanf(stores[0].Status().Leader, "ams%d", &leader)
		leader--
		return err == nil
	}, nil)

	follower := (leader + 1) % 3
	disks[follower].Set(time.Second)
	before := disks[follower].Syncs.Load()
	for i := range writers {
		for range 10 { // in 10 s, if they waited for it
			if err := writers[i].write(t); err != nil {
				t.Errorf("an edge that follows has a slow disk, edge %d: %v", i, err)
			}
		}
	}
	if disks[follower].Syncs.Load() == before {
		t.Error("the slow disk was not written to")
	}
	disks[follower].Set(0)

	disks[leader].Set(300 * time.Millisecond)
	for i := range writers {
		writers[i].more(t)
		if _, err := writers[i].kv.Get(t.Context(), "1"); err != nil {
			t.Errorf("the edge that leads has a slow disk, edge %d: %v", i, err)
		}
	}

	for _, d := range disks {
		d.Set(5 * time.Second)
	}
	for i := range writers {
		begun := time.Now()
		err := writers[i].writeIn(shortly(t))
		if err == nil || !strings.HasPrefix(err.Error(), "state: ") {
			t.Errorf("all disks are slow, edge %d: %v", i, err)
		}
		t.Logf("%s: %v", time.Since(begun), err)
		if _, err := writers[i].kv.Get(t.Context(), "1"); err != nil {
			t.Errorf("all disks are slow, edge %d: %v", i, err)
		}
	}
	for _, d := range disks {
		d.Set(0)
	}
	for i := range writers {
		writers[i].more(t)
		writers[i].check(t, writers[i].kv, "with quick disks again")
		if d := state.Offset(stores[i]); d != 0 {
			t.Errorf("edge %d takes its clock to be wrong by %s", i, d)
		}
	}
}
