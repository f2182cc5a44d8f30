package latticetest

import (
	"context"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice"
)

// Region is a cluster of edges, or one edge alone.
type Region struct {
	Name  string
	Edges int
	Dirs  []string // of the edges' state, if not temporary ones
}

// Net is a lattice. Its methods are for one goroutine.
type Net struct {
	t      testing.TB
	nodes  []*Node
	relays map[[2]string]*relay // from, to
}

// Node is one edge of it.
type Node struct {
	*lattice.Lattice // another one after each Start

	opts   lattice.Options
	net    *Net
	hub    bool
	cancel context.CancelFunc
	done   chan error
}

// Start starts the edges of all regions, called REGION1, REGION2 and so on. The
// first region is the hub that the others are leaf nodes of. It ends with the test.
func Start(t testing.TB, regions ...Region) *Net {
	t.Helper()
	return StartAs(t, func(*lattice.Options) {}, regions...)
}

// StartAs is Start for edges whose options are changed before they are used.
func StartAs(t testing.TB, change func(*lattice.Options), regions ...Region) *Net {
	t.Helper()
	n := &Net{t: t, relays: map[[2]string]*relay{}}
	for i, r := range regions {
		for j := range r.Edges {
			o := lattice.Options{Name: fmt.Sprintf("%s%d", r.Name, j+1), Region: r.Name, Logger: Logger(t)}
			if j < len(r.Dirs) {
				o.Dir = r.Dirs[j]
			} else {
				o.Dir = t.TempDir()
			}
			n.nodes = append(n.nodes, &Node{net: n, hub: i == 0 && len(regions) > 1, opts: o})
		}
	}
	t.Cleanup(n.close) // before the folders go
	for _, a := range n.nodes {
		for _, b := range n.nodes {
			if a == b {
				continue
			}
			switch {
			case a.opts.Region == b.opts.Region:
				a.opts.Cluster.Listen = "127.0.0.1:0"
				a.opts.Cluster.Advertise = "127.0.0.1:9" // gossip leads around the relays: nobody is there
				a.opts.Cluster.Routes = append(a.opts.Cluster.Routes, "nats://"+n.relay(a, b).addr())
			case b.hub:
				a.opts.Leaf = append(a.opts.Leaf, "nats://"+n.relay(a, b).addr())
			}
		}
		if a.hub {
			a.opts.LeafListen = "127.0.0.1:0"
		}
	}
	for _, node := range n.nodes {
		change(&node.opts)
		node.Start()
	}
	return n
}

// Add starts another edge of a region that has a cluster. It dials the others; they do
// not know where it listens until it has. Its options are changed before they are used.
func (n *Net) Add(region string, change func(*lattice.Options)) *Node {
	n.t.Helper()
	number := 1
	for _, node := range n.nodes {
		if node.opts.Region == region {
			number++
		}
	}
	added := &Node{net: n, opts: lattice.Options{
		Name: fmt.Sprint(region, number), Region: region, Dir: n.t.TempDir(), Logger: Logger(n.t),
		Cluster: lattice.Cluster{Listen: "127.0.0.1:0", Advertise: "127.0.0.1:9"},
	}}
	n.nodes = append(n.nodes, added)
	for _, node := range n.nodes {
		if node != added && node.opts.Region == region {
			added.opts.Cluster.Routes = append(added.opts.Cluster.Routes, "nats://"+n.relay(added, node).addr())
			n.retarget(node)
		}
	}
	change(&added.opts)
	added.Start()
	return added
}

func (n *Net) relay(from, to *Node) *relay {
	r, err := newRelay()
	if err != nil {
		n.t.Fatal(err)
	}
	n.relays[[2]string{from.opts.Name, to.opts.Name}] = r
	return r
}

// Node returns the edge of a name.
func (n *Net) Node(name string) *Node {
	n.t.Helper()
	for _, node := range n.nodes {
		if node.opts.Name == name {
			return node
		}
	}
	n.t.Fatalf("no edge %s", name)
	return nil
}

// Nodes returns all edges, in the order of their regions.
func (n *Net) Nodes() []*Node { return n.nodes }

// Cut ends the connections between a set of edges and all others, or lets them
// connect again.
func (n *Net) Cut(cut bool, names ...string) {
	inside := map[string]bool{}
	for _, name := range names {
		inside[n.Node(name).opts.Name] = true
	}
	for ends, r := range n.relays {
		if inside[ends[0]] != inside[ends[1]] {
			r.setCut(cut)
		}
	}
}

// Start starts a stopped edge on what state it left.
func (node *Node) Start() {
	t := node.net.t
	t.Helper()
	var err error
	if node.Lattice, err = lattice.New(node.opts); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	node.cancel, node.done = cancel, make(chan error, 1)
	go func(l *lattice.Lattice) { node.done <- l.Run(ctx) }(node.Lattice)
	ready, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	if _, err := node.Conn(ready); err != nil {
		t.Fatal(err)
	}
	node.net.retarget(node)
}

// retarget leads the relays of an edge that runs to where it listens.
func (n *Net) retarget(node *Node) {
	if node.cancel == nil {
		return
	}
	l := node.Lattice // its server may start anew, elsewhere
	for ends, r := range n.relays {
		if ends[1] != node.opts.Name {
			continue
		}
		near := n.Node(ends[0]).opts.Region == node.opts.Region
		r.target(func() string {
			_, cluster, leaf := l.Addrs()
			if near {
				return text(cluster)
			}
			return text(leaf)
		})
	}
}

func text(a net.Addr) string {
	if a == nil {
		return ""
	}
	return a.String()
}

// Stop ends an edge in order.
func (node *Node) Stop() {
	if node.cancel == nil {
		return
	}
	for ends, r := range node.net.relays {
		if ends[1] == node.opts.Name {
			r.target(nil)
		}
	}
	node.cancel()
	node.cancel = nil
	if err := <-node.done; err != nil {
		node.net.t.Errorf("%s: %v", node.opts.Name, err)
	}
}

// Dir is the folder of the edge's state.
func (node *Node) Dir() string { return node.opts.Dir }

// Wipe removes everything that a stopped edge has on its disk.
func (node *Node) Wipe() {
	node.net.t.Helper()
	if err := os.RemoveAll(node.opts.Dir); err != nil {
		node.net.t.Fatal(err)
	}
}

func (n *Net) close() {
	for _, node := range n.nodes {
		node.Stop()
	}
	for _, r := range n.relays {
		r.close()
	}
}
