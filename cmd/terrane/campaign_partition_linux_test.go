package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// partitionCampaign is a cluster of three edges whose links can be cut.
type partitionCampaign struct {
	t     *testing.T
	git   *edgetest.GitStore
	edges []*ownProcess
	ports []string              // where each edge listens for the others
	links [3][3]*certstest.Gate // from the edge that dials
	shut  [3][3]bool            // which of them

	asked, unwritten atomic.Int64 // requests; writes that were refused

	mu    sync.Mutex
	acked []string // guarded by mu: keys whose writes were confirmed
	since [3]count // guarded by mu: of each edge, since the last change of the links
}

// count is of writes.
type count struct{ confirmed, refused int }

func startPartitionCampaign(t *testing.T) *partitionCampaign {
	t.Helper()
	c := &partitionCampaign{t: t, git: edgetest.NewGitStore(t)}
	binary := build(t, "partition")
	for i := range c.links {
		c.ports = append(c.ports, latticetest.FreeAddr(t))
		c.edges = append(c.edges, newOwnProcess(t, fmt.Sprint("ams", i+1)))
	}
	for _, guest := range []string{"keep", "probe"} {
		c.git.Push(guest+"/index.wasm", string(edgetest.File(t, "cmd/terrane/testdata/guests/"+guest+".wasm")))
	}
	c.git.Push("page/index.html", "first")
	c.eachLink(func(from, to int) { c.links[from][to], c.shut[from][to] = certstest.NewGate(t), true })
	for i, p := range c.edges {
		var routes []string
		for j := range c.edges {
			if i != j {
				routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", c.links[i][j].Port()))
			}
		}
		list, _ := json.Marshal(routes) //nolint:errchkjson // strings
		p.store = fmt.Sprintf("kind = \"git\"\nprefix = \"/sites/\"\nurl = \"file://%s/tenants.git\"\nbranch = \"main\"\npoll = \"200ms\"\n", c.git.Dir)
		// What an edge says of its address leads around the links: nobody is there.
		p.more = fmt.Sprintf("[lattice.cluster]\nlisten = %q\nadvertise = \"127.0.0.1:9\"\nroutes = %s\n", c.ports[i], list)
	}
	c.heal()
	for _, p := range c.edges {
		p.start(binary, nil)
		for _, name := range []string{"page", "keep", "probe"} {
			p.domain(name)
		}
	}
	for _, p := range c.edges {
		p.await("readiness", func() bool { return p.ready() == nil })
		p.await("the page", func() bool { return p.shows("page", "/", "first") })
	}
	return c
}

func (c *partitionCampaign) eachLink(f func(from, to int)) {
	for i := range c.links {
		for j := range c.links {
			if i != j {
				f(i, j)
			}
		}
	}
}

// heal makes all links whole.
func (c *partitionCampaign) heal() {
	c.eachLink(func(i, j int) {
		c.links[i][j].Hold(false, false)
		if c.shut[i][j] {
			c.links[i][j].To(c.ports[j])
		}
		c.shut[i][j] = false
	})
	c.anew()
}

// cut ends the connections between two edges.
func (c *partitionCampaign) cut(i, j int) {
	c.links[i][j].Shut()
	c.links[j][i].Shut()
	c.shut[i][j], c.shut[j][i] = true, true
}

// deafen lets nothing pass from one edge to another, on connections that stay open.
func (c *partitionCampaign) deafen(from, to int) {
	c.links[from][to].Hold(true, false)
	c.links[to][from].Hold(false, true)
}

func (c *partitionCampaign) anew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = [3]count{}
}

// writes is what became of an edge's writes since the links changed.
func (c *partitionCampaign) writes(at int) count {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.since[at]
}

// partitions are the ways to divide edge k from i and j; whether writes go on at i and j, and
// whether k can write nothing.
var partitions = []struct {
	name   string
	divide func(c *partitionCampaign, k, i, j int)
	writes bool
	alone  bool
}{
	{"one edge alone", func(c *partitionCampaign, k, i, j int) { c.cut(k, i); c.cut(k, j) }, true, true},
	{"nobody hears one edge", func(c *partitionCampaign, k, i, j int) { c.deafen(k, i); c.deafen(k, j) }, true, true},
	{"each alone", func(c *partitionCampaign, k, i, j int) { c.cut(k, i); c.cut(k, j); c.cut(i, j) }, false, true},
	{"one edge hears nobody", func(c *partitionCampaign, k, i, j int) { c.deafen(i, k); c.deafen(j, k) }, true, true},
	{"one link", func(c *partitionCampaign, k, i, _ int) { c.cut(k, i) }, false, false},
	{"one link, one way", func(c *partitionCampaign, k, i, _ int) { c.deafen(k, i) }, false, false},
	{"two ways in a ring", func(c *partitionCampaign, k, i, j int) { c.deafen(k, i); c.deafen(i, j); c.deafen(j, k) }, false, false},
	{"links that flap", func(c *partitionCampaign, k, i, j int) {
		for range 5 {
			c.cut(k, i)
			c.cut(k, j)
			<-time.After(300 * time.Millisecond)
			c.heal()
			<-time.After(300 * time.Millisecond)
		}
	}, true, false},
}

// visit has visitors read and write at an edge until stop is closed.
func (c *partitionCampaign) visit(p *ownProcess, at int, stop <-chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(100 * time.Millisecond): // all is read again
		}
		c.asked.Add(2)
		for name, body := range map[string]string{"page": "", "probe": "g\x06\x00/first"} {
			if code, text, err := p.ask(name, "/", body); err != nil || code != http.StatusOK {
				c.t.Errorf("%s: %s: %d %q %v", p.name, name, code, text, err)
			}
		}
		key := fmt.Sprintf("/%s-%d", p.name, n)
		resp, err := p.client.Post("https://keep.example"+key, "text/plain", strings.NewReader(key))
		if err != nil {
			c.t.Errorf("%s: a write: %v", p.name, err)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		switch {
		case err == nil && resp.StatusCode == http.StatusOK:
			c.mu.Lock()
			c.acked = append(c.acked, key)
			c.since[at].confirmed++
			c.mu.Unlock()
		case err == nil && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
			c.unwritten.Add(1)
			c.mu.Lock()
			c.since[at].refused++
			c.mu.Unlock()
		default:
			c.t.Errorf("%s: a write: %d %v %q %v", p.name, resp.StatusCode, resp.Header, text, err)
		}
	}
}

// served is what an edge serves of the page.
func (c *partitionCampaign) served(p *ownProcess) (s tenant.Served) {
	var list []tenantsync.Release
	text, err := p.page("/releases?tenant=/sites/page")
	if err != nil || json.Unmarshal([]byte(text), &list) != nil {
		return s
	}
	for _, r := range list {
		if r.Live {
			s = tenant.Served{ID: "/sites/page", Revision: r.Revision, Content: r.Content, Pin: r.Pin}
		}
	}
	return s
}

// release returns the revision that p serves of a page that was pushed with a text.
func (c *partitionCampaign) release(text string) {
	c.t.Helper()
	c.git.Push("page/index.html", text)
	for _, p := range c.edges { // each reads the store itself
		p.await("the release "+text, func() bool { return p.shows("page", "/", text) })
	}
}

// bad pushes a release that is refused, or takes it back.
func (c *partitionCampaign) bad(bad bool) {
	c.t.Helper()
	if bad {
		c.git.Push("page/index.wasm", "no module")
	} else if _, err := os.Stat(filepath.Join(c.git.Dir, "work/page/index.wasm")); err == nil {
		c.git.Git("-C", "work", "rm", "--quiet", "page/index.wasm")
	}
}

// agree awaits that all edges serve a text by the same choice, and that none sees a difference.
func (c *partitionCampaign) agree(text string) {
	c.t.Helper()
	for _, p := range c.edges {
		p.await("agreement on "+text, func() bool {
			metrics, err := p.page("/metrics")
			return err == nil && p.shows("page", "/", text) && c.served(p).Sum() == c.served(c.edges[0]).Sum() &&
				strings.Contains(metrics, "\nterrane_fleet_revision_differences_count 0\n")
		})
	}
}

// read reads keys strictly at each edge, which may have to catch up first.
func (c *partitionCampaign) read(keys []string) {
	c.t.Helper()
	var all sync.WaitGroup
	for _, p := range c.edges {
		all.Go(func() {
			late := time.Now().Add(time.Minute)
			for _, key := range keys {
				text, err := p.page("/kv/entry?strict=1&tenant=/sites/keep&key=" + key)
				for err != nil && time.Now().Before(late) {
					<-time.After(50 * time.Millisecond)
					text, err = p.page("/kv/entry?strict=1&tenant=/sites/keep&key=" + key)
				}
				if err != nil || !strings.Contains(text, key) {
					c.t.Errorf("%s: %s was confirmed, and is %q %v", p.name, key, text, err)
				}
			}
		})
	}
	all.Wait()
}

// TestCampaignPartition cuts the links between three edges in many ways, also one way only, while
// releases are pushed and rolled back and state is written. Each edge answers all the time.
// When the links are whole, all serve the same, and have each write that was confirmed.
func TestCampaignPartition(t *testing.T) {
	rounds := campaign.Tries(1, len(partitions))
	c := startPartitionCampaign(t)
	if code, text, err := c.edges[0].ask("keep", "/first", "x"); err != nil || code != http.StatusOK {
		t.Fatal(code, text, err)
	}
	for _, p := range c.edges {
		p.await("the first key", func() bool {
			code, _, err := p.ask("probe", "/", "g\x06\x00/first")
			return err == nil && code == http.StatusOK
		})
	}
	stop := make(chan struct{})
	var visitors sync.WaitGroup
	for i, p := range c.edges {
		visitors.Go(func() { c.visit(p, i, stop) })
	}
	end := sync.OnceFunc(func() { close(stop); visitors.Wait() })
	defer end()
	read := 0
	for round := range rounds {
		way, begun := partitions[round%len(partitions)], time.Now()
		order := rand.Perm(len(c.edges))
		k, i, j := order[0], order[1], order[2]
		way.divide(c, k, i, j)
		c.anew()
		name := fmt.Sprintf("round %d, %s, edge %s", round, way.name, c.edges[k].name)

		before, after := fmt.Sprint("before ", round), fmt.Sprint("after ", round)
		c.bad(false)
		c.release(before)
		first := c.served(c.edges[i])
		c.release(after)
		if way.writes {
			for _, at := range []int{i, j} {
				c.edges[at].await(name+": writes", func() bool { return c.writes(at).confirmed >= 3 })
			}
		}
		if way.alone {
			c.edges[k].await(name+": a write that is refused", func() bool { return c.writes(k).refused > 0 })
		}
		want := after
		if round%2 == 1 { // the newest of two rollbacks counts, on whichever side
			c.bad(true)
			for _, back := range []struct {
				edge int
				to   tenant.Revision
			}{{i, c.served(c.edges[i]).Revision}, {k, first.Revision}} {
				_, err := terrane(t, "rollback", "/sites/page", string(back.to), "--reason", name, "--admin=http://"+c.edges[back.edge].admin)
				if err != nil && !strings.Contains(err.Error(), "rolled back, but not at edge") {
					t.Errorf("%s: %v", name, err)
				}
			}
			want = before
		}
		divided := time.Since(begun)
		c.heal()
		for at, p := range c.edges {
			p.await(name+": writes again", func() bool { return c.writes(at).confirmed >= 3 })
		}
		wrote := time.Since(begun) - divided
		c.agree(want)
		agreed := time.Since(begun) - divided
		c.mu.Lock()
		keys := slices.Clone(c.acked[read:])
		read = len(c.acked)
		c.mu.Unlock()
		c.read(keys)
		if t.Failed() {
			for _, p := range c.edges {
				t.Logf("%s:\n%s", p.name, p.tail())
			}
			t.Fatal(name)
		}
		t.Logf("%s: divided for %v, all wrote after %v and agreed after %v; %d writes confirmed, %d refused so far", name, divided, wrote, agreed, len(keys), c.unwritten.Load())
	}
	end()
	c.read(c.acked)
	campaign.Row(t, "links between three edges are cut in 8 ways, also one way only, under releases, rollbacks and writes", rounds,
		fmt.Sprintf("all edges serve the newest good release or the newest rollback, 0 of %d confirmed writes lost (%d refused with Retry-After), 0 of %d reads failed",
			len(c.acked), c.unwritten.Load(), c.asked.Load()))
}
