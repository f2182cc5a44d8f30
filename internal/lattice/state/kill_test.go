package state_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/disktest"
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
	ctx, s, wait, err := serve(o, state.Options{Timeout: time.Second})
	if err != nil {
		panic(err)
	}
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
	wait()
}

// serve runs an edge until SIGTERM, which ends ctx: first its state, then its lattice.
func serve(lo lattice.Options, so state.Options) (ctx context.Context, s *state.Store, wait func(), err error) {
	l, err := lattice.New(lo)
	if err != nil {
		return nil, nil, nil, err
	}
	so.Lattice, so.Bucket = l, "terrane_state"
	if s, err = state.New(so); err != nil {
		return nil, nil, nil, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	inLattice, leave := context.WithCancel(context.WithoutCancel(ctx))
	var parts sync.WaitGroup
	parts.Go(func() { _ = l.Run(inLattice) })
	parts.Go(func() {
		defer leave()
		_ = s.Run(ctx)
	})
	return ctx, s, func() { parts.Wait(); stop() }, nil
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
	return edgesIn(t, t.TempDir(), t.TempDir(), t.TempDir())
}

// edgesIn are an edge alone, or a cluster, with their state in these folders.
func edgesIn(t testing.TB, dirs ...string) []lattice.Options {
	t.Helper()
	edges := latticetest.Cluster(t, "ams", len(dirs))
	for i, dir := range dirs {
		edges[i].Dir, edges[i].Replicas = dir, len(dirs)
	}
	return edges
}

func (c *confirmed) startAll(t testing.TB, edges []lattice.Options) []*process {
	t.Helper()
	running := make([]*process, len(edges))
	for i := range edges {
		running[i] = c.start(t, &edges[i])
	}
	return running
}

// killAll kills them at once.
func killAll(running []*process) {
	for _, p := range running {
		_ = p.cmd.Process.Kill()
	}
	for _, p := range running {
		<-p.done
	}
}

// check starts the edges again, in this process, and wants all that was confirmed.
func (c *confirmed) check(t *testing.T, edges []lattice.Options) {
	t.Helper()
	var s *state.Store
	for _, o := range edges {
		o.Logger = latticetest.Logger(t)
		l, err := lattice.New(o)
		if err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, l.Run)
		if s, err = state.New(state.Options{Lattice: l, Bucket: "terrane_state", Logger: o.Logger}); err != nil {
			t.Fatal(err)
		}
		latticetest.Run(t, s.Run)
	}
	up(t, s)
	kv, lost := s.KV("/git/alice", state.Strict), 0
	for _, key := range c.keys {
		if e, err := kv.Get(t.Context(), key); err != nil || string(e.Value) != key {
			if lost++; lost < 10 {
				t.Errorf("%s was confirmed, and is %q, %v", key, e.Value, err)
			}
		}
	}
	t.Logf("%d of %d confirmed writes are lost", lost, len(c.keys))
}

// TestKilled kills whichever edge leads, again and again, then all at once: what was
// confirmed is there. TERRANE_KILLS sets how often.
func TestKilled(t *testing.T) {
	t.Parallel()
	kills := 2
	if n, err := strconv.Atoi(os.Getenv("TERRANE_KILLS")); err == nil {
		kills = n
	}
	edges := threeEdges(t)
	var c confirmed
	running := c.startAll(t, edges)
	c.more(t, 100)
	for range kills {
		var leader int
		latticetest.Await(t, func() bool {
			name, _ := c.now()
			leader = slices.IndexFunc(edges, func(o lattice.Options) bool { return o.Name == name })
			return leader >= 0
		}, nil)
		running[leader].kill()
		c.reset()
		c.more(t, 100)
		_, pause := c.now()
		t.Logf("writes paused for %s when the leader was killed", pause)
		running[leader] = c.start(t, &edges[leader])
	}
	c.more(t, 100)
	killAll(running)
	c.check(t, edges)
}

// TestPowerCut cuts the power of the only edge, and of all edges of a cluster at once.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			var disks []*disktest.Losing
			var dirs []string
			for range n {
				d := disktest.NewLosing(t, t.TempDir(), 128<<20)
				disks, dirs = append(disks, d), append(dirs, d.Dir)
			}
			edges := edgesIn(t, dirs...)
			var c confirmed
			running := c.startAll(t, edges)
			c.more(t, 300)
			killAll(running)
			disktest.Cut(t, disks...)
			c.check(t, edges)
		})
	}
}
