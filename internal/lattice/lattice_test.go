package lattice_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// limit is a context that ends before the test's patience does.
func limit(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), latticetest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// moment is a context for a request that is repeated if nothing comes of it: what goes over a
// connection that is being replaced is lost, and while nobody leads nobody answers.
func moment(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// keep stores a value under "key".
func keep(t *testing.T, n edge, value string) {
	t.Helper()
	kv := bucket(t, n)
	var err error
	latticetest.Await(t, func() bool { _, err = kv.Put(moment(t), "key", []byte(value)); return err == nil }, func() string { return err.Error() })
}

// kept waits until an edge has the value.
func kept(t *testing.T, n edge, value string) {
	t.Helper()
	kv := bucket(t, n)
	var got jetstream.KeyValueEntry
	var err error
	latticetest.Await(t, func() bool { got, err = kv.Get(moment(t), "key"); return err == nil && string(got.Value()) == value },
		func() string { return fmt.Sprintf("want %q, the last answer is %v, %v", value, got, err) })
}

func conn(t *testing.T, n *latticetest.Node) *nats.Conn {
	t.Helper()
	c, err := n.Conn(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// edge is a *lattice.Lattice, or a node of a latticetest.Net.
type edge interface {
	JetStream(ctx context.Context) (jetstream.JetStream, error)
	Replicas() int
}

func bucket(t *testing.T, n edge) jetstream.KeyValue {
	t.Helper()
	js, err := n.JetStream(limit(t))
	if err != nil {
		t.Fatal(err)
	}
	var kv jetstream.KeyValue
	latticetest.Await(t, func() bool { // a new cluster's majority may be there before all of it is
		kv, err = js.CreateOrUpdateKeyValue(moment(t), jetstream.KeyValueConfig{Bucket: "terrane_test", Replicas: n.Replicas()})
		return err == nil
	}, func() string { return err.Error() })
	return kv
}

// hears waits until a message from one edge reaches another.
func hears(t *testing.T, from, to *latticetest.Node) {
	t.Helper()
	subject := "terrane.presence." + from.Name()
	sub, err := conn(t, to).SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sub.Unsubscribe(); err != nil {
			t.Error(err)
		}
	}()
	for ctx := limit(t); ctx.Err() == nil; {
		_ = conn(t, from).Publish(subject, nil)
		if _, err := sub.NextMsg(100 * time.Millisecond); err == nil {
			return
		}
	}
	t.Fatalf("%s does not hear %s", to.Name(), from.Name())
}

func TestAloneKeepsState(t *testing.T) {
	edge := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}).Node("ams1")
	if _, err := bucket(t, edge).Put(limit(t), "key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	edge.Stop()
	edge.Start()
	got, err := bucket(t, edge).Get(limit(t), "key")
	if err != nil || string(got.Value()) != "value" {
		t.Errorf("after a restart: %v, %v", got, err)
	}
}

func TestClusterSurvivesOneEdge(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	keep(t, n.Node("ams1"), "value")
	n.Node("ams1").Stop()
	kept(t, n.Node("ams2"), "value")
	n.Node("ams1").Start()
	hears(t, n.Node("ams1"), n.Node("ams3"))
}

func TestPartitionHeals(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	a, b := n.Node("ams1"), n.Node("ams2")
	hears(t, a, b)
	n.Cut(true, "ams1")
	sub, err := conn(t, b).SubscribeSync("terrane.presence.ams1")
	if err != nil {
		t.Fatal(err)
	}
	if err := conn(t, a).Publish("terrane.presence.ams1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.NextMsg(300 * time.Millisecond); err == nil {
		t.Error("a message crossed the partition")
	}
	n.Cut(false, "ams1")
	hears(t, a, b)
	hears(t, b, a)
}

// TestPeerAddresses: an edge knows the addresses of the edges and leaf nodes that it has
// connections with.
func TestPeerAddresses(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3}, latticetest.Region{Name: "fra", Edges: 1})
	for _, pair := range [][2]string{{"ams1", "ams2"}, {"ams1", "fra1"}, {"fra1", "ams1"}} {
		hears(t, n.Node(pair[0]), n.Node(pair[1]))
	}
	for _, name := range []string{"ams1", "fra1"} {
		addrs := n.Node(name).PeerAddresses()
		if len(addrs) == 0 || slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.IsLoopback() }) {
			t.Errorf("%s has connections with %v", name, addrs)
		}
	}
}

// TestRegionsKeepTheirState has buckets of one name in two regions.
func TestRegionsKeepTheirState(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	ams, fra := n.Node("ams1"), n.Node("fra1")
	hears(t, ams, fra)
	hears(t, fra, ams)
	for _, node := range n.Nodes() {
		if _, err := bucket(t, node).Put(limit(t), "key", []byte(node.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range n.Nodes() {
		got, err := bucket(t, node).Get(limit(t), "key")
		if err != nil || string(got.Value()) != node.Name() || got.Revision() != 1 {
			t.Errorf("%s has %v, %v", node.Name(), got, err)
		}
	}
}

// TestLeafRestartsWithoutItsHub has an edge of another region start while the hub is away.
func TestLeafRestartsWithoutItsHub(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	hub, leaf := n.Node("ams1"), n.Node("fra1")
	hears(t, hub, leaf)
	if _, err := bucket(t, leaf).Put(limit(t), "key", []byte("value")); err != nil {
		t.Fatal(err)
	}
	hub.Stop()
	leaf.Stop()
	leaf.Start()
	if _, err := bucket(t, leaf).Get(limit(t), "key"); err != nil {
		t.Errorf("without the hub: %v", err)
	}
	hub.Start()
	hears(t, hub, leaf)
	hears(t, leaf, hub)
}
