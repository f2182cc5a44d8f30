package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source serves what is put into it, as a Syncer would.
type source struct {
	partial bool
	objects map[tenant.Hash][]byte

	mu      sync.Mutex
	served  map[tenant.ID]tenant.Served
	offered []tenant.Served
}

const prefix = "/git/"

func (s *source) set(name, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := tenant.ID(prefix + name)
	s.served[id] = tenant.Served{ID: id, Revision: tenant.Revision(content), Content: sha256.Sum256([]byte(content))}
}

func (s *source) drop(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.served, tenant.ID(prefix+name))
}

func (s *source) ServedStores() []tenant.ServedStore {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := tenant.ServedStore{Prefix: prefix, Partial: s.partial, Tenants: len(s.served)}
	for _, one := range s.served {
		out.Buckets[one.ID.Bucket()].Add(one.Sum())
	}
	return []tenant.ServedStore{out}
}

func (s *source) Served(_ string, bucket func(int) bool) (list []tenant.Served) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.served {
		if bucket(one.ID.Bucket()) {
			list = append(list, one)
		}
	}
	return list
}

type object struct{ *bytes.Reader }

func (object) Close() error { return nil }

func (s *source) OpenServed(id tenant.ID, content, o tenant.Hash) (io.ReadSeekCloser, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data, ok := s.objects[o]
	if !ok || s.served[id].Content != content {
		return nil, 0, fs.ErrNotExist
	}
	return object{bytes.NewReader(data)}, int64(len(data)), nil
}

func (s *source) Offer(list []tenant.Served) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offered = append(s.offered, list...)
}

func (s *source) offers() map[tenant.ID]tenant.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[tenant.ID]tenant.Revision{}
	for _, o := range s.offered {
		out[o.ID] = o.Revision
	}
	return out
}

type edge struct {
	*Fleet
	*source
	node    *latticetest.Node
	metrics *prometheus.Registry
}

// run starts the fleet of a lattice's edges. Each hears what the others say at once.
func run(t *testing.T, n *latticetest.Net, sources ...*source) []edge {
	t.Helper()
	edges := make([]edge, len(sources))
	for i, node := range n.Nodes()[:len(sources)] {
		edges[i] = edge{source: sources[i], node: node, metrics: prometheus.NewRegistry()}
		peers := func() (list []Peer) {
			for j := range sources {
				if j != i {
					sum := sources[j].ServedStores()[0]
					list = append(list, Peer{n.Nodes()[j].Name(), map[string]tenant.Sum{prefix: sum.Sum()}})
				}
			}
			return list
		}
		var err error
		edges[i].Fleet, err = New(Options{
			Lattice: node, Peers: peers, Shown: time.Second, Metrics: edges[i].metrics, Logger: latticetest.Logger(t),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range slices.Backward(edges) {
		latticetest.Run(t, func(ctx context.Context) error { return e.Run(ctx, e.source) })
		if conn, err := e.node.Conn(t.Context()); err != nil || conn.Flush() != nil {
			t.Fatal(err)
		}
	}
	return edges
}

func many(n int) *source {
	s := &source{served: map[tenant.ID]tenant.Served{}, objects: map[tenant.Hash][]byte{}}
	for i := range n {
		s.set(fmt.Sprint("t", i), "same")
	}
	return s
}

// TestManyTenants: a new edge is told of all tenants before it is known to have been, and
// one tenant of ten thousand that differs costs little.
func TestManyTenants(t *testing.T) {
	const tenants = 10_000
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	fresh, old := many(0), many(tenants)
	e := run(t, n, fresh, old)
	select {
	case <-e[0].Known():
	case <-t.Context().Done():
	case <-time.After(latticetest.Patience):
		t.Fatal("it never knows")
	}
	latticetest.Await(t, func() bool { return len(fresh.offers()) == tenants }, func() string { return fmt.Sprint(len(fresh.offers()), " tenants are offered") })
	fresh.mu.Lock()
	maps.Copy(fresh.served, old.served)
	fresh.mu.Unlock()
	latticetest.Await(t, func() bool { return len(e[0].Differences()) == 0 }, nil)

	conn, err := e[0].node.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := conn.Stats()
	fresh.offered = nil
	old.set("t4711", "other")
	latticetest.Await(t, func() bool { return len(e[0].Differences()) == 1 && len(e[1].Differences()) == 1 }, nil)
	d, offers := e[0].Differences()[0], fresh.offers()
	if d.Tenant != "/git/t4711" || d.Here != "same" || d.Edges["fra1"] != "other" || len(offers) != 1 || offers["/git/t4711"] != "other" {
		t.Errorf("difference %+v, offers %v", d, offers)
	}
	if after := conn.Stats(); after.InBytes-before.InBytes > 64<<10 {
		t.Errorf("%d bytes for one tenant", after.InBytes-before.InBytes)
	}
	if got, err := testutil.GatherAndCount(e[0].metrics); err != nil || got != 1 {
		t.Error(got, err)
	}
	fresh.set("t4711", "other")
	latticetest.Await(t, func() bool { return len(e[0].Differences()) == 0 }, nil)
	fresh.drop("t12")
	latticetest.Await(t, func() bool { return len(e[0].Differences()) == 1 && len(e[1].Differences()) == 1 }, nil)
	if d := e[0].Differences()[0]; d.Here != "" || d.Edges["fra1"] != "same" {
		t.Errorf("a tenant that is missing: %+v", d)
	}
	if d := e[1].Differences()[0]; d.Here != "same" || d.Edges["ams1"] != "" || len(d.Edges) != 1 {
		t.Errorf("a tenant that another edge misses: %+v", d)
	}
}

// TestPartial: of a store of which edges have what domains led to them, only tenants that
// both have can differ. An edge that starts hears of all.
func TestPartial(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	a, b := many(0), many(3)
	a.partial, b.partial = true, true
	e := run(t, n, a, b)
	<-e[0].Known()
	<-e[1].Known()
	latticetest.Await(t, func() bool { return len(a.offers()) == 3 }, nil)
	a.set("t0", "other")
	b.set("t3", "of b alone")
	latticetest.Await(t, func() bool { return len(e[0].Differences()) == 1 && a.offers()["/git/t0"] == "same" }, nil)
	if d := e[0].Differences()[0]; d.Tenant != "/git/t0" {
		t.Errorf("difference %+v", d)
	}
	if got := a.offers(); len(got) != 3 {
		t.Errorf("offers %v", got)
	}
}

// TestObjects reads objects of another edge, in pieces, and what is not there.
func TestObjects(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 2})
	with, without := many(0), many(1)
	with.set("a", "content")
	sum := with.served["/git/a"].Content
	objects := map[string][]byte{"large": bytes.Repeat([]byte("0123456789abcde"), 3*chunk/10), "exact": make([]byte, 2*chunk), "empty": {}}
	for _, data := range objects {
		with.objects[sha256.Sum256(data)] = data
	}
	e := run(t, n, many(0), with, without)
	<-e[0].Known()
	latticetest.Await(t, func() bool { // subscriptions come up by themselves
		r, err := e[0].Open(t.Context(), "/git/a", sum, sha256.Sum256(nil))
		return err == nil && r.Close() == nil
	}, nil)
	for name, data := range objects {
		r, err := e[0].Open(t.Context(), "/git/a", sum, sha256.Sum256(data))
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) || r.Close() != nil {
			t.Errorf("%s: %d bytes of %d, %v", name, len(got), len(data), err)
		}
	}
	for name, ask := range map[string][2]tenant.Hash{"object": {sum, {1}}, "content": {{1}, sha256.Sum256(nil)}} {
		if _, err := e[0].Open(t.Context(), "/git/a", ask[0], ask[1]); err == nil {
			t.Errorf("another %s was found", name)
		}
	}
}

// TestAlone: an edge without others waits for none, and one whose others are away not for long.
func TestAlone(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	none := func() []Peer { return nil }
	alone, err := New(Options{Lattice: n.Nodes()[0], Peers: none, Alone: true})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-alone.Known():
	default:
		t.Error("it waits for nobody")
	}
	f, err := New(Options{Lattice: n.Nodes()[0], Peers: none, Wait: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	latticetest.Run(t, func(ctx context.Context) error { return f.Run(ctx, many(0)) })
	<-f.Known()
}

// TestBounds: one asker gets no more than its share, and what a peer says is bounded.
func TestBounds(t *testing.T) {
	f, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for range 10 * perSecond {
		if f.allowed("flood") {
			n++
		}
	}
	if n < perSecond || n > 2*perSecond || !f.allowed("another") {
		t.Errorf("%d questions of one asker were taken", n)
	}
	for i := range 3 * maxAskers {
		f.allowed(strconv.Itoa(i))
	}
	if len(f.askers) > maxAskers {
		t.Errorf("%d askers are remembered", len(f.askers))
	}
	long := tenant.Served{ID: "/git/a", Revision: tenant.Revision(bytes.Repeat([]byte("x\x1b"), 1000)), Pin: &tenant.Pin{Reason: "a\nb"}}
	if !sound(&long, prefix) || len(long.Revision) != maxText || long.Revision[:2] != "x?" || long.Pin.Reason != "a?b" {
		t.Errorf("%+v", long)
	}
	for _, id := range []tenant.ID{"", "/git/", "/git/../a", "/other/a", "/git/a/", "/git/.a"} {
		if sound(&tenant.Served{ID: id}, prefix) {
			t.Errorf("%q is taken for a tenant", id)
		}
	}
	for _, subject := range []string{"terrane.fleet.a.b", "terrane.fleet.a.b.c.d", ""} {
		if _, _, ok := parseSubject(subject); ok {
			t.Errorf("%q", subject)
		}
	}
}
