package state_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// childEnv holds the lattice.Options of an edge that is a process of its own.
const childEnv = "TERRANE_STATE_EDGE"

// child stores one key after the other, and says which were confirmed, until it is killed.
func child() {
	var o lattice.Options
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &o); err != nil {
		panic(err)
	}
	l, err := lattice.New(o)
	if err != nil {
		panic(err)
	}
	s, err := state.New(state.Options{Lattice: l, Bucket: "terrane_state", Timeout: time.Second})
	if err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	inLattice, leave := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	parts.Go(func() { _ = l.Run(inLattice) })
	parts.Go(func() {
		defer leave()
		_ = s.Run(ctx)
	})
	leader := ""
	for n := 0; ctx.Err() == nil; n++ {
		key := fmt.Sprint(o.Name, "/", os.Getpid(), "/", n)
		if _, err := s.KV("/git/alice", state.Near).Put(ctx, key, []byte(key), 0, time.Time{}); err == nil {
			fmt.Println(key)
		}
		if now := s.Status().Leader; now != leader {
			leader = now
			fmt.Println(leads, leader)
		}
	}
	parts.Wait()
}

// leads is the first word of a child's line about who leads.
const leads = "leads"

// process is a child.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// confirmed are the keys that children have told of.
type confirmed struct {
	mu      sync.Mutex
	keys    []string
	leader  string
	last    time.Time     // when the last key was told
	longest time.Duration // between two of them
}

// reset forgets who leads, and begins to measure anew.
func (c *confirmed) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leader, c.longest, c.last = "", 0, time.Now()
}

func (c *confirmed) now() (leader string, longest time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leader, c.longest
}

func (c *confirmed) told(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if leader, ok := strings.CutPrefix(line, leads+" "); ok {
		c.leader = leader
		return
	}
	c.keys = append(c.keys, line)
	c.longest, c.last = max(c.longest, time.Since(c.last)), time.Now()
}

func (c *confirmed) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.keys)
}

// more waits until children have told of some more keys.
func (c *confirmed) more(t testing.TB, n int) {
	t.Helper()
	n += c.count()
	latticetest.Await(t, func() bool { return c.count() >= n }, nil)
}

func (c *confirmed) start(t testing.TB, o *lattice.Options) *process {
	t.Helper()
	env, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0]), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(env))
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.told(lines.Text())
		}
		_ = p.cmd.Wait() // killed
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// threeEdges are a cluster.
func threeEdges(t testing.TB) []lattice.Options {
	t.Helper()
	edges := make([]lattice.Options, 3)
	var routes []string
	for i := range edges {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, "nats://"+ln.Addr().String())
		edges[i] = lattice.Options{Name: fmt.Sprint("ams", i), Region: "ams", Dir: t.TempDir(), Cluster: lattice.Cluster{Listen: ln.Addr().String()}}
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range edges {
		edges[i].Cluster.Routes = routes
		edges[i].Replicas = 3
	}
	return edges
}

// TestKilled kills all edges of a cluster at once, and before that, with
// TERRANE_LONG_TESTS, each in turn, one of them leading: whatever was confirmed is there.
func TestKilled(t *testing.T) {
	edges := threeEdges(t)
	var c confirmed
	running := make([]*process, len(edges))
	for i := range edges {
		running[i] = c.start(t, &edges[i])
	}
	c.more(t, 100)
	for i := range edges {
		if os.Getenv("TERRANE_LONG_TESTS") == "" {
			break
		}
		running[i].kill()
		killed := time.Now()
		c.more(t, 1)
		t.Logf("the next write was confirmed %s after edge %d was killed", time.Since(killed), i)
		c.more(t, 100)
		running[i] = c.start(t, &edges[i])
	}
	c.more(t, 100)
	for _, p := range running {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range running {
		<-p.done
	}
	var s *state.Store
	for i := range edges {
		edges[i].Logger = latticetest.Logger(t)
		l, err := lattice.New(edges[i])
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, l.Run)
		if s, err = state.New(state.Options{Lattice: l, Bucket: "terrane_state", Logger: edges[i].Logger}); err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, s.Run)
	}
	up(t, s)
	kv := s.KV("/git/alice", state.Strict)
	for _, key := range c.keys {
		if e, err := kv.Get(t.Context(), key); err != nil || string(e.Value) != key {
			t.Errorf("%s was confirmed, and is %q, %v", key, e.Value, err)
		}
	}
	t.Logf("%d writes were confirmed", len(c.keys))
}
