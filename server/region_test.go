package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/placement"
	"github.com/terrane/terrane/server"
)

// across is an edge in ams that forwards to edges in fra over a lattice.
type across struct {
	net  *latticetest.Net
	ams  *edge
	fra  []*edge
	stop []func() // what serves other regions at an edge of fra, and waits
}

// patient is for what only a hang may outlast: a busy machine takes its time.
const patient = 5 * time.Minute

func startAcross(t testing.TB, fra int, eng engine.Engine, inFra ...func(*server.SitesOptions)) *across {
	t.Helper()
	a := &across{net: latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: fra})}
	for _, node := range a.net.Nodes() {
		var srv *server.Server
		p := placement.New(placement.Options{
			Lattice: node.Lattice,
			Edges:   a.names,
			Serve:   func(ctx context.Context, ln net.Listener) error { return srv.ServeForwarded(ctx, ln) },
		})
		e := startEdge(t, edgeOptions{
			engine: eng,
			sites: func(o *server.SitesOptions) {
				o.Limits.Concurrency, o.Limits.Wall, o.Logger = 256, patient, slog.New(slog.DiscardHandler)
				for _, change := range inFra {
					if node.Region() == "fra" {
						change(o)
					}
				}
			},
			server: func(o *server.Options) {
				o.Edge, o.Region, o.Elsewhere, o.ServePlain, o.Drain = node.Name(), node.Region(), p, true, patient
			},
		})
		srv = e.srv
		if node.Region() == "ams" {
			a.ams = e
			continue
		}
		a.fra, a.stop = append(a.fra, e), append(a.stop, latticetest.Run(t, p.Run))
	}
	return a
}

// names are the edges of a region.
func (a *across) names(region string) (list []string) {
	for _, node := range a.net.Nodes() {
		if node.Region() == region {
			list = append(list, node.Name())
		}
	}
	return list
}

// deploy deploys files at all edges, to stay in fra, and waits until they are served.
func (a *across) deploy(t testing.TB, files ...string) {
	t.Helper()
	for _, e := range append(a.fra, a.ams) {
		e.place("alice.example", []string{"fra"}, append(files, "up.txt", "up")...)
	}
	latticetest.Await(t, func() bool { return get(t, a.ams.client(), "http://alice.example/up.txt").StatusCode == http.StatusOK }, nil)
}

// TestForwardedVisitorLeaves: what a visitor has left ends at the edge that works on it.
func TestForwardedVisitorLeaves(t *testing.T) {
	eng := newStub()
	a := startAcross(t, 1, eng)
	a.deploy(t, "slow.wasm", "wait:x")
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		resp, err := a.ams.client().Do(request(t, http.MethodGet, "https://alice.example/slow", nil).WithContext(ctx))
		if err == nil {
			err = errors.Join(fmt.Errorf("answered %d", resp.StatusCode), resp.Body.Close())
		}
		left <- err
	}()
	<-eng.entered
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	latticetest.Await(t, func() bool { return a.fra[0].srv.InFlight() == 0 && a.ams.srv.InFlight() == 0 }, nil)
}

// TestForwardedDrain: an edge that shuts down ends what other edges have given it, and
// the next takes what comes.
func TestForwardedDrain(t *testing.T) {
	eng := newStub()
	a := startAcross(t, 2, eng)
	a.deploy(t, "slow.wasm", "wait:slow")
	const count = 16
	var all sync.WaitGroup
	by := make(chan string, count)
	client := a.ams.client()
	for range count {
		all.Go(func() {
			resp, err := client.Do(request(t, http.MethodPost, "https://alice.example/slow", strings.NewReader("body")))
			if err != nil {
				t.Error(err)
				return
			}
			body, err := io.ReadAll(resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || string(body) != "slow" {
				t.Errorf("%d %q %v", resp.StatusCode, body, err)
			}
			by <- resp.Header.Get("Terrane-Edge")
		})
	}
	for range count {
		<-eng.entered
	}
	drains := 0
	if a.fra[1].srv.InFlight() > a.fra[0].srv.InFlight() {
		drains = 1
	}
	ended := make(chan struct{})
	go func() { defer close(ended); a.stop[drains]() }()
	for i := range 50 { // visitors go on to come
		if got := get(t, client, "https://alice.example/up.txt"); got.StatusCode != http.StatusOK {
			t.Errorf("request %d during the drain: %d %s", i, got.StatusCode, got.body)
		}
	}
	select {
	case <-ended:
		t.Error("it ended before what it had in flight")
	default:
	}
	close(eng.proceed)
	all.Wait()
	<-ended
	if got := get(t, client, "https://alice.example/up.txt").Header.Get("Terrane-Edge"); got == fmt.Sprintf("fra%d", drains+1) {
		t.Errorf("%s answers, which has shut down", got)
	}
	close(by)
	n := 0
	for name := range by {
		if name == fmt.Sprintf("fra%d", drains+1) {
			n++
		}
	}
	if n == 0 {
		t.Error("the edge that shut down had nothing in flight")
	}
}

// TestForwardedCut: a region that cannot be reached is told so in time, what it had in
// hand too, and it answers again when it is back.
func TestForwardedCut(t *testing.T) {
	eng := newStub()
	a := startAcross(t, 1, eng)
	a.deploy(t, "slow.wasm", "wait:slow")
	client := a.ams.client()
	code := make(chan int, 1)
	go func() {
		resp, err := client.Do(request(t, http.MethodPost, "https://alice.example/slow", strings.NewReader("body")))
		if err != nil {
			t.Error(err)
			code <- 0
			return
		}
		closed(t, resp.Body)
		code <- resp.StatusCode
	}()
	<-eng.entered
	a.net.Cut(true, "fra1")
	if got := <-code; got != http.StatusServiceUnavailable {
		t.Errorf("what the region had in hand: %d", got)
	}
	get(t, client, "https://alice.example/up.txt").want(t, 503, "regions")
	latticetest.Await(t, func() bool { return a.fra[0].srv.InFlight() == 0 }, nil) // nobody waits for it any more
	a.net.Cut(false, "fra1")
	latticetest.Await(t, func() bool { return get(t, client, "https://alice.example/up.txt").StatusCode == http.StatusOK }, nil)
}

// TestForwardedFull: what an edge has no room for is given to one that has.
func TestForwardedFull(t *testing.T) {
	eng := newStub()
	a := startAcross(t, 3, eng, func(o *server.SitesOptions) { o.Limits.Concurrency = 1 })
	a.deploy(t, "slow.wasm", "wait:slow")
	client := a.ams.client()
	slow := func() answer {
		return do(t, client, request(t, http.MethodPost, "https://alice.example/slow", strings.NewReader("body")))
	}
	var all sync.WaitGroup
	for range 3 { // one at each edge
		all.Go(func() { slow().want(t, 200, "slow") })
		select {
		case <-eng.entered:
		case <-time.After(latticetest.Patience):
			t.Fatal("an edge has room, and does not get the request")
		}
	}
	full := slow()
	full.want(t, 503, "in flight")
	if h := full.Header; h.Get("Retry-After") == "" || h.Get("Terrane-Not-Begun") != "" || !strings.HasPrefix(h.Get("Terrane-Edge"), "fra") {
		t.Errorf("where all are full: %v", h)
	}
	close(eng.proceed)
	all.Wait()
}

// TestForwardedClosing: a request that meets a connection that is being closed is done
// on another, once, whatever its method.
func TestForwardedClosing(t *testing.T) {
	n := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 1}, latticetest.Region{Name: "fra", Edges: 1})
	var served atomic.Int64
	closes := make(chan struct{})
	once := func(ctx context.Context, c net.Conn) { // answers a request, and closes when the next one comes
		defer c.Close() //nolint:errcheck // the end
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
		}
		served.Add(1) // before it is answered
		if err == nil {
			_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		if err != nil {
			t.Error(err)
		}
		select {
		case <-closes:
		case <-ctx.Done():
		}
	}
	latticetest.Run(t, placement.New(placement.Options{
		Lattice: n.Node("fra1").Lattice,
		Serve: func(ctx context.Context, ln net.Listener) error {
			var all sync.WaitGroup
			defer all.Wait()
			all.Go(func() { <-ctx.Done(); closed(t, ln) })
			for {
				c, err := ln.Accept()
				if err != nil {
					return nil //nolint:nilerr // ctx has ended
				}
				all.Go(func() { once(ctx, c) })
			}
		},
	}).Run)
	e := startEdge(t, edgeOptions{engine: newStub(), server: func(o *server.Options) {
		o.Edge, o.Region, o.Elsewhere = "ams1", "ams", placement.New(placement.Options{Lattice: n.Node("ams1").Lattice})
	}})
	e.place("alice.example", []string{"fra"}, "index.wasm", "say:here")
	client := e.client()
	latticetest.Await(t, func() bool { return get(t, client, "https://alice.example/").StatusCode == http.StatusOK }, nil)
	const count = 50
	first := served.Load()
	for i := range count {
		go func() { // before, while or after the request is sent
			select {
			case closes <- struct{}{}:
			case <-t.Context().Done():
			}
		}()
		do(t, client, request(t, http.MethodPost, "https://alice.example/", strings.NewReader("body"))).want(t, 200, "ok")
		if t.Failed() {
			t.Fatalf("request %d", i)
		}
	}
	if n := served.Load() - first; n != count {
		t.Errorf("%d requests were done for %d", n, count)
	}
}

// TestForwardedLimits: the limits on bodies are those of any request, over the lattice too.
func TestForwardedLimits(t *testing.T) {
	a := startAcross(t, 1, newStub())
	large := strings.Repeat("x", 8<<20)
	a.deploy(t, "tell.wasm", "tell:x", "large.txt", large)
	c := a.ams.client()
	body := strings.Repeat("x", 256<<10)
	do(t, c, request(t, http.MethodPost, "https://alice.example/tell", strings.NewReader(body))).want(t, 200, "body 262144")
	do(t, c, request(t, http.MethodPost, "https://alice.example/tell", strings.NewReader(body+"x"))).want(t, 413, "too large")
	unknown := request(t, http.MethodPost, "https://alice.example/tell", io.MultiReader(strings.NewReader(body), strings.NewReader("x")))
	unknown.ContentLength = -1
	do(t, c, unknown).want(t, 413, "too large")
	if got := get(t, c, "https://alice.example/large.txt"); got.StatusCode != http.StatusOK || got.body != large {
		t.Errorf("%d, %d bytes, want %d", got.StatusCode, len(got.body), len(large))
	}
}

// BenchmarkForward is requests per second that an edge has another region answer,
// beside those that it answers itself, in turns: over a lattice of two edges in one
// process, 64 connections. "ratio" is forwarded over local.
func BenchmarkForward(b *testing.B) {
	a := startAcross(b, 1, newEngine(b))
	a.deploy(b, "index.wasm", guest(b, "../examples/hello-wat/hello.wasm"))
	a.ams.deploy("bob.example", "index.wasm", guest(b, "../examples/hello-wat/hello.wasm"))
	loads := [2]*load{}
	for i, host := range []string{"alice", "bob"} {
		loads[i] = newLoad(b, a.ams.http, fmt.Appendf(nil, "GET / HTTP/1.1\r\nHost: %s.example\r\n\r\n", host))
		loads[i].run(b, 2000)
	}
	var costs [2]cost
	n := 0
	for b.Loop() {
		for i, l := range loads {
			costs[i].add(l.run(b, 2500))
		}
		n += 2500
	}
	b.ReportMetric(costs[1].wall.Seconds()/costs[0].wall.Seconds(), "ratio")
	b.ReportMetric(float64(n)/costs[0].wall.Seconds(), "forwarded/s")
	b.ReportMetric(float64(n)/costs[1].wall.Seconds(), "local/s")
}
