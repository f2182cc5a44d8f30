package lattice_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// TestFolderIsOfOneKind has state of an edge alone, and copies of a cluster, refused by
// configurations of another kind, cluster or edge.
func TestFolderIsOfOneKind(t *testing.T) {
	alone := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}).Node("ams1")
	bucket(t, alone)
	alone.Stop()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	bucket(t, net.Node("ams1"))
	member := net.Node("ams1")
	member.Stop()

	options := func(dir, name, region, cluster string) lattice.Options {
		o := lattice.Options{Name: name, Region: region, Dir: dir}
		if cluster != "" {
			o.Cluster = lattice.Cluster{Name: cluster, Listen: "127.0.0.1:0", Routes: []string{"nats://127.0.0.1:9", "nats://127.0.0.1:10"}}
		}
		return o
	}
	for _, c := range []struct {
		name      string
		o         lattice.Options
		key, want string // empty: it is taken
	}{
		{"alone, as it was", options(alone.Dir(), "ams1", "ams", ""), "", ""},
		{"alone, under another name", options(alone.Dir(), "fra1", "fra", ""), "", ""},
		{"alone, in a cluster", options(alone.Dir(), "ams1", "ams", "ams"), "cluster.listen", "terrane lattice grow"},
		{"of a cluster, as it was", options(member.Dir(), "ams1", "ams", "ams"), "", ""},
		{"of a cluster, alone", options(member.Dir(), "ams1", "ams", ""), "cluster.listen", "terrane lattice reset"},
		{"of a cluster, in another", options(member.Dir(), "ams1", "ams", "fra"), "cluster.name", `the cluster "ams"`},
		{"of a cluster, under another name", options(member.Dir(), "ams9", "ams", "ams"), "name", `the cluster's edge "ams1"`},
	} {
		_, err := lattice.New(c.o)
		faults, _ := fault.Split(err)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (len(faults) != 1 || faults[0].Key != c.key || !strings.Contains(faults[0].Err.Error(), c.want)):
			t.Errorf("%s: %v, want %s: %q", c.name, err, c.key, c.want)
		}
	}

	to, err := lattice.Reset(alone.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if streams, err := os.ReadDir(filepath.Join(to, "$G", "streams")); err != nil || len(streams) != 1 {
		t.Errorf("what was set aside: %v, %v", streams, err)
	}
	if _, err := lattice.New(options(alone.Dir(), "ams1", "ams", "ams")); err != nil {
		t.Errorf("after it was set aside: %v", err)
	}
	if _, err := lattice.Reset(member.Dir()); err != nil {
		t.Error(err)
	}
	if _, err := lattice.New(options(member.Dir(), "ams9", "fra", "fra")); err != nil {
		t.Errorf("after it was set aside: %v", err)
	}
	if _, err := lattice.Reset(net.Node("ams2").Dir()); err == nil {
		t.Error("the copies of an edge that runs were set aside")
	}
}
