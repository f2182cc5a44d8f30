package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/tomlfile"
)

// steps are the commands of a section of a guide, in their order.
func steps(t *testing.T, guide, section string) (list [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", guide))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), section)
	if !ok {
		t.Fatalf("%s has no %q", guide, section)
	}
	rest, _, _ = regexpCut(rest, regexp.MustCompile(`(?m)^(#|\*\*From a cluster)`))
	for _, line := range regexp.MustCompile(`(?m)^ {8}terrane (.*)$`).FindAllStringSubmatch(rest, -1) {
		list = append(list, strings.Fields(line[1]))
	}
	return list
}

func regexpCut(text string, at *regexp.Regexp) (before, after string, found bool) {
	where := at.FindStringIndex(text)
	if where == nil {
		return text, "", false
	}
	return text[:where[0]], text[where[1]:], true
}

// clusterSteps are edges that the guides' commands are executed at.
type clusterSteps struct {
	t       *testing.T
	options []lattice.Options // of all edges there will ever be
	data    []string
	edges   map[int]*edgetest.Edge
	dir     string // where files of the commands are
}

func (c *clusterSteps) start(n int) *edgetest.Edge {
	e := edgetest.Start(c.t, func(conf *config.Config) {
		conf.Edge.Name, conf.Edge.Region, conf.Edge.Data = c.options[n].Name, c.options[n].Region, c.data[n]
		conf.Lattice.Cluster = config.Cluster{Listen: c.options[n].Cluster.Listen, Routes: c.routes(n)}
		conf.State.Timeout = tomlfile.Duration(30 * time.Second)
	})
	c.edges[n] = e
	return e
}

// routes lead from an edge to the first three, as the guide has it.
func (c *clusterSteps) routes(n int) (list []string) {
	for i := range 3 {
		if i != n {
			list = append(list, "nats://"+c.options[i].Cluster.Listen)
		}
	}
	return list
}

func (c *clusterSteps) stop(n int) {
	c.edges[n].Stop()
	delete(c.edges, n)
}

// run executes a command at an edge.
func (c *clusterSteps) run(at int, command []string) (out string, err error) {
	args := slices.Clone(command)
	input := ""
	if i := slices.Index(args, "<"); i >= 0 {
		text, err := os.ReadFile(filepath.Join(c.dir, args[i+1]))
		if err != nil {
			c.t.Fatal(err)
		}
		args, input = args[:i], string(text)
	}
	for i, arg := range args {
		switch {
		case arg == "/etc/terrane/terrane.toml":
			args[i] = filepath.Join(c.dir, "terrane.toml")
		case i > 0 && args[i-1] == "--output":
			args[i] = filepath.Join(c.dir, arg)
		}
	}
	if e := c.edges[at]; e != nil && args[0] != "check" {
		args = append(args, "--admin=http://"+e.Admin.Addr().String())
	}
	var text strings.Builder
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(input))
	cmd.SetOut(&text)
	err = cmd.ExecuteContext(c.t.Context())
	return text.String(), err
}

// healthy waits until the doctor finds nothing but addresses of edges that were lost.
func (c *clusterSteps) healthy(at int, lost ...int) {
	c.t.Helper()
	var found []lattice.Finding
	c.edges[at].Await("a healthy cluster", func() bool {
		out, _ := c.run(at, []string{"doctor", "--json"})
		found = nil
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			return false
		}
		return !slices.ContainsFunc(found, func(f lattice.Finding) bool {
			return !slices.ContainsFunc(lost, func(n int) bool {
				return f.Where == "lattice.cluster.routes nats://"+c.options[n].Cluster.Listen
			})
		})
	})
}

// has wants keys at an edge, by reads that prove a majority.
func (c *clusterSteps) has(at int) {
	c.t.Helper()
	for i := range 10 {
		got, err := c.run(at, []string{"kv", "get", "/sites/alice", fmt.Sprint("key", i), "--strict"})
		if err != nil || got != fmt.Sprint("value", i) {
			c.t.Errorf("edge %d: key%d is %q, %v", at, i, got, err)
		}
	}
}

// TestClusterSteps executes the guides' steps: an edge alone becomes one of a cluster, an
// edge is added, a dead one is replaced, one is removed.
func TestClusterSteps(t *testing.T) {
	c := &clusterSteps{t: t, options: latticetest.Cluster(t, "ams", 4), edges: map[int]*edgetest.Edge{}, dir: t.TempDir()}
	for range c.options {
		c.data = append(c.data, t.TempDir())
	}
	alone := edgetest.Start(t, func(conf *config.Config) { conf.Edge.Name, conf.Edge.Region, conf.Edge.Data = "ams1", "ams", c.data[0] })
	for i := range 10 {
		kv(t, alone, "put", "/sites/alice", fmt.Sprint("key", i), fmt.Sprint("value", i))
	}
	alone.Stop()
	c.configure()
	for _, command := range [][]string{{"check", "--config", "/etc/terrane/terrane.toml"}} {
		if out, err := c.run(0, command); err == nil || !strings.Contains(err.Error(), "terrane lattice grow") {
			t.Errorf("the state of an edge alone in a cluster: %v %s", err, out)
		}
	}

	moving := steps(t, "state.md", "**From an edge alone to a cluster.**")
	if len(moving) != 3 {
		t.Fatalf("the steps of a move are %q", moving)
	}
	if out, err := c.run(0, moving[0]); err != nil || !strings.Contains(out, "10 entries are in") {
		t.Fatalf("%v %s", err, out)
	}
	for n := range 3 {
		c.start(n)
	}
	if ready, unmet := c.edges[0].Ready(); ready || !strings.Contains(strings.Join(unmet, ";"), "cluster") {
		t.Errorf("a cluster that is being born is ready: %v %q", ready, unmet)
	}
	if out, err := c.run(0, moving[1]); err != nil || out != "10 entries imported, 0 were there already, 0 have expired\n" {
		t.Fatalf("%v %s", err, out)
	}
	if !slices.Equal(moving[2], []string{"doctor"}) {
		t.Errorf("the last step is %q", moving[2])
	}
	c.healthy(0)
	for n := range 3 {
		c.has(n)
		c.edges[n].Await("readiness", func() bool { ready, _ := c.edges[n].Ready(); return ready })
	}

	c.start(3) // "Add an edge"
	if got := steps(t, "lattice.md", "### Add an edge"); len(got) != 1 || !slices.Equal(got[0], []string{"doctor"}) {
		t.Errorf("the steps to add an edge are %q", got)
	}
	c.healthy(3)
	c.edges[3].Await("readiness", func() bool { ready, _ := c.edges[3].Ready(); return ready })

	replacing := steps(t, "lattice.md", "### Replace a dead edge")
	if len(replacing) != 2 || !slices.Equal(replacing[1], []string{"doctor"}) {
		t.Fatalf("the steps of a replacement are %q", replacing)
	}
	if out, err := c.run(0, replacing[0]); err == nil || !strings.Contains(err.Error(), "heard") {
		t.Errorf("an edge that is there was forgotten: %v %s", err, out)
	}
	c.stop(2)
	c.forget(0, replacing[0])
	c.healthy(0, 2)
	copies := regexp.MustCompile(`copies +state +3 of 3\n`)
	c.edges[3].Await("all copies in its status", func() bool {
		out, err := c.run(3, []string{"status"})
		return err == nil && copies.MatchString(out)
	})
	c.stop(1)
	for _, n := range []int{0, 3} {
		c.has(n)
	}
	removing := steps(t, "lattice.md", "### Remove an edge")
	if len(removing) != 1 {
		t.Fatalf("the steps of a removal are %q", removing)
	}
	for i := range removing[0] {
		removing[0][i] = strings.ReplaceAll(removing[0][i], "ams3", "ams2")
	}
	out := c.forget(3, removing[0])
	if !regexp.MustCompile(`copies +state +2 of 3\n`).MatchString(out) {
		t.Errorf("with one edge less than copies: %s", out)
	}
	for _, n := range []int{0, 3} {
		c.has(n)
	}
}

// forget forgets an edge as soon as it is not heard any more.
func (c *clusterSteps) forget(at int, command []string) (out string) {
	c.t.Helper()
	var err error
	c.edges[at].Await("the silence of an edge", func() bool {
		out, err = c.run(at, command)
		return err == nil || !strings.Contains(err.Error(), "heard")
	})
	if err != nil {
		c.t.Fatalf("%v %s", err, out)
	}
	return out
}

// configure writes the first edge's configuration for commands that read it.
func (c *clusterSteps) configure() {
	c.t.Helper()
	routes, err := json.Marshal(c.routes(0))
	if err == nil {
		text := fmt.Sprintf("[edge]\nname = \"ams1\"\nregion = \"ams\"\ndata = %q\n[[store]]\nkind = \"folder\"\nprefix = \"/sites/\"\npath = %q\n"+
			"[dns]\naddresses = [\"127.0.0.1\"]\nresolvers = [\"127.0.0.1:53\"]\n[tls]\nmode = \"internal\"\n[lattice.cluster]\nlisten = %q\nroutes = %s\n",
			c.data[0], c.dir, c.options[0].Cluster.Listen, routes)
		err = os.WriteFile(filepath.Join(c.dir, "terrane.toml"), []byte(text), 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}
