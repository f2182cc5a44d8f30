package state_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/kvtest"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
		return
	}
	if env := os.Getenv(damageEnv); env != "" {
		var d damageEdge
		err := json.Unmarshal([]byte(env), &d)
		if err == nil {
			err = d.run()
		}
		if err != nil {
			panic(err)
		}
		return
	}
	if env := os.Getenv(keeperEnv); env != "" {
		var k keeper
		if err := json.Unmarshal([]byte(env), &k); err != nil {
			panic(err)
		}
		if err := k.run(); err != nil {
			panic(err)
		}
		return
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "6") // they wait most of the time
	goleak.VerifyTestMain(m,           // the server does not wait for its mirrors' last attempts
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).setupMirrorConsumer.func3"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1")) // the process's clock, which a store that restarted may keep
}

// run runs an edge's store until the test ends, or stop is called.
func run(t testing.TB, node *latticetest.Node, o state.Options) (s *state.Store, stop func()) {
	t.Helper()
	s = open(t, node, o)
	return s, latticetest.Run(t, s.Run)
}

func open(t testing.TB, node *latticetest.Node, o state.Options) *state.Store {
	t.Helper()
	o.Lattice, o.Logger = node.Lattice, latticetest.Logger(t)
	if o.Bucket == "" {
		o.Bucket = "terrane_state"
	}
	if o.Timeout == 0 { // what is to fail has a context that ends
		o.Timeout = latticetest.Patience
	}
	if o.Answer == 0 { // of a slow machine's servers: what is sent twice may fail in doubt
		o.Answer = 20 * time.Second
	}
	s, err := state.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start is run with a clock.
func start(t testing.TB, node *latticetest.Node, o state.Options, clock func() time.Time) *state.Store {
	t.Helper()
	s := open(t, node, o)
	state.SetClock(s, clock)
	latticetest.Run(t, s.Run)
	return s
}

// up waits until a store answers.
func up(t testing.TB, s *state.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), latticetest.Patience)
	defer cancel()
	for {
		_, err := s.KV("/git/nobody", state.Near).List(ctx, "", "", 1)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func conformance(t *testing.T, node *latticetest.Node, o state.Options, reads state.Reads) {
	var tenants atomic.Int32
	s, _ := run(t, node, o)
	up(t, s)
	kvtest.Run(t, func(*testing.T) hostcalls.KV {
		return s.KV(fmt.Sprintf("%s%v%d", node.Name(), reads, tenants.Add(1)), reads)
	})
}

func quotas(t *testing.T, node *latticetest.Node, o state.Options) {
	var n atomic.Int32
	kvtest.RunQuota(t, func(t *testing.T, q hostcalls.Quota) hostcalls.KV {
		o.Quota = q
		s, _ := run(t, node, o)
		up(t, s)
		return s.KV(fmt.Sprintf("quota%s%d", node.Name(), n.Add(1)), state.Near)
	})
}

func TestAlone(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	quotas(t, net.Node("ams1"), state.Options{})
	conformance(t, net.Node("ams1"), state.Options{}, state.Near)
}

func TestCluster(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	quotas(t, net.Node("ams2"), state.Options{})
	conformance(t, net.Node("ams2"), state.Options{}, state.Near)
	conformance(t, net.Node("ams3"), state.Options{}, state.Strict)
}

func TestRegions(t *testing.T) {
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	s, _ := run(t, net.Node("ams1"), state.Options{})
	up(t, s)
	quotas(t, net.Node("fra1"), state.Options{Home: "ams"})
	conformance(t, net.Node("fra1"), state.Options{Home: "ams"}, state.Near)
	conformance(t, net.Node("fra1"), state.Options{Home: "ams"}, state.Strict)
}

// TestStalled: lists go on when the server stops giving what it has.
func TestStalled(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1})
	node := net.Node("ams1")
	s, _ := run(t, node, state.Options{})
	up(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), latticetest.Patience)
	defer cancel()
	pauseFollowers(ctx, t, node)
	kv := s.KV("/git/alice", state.Strict)
	if _, err := kv.Put(ctx, "key", nil, 0, time.Time{}); err != nil {
		t.Fatal(err)
	}
	var readers errgroup.Group
	for range 4 { // whose proofs replace each other
		readers.Go(func() error {
			for {
				short, cancel := context.WithTimeout(ctx, time.Second)
				keys, err := kv.List(short, "", "", 10)
				cancel()
				if err == nil && len(keys) == 1 || ctx.Err() != nil {
					return err
				}
			}
		})
	}
	if err := readers.Wait(); err != nil {
		t.Fatal(err)
	}
}
