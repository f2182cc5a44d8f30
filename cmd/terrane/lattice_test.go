package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice"
)

// startLattice starts a hub and a leaf that mirror a repository and hardly ever poll.
func startLattice(t *testing.T, g *gitStore) (hub, leaf *anEdge) {
	t.Helper()
	start := func(name string, change func(*config.Lattice)) *anEdge {
		return startEdge(t, func(c *config.Config) {
			g.store(time.Hour)(c)
			c.Edge.Name, c.Edge.Region = name+"1", name
			c.TLS.Key = "a secret of at least 32 characters"
			change(&c.Lattice)
		}, func(e *anEdge) { e.domain("alice.example", "terrane=/git/alice/") })
	}
	hub = start("ams", func(l *config.Lattice) { l.LeafListen = "127.0.0.1:0" })
	if _, err := hub.edge.lattice.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, at := hub.edge.lattice.Addrs()
	leaf = start("fra", func(l *config.Lattice) { l.Leaf = []string{"nats://" + at.String()} })
	for _, e := range []*anEdge{hub, leaf} {
		e.await("the other edge", func() bool { return len(e.heard()) == 2 })
	}
	return hub, leaf
}

// heard are the names of the edges that are not silent.
func (e *anEdge) heard() (names []string) {
	for _, p := range e.edge.lattice.presence.Edges() {
		if !p.Silent {
			names = append(names, p.Name)
		}
	}
	return names
}

func (e *anEdge) shows(text string) func() bool {
	return func() bool { _, body := e.request("alice.example", "alice.example", "/"); return body == text }
}

// TestLatticeExamples wants nothing wrong with them but that this machine lacks their secrets.
func TestLatticeExamples(t *testing.T) {
	t.Setenv("TERRANE_TLS_KEY", "a secret of at least 32 characters")
	files, err := filepath.Glob("../../examples/edge/lattice-*.toml")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		c, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		o := latticeOptions(&c.Lattice)
		o.Name, o.Region = c.Edge.Name, c.Edge.Region
		_, err = lattice.New(o)
		faults, ok := errors.AsType[lattice.Faults](err)
		if !ok {
			t.Errorf("%s: %v", file, err)
		}
		for _, f := range faults {
			if !errors.Is(f.Err, fs.ErrNotExist) {
				t.Errorf("%s: %s: %v", file, f.Key, f.Err)
			}
		}
	}
}

func TestEdgesWakeEachOther(t *testing.T) {
	g := newGitStore(t)
	g.push("alice/index.html", "before")
	hub, leaf := startLattice(t, g)
	leaf.await("the first release", leaf.shows("before"))
	admin := "--admin=http://" + leaf.edge.admin.Addr().String()

	after := g.push("alice/index.html", "after")
	if out, err := terrane(t, "status", admin, "--wait", after, "--timeout", "300ms"); err == nil {
		t.Errorf("status --wait before any edge was told: %s", out)
	}
	if code := hub.hook("s3cret"); code != http.StatusAccepted { // one edge is told ...
		t.Errorf("a webhook: %d", code)
	}
	out, err := terrane(t, "status", admin, "--wait", after) // ... and all take it
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ams1", "fra1", after[:7]} {
		if !strings.Contains(out, want) {
			t.Errorf("status does not show %s:\n%s", want, out)
		}
	}
	for _, e := range []*anEdge{hub, leaf} {
		if !e.shows("after")() {
			t.Errorf("%s is behind", e.edge.cfg.Edge.Name)
		}
	}

	broken := g.push("alice/index.wasm", "no module")
	hub.hook("s3cret")
	if out, err := terrane(t, "status", admin, "--wait", broken); err == nil || !strings.Contains(err.Error(), "1: /git/alice: index.wasm") {
		t.Errorf("status --wait for a broken release: %v %s", err, out)
	}
}

func TestLogsOfAllEdges(t *testing.T) {
	g := newGitStore(t)
	g.push("alice/index.html", "text")
	hub, leaf := startLattice(t, g)
	for _, e := range []*anEdge{hub, leaf} {
		e.await("the release", e.shows("text"))
		e.edge.logs.Of("/git/alice").Log(&hostcalls.Request{ID: "request", Module: "m.wasm"}, slog.LevelWarn, "a line")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		cmd := newCommand()
		cmd.SetArgs([]string{"logs", "/git/alice", "-f", "--admin=http://" + leaf.edge.admin.Addr().String()})
		cmd.SetOut(in)
		ended <- errors.Join(cmd.ExecuteContext(ctx), in.Close())
	}()
	lines := bufio.NewScanner(out)
	wants := func(want string) {
		t.Helper()
		if !lines.Scan() || !strings.HasSuffix(lines.Text(), want) {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
	wants(" ams1 warn  request m.wasm a line")
	wants(" fra1 warn  request m.wasm a line")
	hub.edge.logs.Of("/git/alice").Log(&hostcalls.Request{ID: "request"}, slog.LevelInfo, "another")
	wants(" ams1 info  request  another")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestSessionsResumeAtAnyEdge has a client come to one edge and then to the other.
func TestSessionsResumeAtAnyEdge(t *testing.T) {
	g := newGitStore(t)
	g.push("alice/index.html", "text")
	hub, leaf := startLattice(t, g)
	for _, e := range []*anEdge{hub, leaf} {
		e.await("the release", e.shows("text"))
	}
	resumes := func(first, then *anEdge) bool {
		client := &tls.Config{
			ServerName: "alice.example", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		var state tls.ConnectionState
		for _, e := range []*anEdge{first, then} {
			_, https := e.edge.server.Addrs()
			conn, err := tls.Dial("tcp", https[0].String(), client)
			if err != nil {
				t.Fatal(err)
			}
			// The ticket comes before the answer.
			if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: alice.example\r\nConnection: close\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Fatal(err)
			}
			state = conn.ConnectionState()
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		return state.DidResume
	}
	hub.await("keys that edges share", func() bool { return resumes(hub, leaf) && resumes(leaf, hub) })
}

// TestCutOffEdgeServesOn stops the hub.
func TestCutOffEdgeServesOn(t *testing.T) {
	g := newGitStore(t)
	g.push("alice/index.html", "before")
	hub, leaf := startLattice(t, g)
	leaf.await("the first release", leaf.shows("before"))
	hub.stop()
	leaf.await("the hub's goodbye", func() bool { return len(leaf.heard()) == 1 })
	if !leaf.shows("before")() {
		t.Error("an edge without its hub does not serve")
	}
	g.push("alice/index.html", "after")
	leaf.hook("s3cret")
	leaf.await("a deploy without the hub", leaf.shows("after"))
	leaf.await("readiness", func() bool { ready, _ := leaf.edge.ready(); return ready })
	out, err := terrane(t, "status", "--admin=http://"+leaf.edge.admin.Addr().String())
	if err != nil || !strings.Contains(out, "ams1") || !strings.Contains(out, "left at") {
		t.Errorf("status: %v\n%s", err, out)
	}
}

// TestRollbackEverywhere rolls back by way of one edge.
func TestRollbackEverywhere(t *testing.T) {
	g := newGitStore(t)
	before := g.push("alice/index.html", "before")
	hub, leaf := startLattice(t, g)
	leaf.await("the first release", leaf.shows("before"))
	hub.await("the first release", hub.shows("before"))
	g.push("alice/index.html", "after")
	hub.hook("s3cret")
	leaf.await("the second release", leaf.shows("after"))
	hub.await("the second release", hub.shows("after"))

	admin := "--admin=http://" + leaf.edge.admin.Addr().String()
	if out, err := terrane(t, "rollback", "/git/alice", before, admin); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for _, e := range []*anEdge{hub, leaf} {
		if !e.shows("before")() {
			t.Errorf("%s is not rolled back", e.edge.cfg.Edge.Name)
		}
	}
}
