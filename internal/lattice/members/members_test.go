package members_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/members"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) {
	latticetest.Child(func(ctx context.Context, _ *lattice.Lattice) error { <-ctx.Done(); return nil })
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).setupMirrorConsumer.func3"))
}

const keys = 100

// cluster is three edges that keep everything which edges keep.
type cluster struct {
	t     *testing.T
	net   *latticetest.Net
	edges map[string]*edge
	wrote map[string]string // keys of the state and of certificates
	after time.Duration     // of members.Options
	heard map[string]bool
}

type edge struct {
	*latticetest.Node
	state, certs *state.Store
	members      *members.Members
	stop         func()
}

func start(t *testing.T, after time.Duration) *cluster {
	c := &cluster{
		t: t, net: latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3}),
		edges: map[string]*edge{}, wrote: map[string]string{}, after: after, heard: map[string]bool{},
	}
	for _, node := range c.net.Nodes() {
		c.run(node)
	}
	c.write("first")
	c.whole(3)
	return c
}

// run runs all parts of an edge.
func (c *cluster) run(node *latticetest.Node) *edge {
	c.t.Helper()
	e := &edge{Node: node}
	log := latticetest.Logger(c.t)
	var errs [5]error
	e.state, errs[0] = state.New(state.Options{Lattice: node.Lattice, Bucket: "terrane_state", Timeout: time.Minute, Logger: log})
	e.certs, errs[1] = state.New(state.Options{Lattice: node.Lattice, Bucket: "terrane_certs", Timeout: time.Minute, Logger: log})
	e.members, errs[2] = members.New(members.Options{
		Lattice: node.Lattice, ForgetAfter: c.after, Heard: func(edge string) bool { return c.heard[edge] }, Logger: log,
	})
	tasks, err := messages.New(messages.Options{
		Lattice: node.Lattice, Logger: log,
		Run: func(context.Context, tenant.ID, *messages.Task) (*messages.Answer, error) {
			return nil, messages.ErrNobody
		},
	})
	errs[3] = err
	schedules, err := cron.New(cron.Options{Lattice: node.Lattice, Ask: tasks.Ask, Logger: log})
	errs[4] = err
	if err := errors.Join(errs[:]...); err != nil {
		c.t.Fatal(err)
	}
	group, ctx := errgroup.WithContext(c.t.Context())
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	for _, run := range []func(context.Context) error{e.state.Run, e.certs.Run, e.members.Run, tasks.Run, schedules.Run} {
		group.Go(func() error { return run(ctx) })
	}
	e.stop = func() {
		cancel()
		if err := group.Wait(); err != nil {
			c.t.Error(err)
		}
		node.Stop()
		delete(c.edges, node.Name())
	}
	c.t.Cleanup(func() {
		if c.edges[node.Name()] == e {
			e.stop()
		}
	})
	c.edges[node.Name()] = e
	return e
}

// lose stops an edge for good, with its disk if wiped.
func (c *cluster) lose(name string) {
	c.edges[name].stop()
}

// any is an edge that is there.
func (c *cluster) any() *edge { return c.edges[slices.Min(slices.Collect(maps.Keys(c.edges)))] }

// write writes all keys at every edge that is there, in turn.
func (c *cluster) write(value string) {
	c.t.Helper()
	names := slices.Sorted(maps.Keys(c.edges))
	group, ctx := errgroup.WithContext(c.t.Context())
	group.SetLimit(16)
	for i := range keys {
		e := c.edges[names[i%len(names)]]
		for what, store := range map[string]*state.Store{"state": e.state, "certs": e.certs} {
			key := fmt.Sprintf("key%03d", i)
			c.wrote[what+key] = value
			group.Go(func() error {
				kv := store.KV("/git/alice", state.Strict)
				there, err := kv.Get(ctx, key)
				if err != nil && !errors.Is(err, hostcalls.ErrNotFound) {
					return fmt.Errorf("%s: read %s: %w", what, key, err)
				}
				_, err = kv.Put(ctx, key, []byte(value), there.Version, time.Time{})
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		c.t.Fatal(err)
	}
}

// check reads all keys at every edge that is there.
func (c *cluster) check() {
	c.t.Helper()
	group, ctx := errgroup.WithContext(c.t.Context())
	group.SetLimit(16)
	for name, e := range c.edges {
		for what, store := range map[string]*state.Store{"state": e.state, "certs": e.certs} {
			for i := range keys {
				key := fmt.Sprintf("key%03d", i)
				group.Go(func() error {
					got, err := store.KV("/git/alice", state.Strict).Get(ctx, key)
					if err != nil || string(got.Value) != c.wrote[what+key] {
						return fmt.Errorf("%s: %s %s is %q, want %q: %w", name, what, key, got.Value, c.wrote[what+key], err)
					}
					return nil
				})
			}
		}
	}
	if err := group.Wait(); err != nil {
		c.t.Fatal(err)
	}
}

// whole waits until everything has so many copies, all of which are current.
func (c *cluster) whole(n int) members.Status {
	c.t.Helper()
	var s members.Status
	missing := func() string {
		for _, what := range []string{"state", "certificates", "schedules", "messages"} {
			at := slices.IndexFunc(s.Copies, func(x members.Copies) bool { return x.What == what })
			if at < 0 {
				return what
			}
			if x := s.Copies[at]; x.Wanted != 3 || len(x.At) != n || x.Current() != n {
				return fmt.Sprintf("%+v", x)
			}
		}
		return ""
	}
	latticetest.Await(c.t, func() bool {
		s = c.any().members.Status()
		return s.Problem == "" && missing() == ""
	}, func() string { return fmt.Sprintf("want %d copies: %s of %+v", n, missing(), s) })
	return s
}

// silent waits until the cluster's leader does not hear an edge.
func (c *cluster) silent(name string) {
	c.t.Helper()
	latticetest.Await(c.t, func() bool {
		s := c.any().members.Status()
		return slices.ContainsFunc(s.Members, func(m members.Member) bool { return m.Edge == name && !m.Live })
	}, nil)
}

// TestReplace loses one of three edges for good, adds one, and loses another.
func TestReplace(t *testing.T) {
	t.Parallel()
	c := start(t, -1)
	if err := c.edges["ams1"].members.Forget(t.Context(), "ams3", members.Override{}); !errors.Is(err, members.ErrHeard) {
		t.Errorf("an edge that is there: %v", err)
	}
	c.lose("ams3")
	c.write("without ams3")
	c.run(c.net.Add("ams", func(o *lattice.Options) { o.Replicas = 1 })) // it must not remove copies
	c.silent("ams3")
	c.heard["ams3"] = true
	if err := c.edges["ams1"].members.Forget(t.Context(), "ams3", members.Override{}); !errors.Is(err, members.ErrHeard) {
		t.Errorf("an edge that is heard on another way: %v", err)
	}
	delete(c.heard, "ams3")
	for name, want := range map[string]string{"ams1": "cannot forget itself", "ams9": "the cluster has ams"} {
		if err := c.edges["ams1"].members.Forget(t.Context(), name, members.Override{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("forget %s: %v, want %q", name, err, want)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := c.edges["ams4"].members.Forget(ctx, "ams3", members.Override{}); err != nil {
		t.Fatal(err)
	}
	s, err := c.edges["ams4"].members.Wait(ctx)
	if err != nil || len(s.Members) != 3 {
		t.Fatalf("%v: %+v", err, s)
	}
	c.whole(3)
	c.lose("ams2")
	c.write("without ams2")
	c.check()

	forgotten := c.net.Node("ams3") // its copies are old
	forgotten.Start()
	c.run(forgotten)
	c.setAside(forgotten)
	c.check()
}

// setAside waits until an edge that was forgotten has set its copies aside.
func (c *cluster) setAside(node *latticetest.Node) {
	c.t.Helper()
	latticetest.Await(c.t, func() bool {
		old, err := filepath.Glob(filepath.Join(node.Dir(), "forgotten-*"))
		return err == nil && len(old) == 1
	}, func() string {
		var text strings.Builder
		text.WriteString(node.Name() + " goes on with the copies of before it was forgotten:")
		for name, e := range c.edges {
			fmt.Fprintf(&text, "\n%s: %+v", name, e.members.Status())
		}
		return text.String()
	})
}

// TestForgottenTakenBack has an edge come back that was forgotten, when no server of the
// cluster remembers that: NATS takes it back as a member at once.
func TestForgottenTakenBack(t *testing.T) {
	t.Parallel()
	c := start(t, -1)
	c.lose("ams3")
	c.silent("ams3")
	if err := c.edges["ams1"].members.Forget(t.Context(), "ams3", members.Override{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ams1", "ams2"} {
		c.lose(name)
	}
	for _, name := range []string{"ams1", "ams2"} {
		node := c.net.Node(name)
		node.Start()
		c.run(node)
	}
	c.write("without ams3")
	node := c.net.Node("ams3")
	node.Start()
	c.run(node)
	c.setAside(node)
	latticetest.Await(t, func() bool { s := node.Standing(); return s.Joined && s.Removal != "" }, nil)
	// The leaders take its copies of before for current until they hear of it again.
	latticetest.Await(t, func() bool {
		streams, err := filepath.Glob(filepath.Join(node.Dir(), "jetstream", "$G", "streams", "*"))
		return err == nil && len(streams) == 4
	}, nil)
	for _, store := range []*state.Store{c.edges["ams3"].state, c.edges["ams3"].certs} {
		if _, err := store.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	joined := time.Now()
	latticetest.Await(t, func() bool { return c.any().members.Status().At.Sub(joined) > 2*time.Second }, nil)
	c.whole(3)
	c.lose("ams2")
	c.write("without ams2")
	c.check()
}

// TestForgetAbsent has an edge that is lost forgotten, when another replaces it.
func TestForgetAbsent(t *testing.T) {
	t.Parallel()
	c := start(t, 3*time.Second)
	c.lose("ams3")
	c.silent("ams3")
	begun := time.Now()
	latticetest.Await(t, func() bool { return time.Since(begun) > 8*time.Second }, nil)
	if s := c.any().members.Status(); len(s.Members) != 3 {
		t.Fatalf("an edge that nothing replaces was forgotten: %+v", s)
	}
	c.run(c.net.Add("ams", func(*lattice.Options) {}))
	s := c.whole(3)
	latticetest.Await(t, func() bool { s = c.any().members.Status(); return len(s.Members) == 3 }, nil)
	if slices.ContainsFunc(s.Members, func(m members.Member) bool { return m.Edge == "ams3" }) {
		t.Errorf("%+v", s.Members)
	}
	c.whole(3)
	c.lose("ams2")
	c.write("without ams2")
	c.check()
}

// TestEmptyDisk has an edge come back under its name with nothing on its disk.
func TestEmptyDisk(t *testing.T) {
	t.Parallel()
	c := start(t, -1)
	c.lose("ams3")
	c.write("without ams3")
	c.silent("ams3")
	node := c.net.Node("ams3")
	node.Wipe()
	begun := time.Now()
	node.Start()
	c.run(node)
	c.whole(3)
	took := time.Since(begun)
	t.Logf("all copies were there after %s", took)
	if took > time.Minute {
		t.Errorf("it took %s", took)
	}
	c.lose("ams2")
	c.write("without ams2")
	c.check()
}
