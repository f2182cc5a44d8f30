package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/edge/edgetest"
)

func TestEdgesWakeEachOther(t *testing.T) {
	g := edgetest.NewGitStore(t)
	g.Push("alice/index.html", "before")
	hub, leaf := edgetest.StartLattice(t, g)
	leaf.Await("the first release", leaf.Shows("before"))
	admin := "--admin=http://" + leaf.Admin.Addr().String()

	after := g.Push("alice/index.html", "after")
	if out, err := terrane(t, "status", admin, "--wait", after, "--timeout", "300ms"); err == nil {
		t.Errorf("status --wait before any edge was told: %s", out)
	}
	if code := hub.Hook("s3cret"); code != http.StatusAccepted { // one edge is told ...
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
	for _, e := range []*edgetest.Edge{hub, leaf} {
		if !e.Shows("after")() {
			t.Errorf("%s is behind", e.Name())
		}
	}

	broken := g.Push("alice/index.wasm", "no module")
	hub.Hook("s3cret")
	if out, err := terrane(t, "status", admin, "--wait", broken); err == nil || !strings.Contains(err.Error(), "1: /git/alice: index.wasm") {
		t.Errorf("status --wait for a broken release: %v %s", err, out)
	}
}

func TestLogsOfAllEdges(t *testing.T) {
	g := edgetest.NewGitStore(t)
	g.Push("alice/index.html", "text")
	hub, leaf := edgetest.StartLattice(t, g)
	for _, e := range []*edgetest.Edge{hub, leaf} {
		e.Await("the release", e.Shows("text"))
		e.Logs.Of("/git/alice").Log(&hostcalls.Request{ID: "request", Module: "m.wasm"}, slog.LevelWarn, "a line")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		cmd := newCommand()
		cmd.SetArgs([]string{"logs", "/git/alice", "-f", "--admin=http://" + leaf.Admin.Addr().String()})
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
	hub.Logs.Of("/git/alice").Log(&hostcalls.Request{ID: "request"}, slog.LevelInfo, "another")
	wants(" ams1 info  request  another")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestSessionsResumeAtAnyEdge has a client come to one edge and then to the other.
func TestSessionsResumeAtAnyEdge(t *testing.T) {
	g := edgetest.NewGitStore(t)
	g.Push("alice/index.html", "text")
	hub, leaf := edgetest.StartLattice(t, g)
	for _, e := range []*edgetest.Edge{hub, leaf} {
		e.Await("the release", e.Shows("text"))
	}
	resumes := func(first, then *edgetest.Edge) bool {
		client := &tls.Config{
			ServerName: "alice.example", InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		var state tls.ConnectionState
		for _, e := range []*edgetest.Edge{first, then} {
			_, https := e.Server.Addrs()
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
	hub.Await("keys that edges share", func() bool { return resumes(hub, leaf) && resumes(leaf, hub) })
}

// TestCutOffEdgeServesOn stops the hub.
func TestCutOffEdgeServesOn(t *testing.T) {
	g := edgetest.NewGitStore(t)
	g.Push("alice/index.html", "before")
	hub, leaf := edgetest.StartLattice(t, g)
	leaf.Await("the first release", leaf.Shows("before"))
	hub.Stop()
	leaf.Await("the hub's goodbye", func() bool { return len(leaf.Heard()) == 1 })
	if !leaf.Shows("before")() {
		t.Error("an edge without its hub does not serve")
	}
	g.Push("alice/index.html", "after")
	leaf.Hook("s3cret")
	leaf.Await("a deploy without the hub", leaf.Shows("after"))
	leaf.Await("readiness", func() bool { ready, _ := leaf.Ready(); return ready })
	out, err := terrane(t, "status", "--admin=http://"+leaf.Admin.Addr().String())
	if err != nil || !strings.Contains(out, "ams1") || !strings.Contains(out, "left at") {
		t.Errorf("status: %v\n%s", err, out)
	}
}

// TestRollbackEverywhere rolls back by way of one edge.
func TestRollbackEverywhere(t *testing.T) {
	g := edgetest.NewGitStore(t)
	before := g.Push("alice/index.html", "before")
	hub, leaf := edgetest.StartLattice(t, g)
	leaf.Await("the first release", leaf.Shows("before"))
	hub.Await("the first release", hub.Shows("before"))
	g.Push("alice/index.html", "after")
	hub.Hook("s3cret")
	leaf.Await("the second release", leaf.Shows("after"))
	hub.Await("the second release", hub.Shows("after"))

	admin := "--admin=http://" + leaf.Admin.Addr().String()
	if out, err := terrane(t, "rollback", "/git/alice", before, admin); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for _, e := range []*edgetest.Edge{hub, leaf} {
		if !e.Shows("before")() {
			t.Errorf("%s is not rolled back", e.Name())
		}
	}
}
