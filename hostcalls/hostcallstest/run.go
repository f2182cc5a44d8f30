package hostcallstest

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/engine"
)

//go:embed guests/*.wasm
var guests embed.FS

// Guest is the module of that name in the kit, without ".wasm".
func Guest(t testing.TB, name string) []byte {
	t.Helper()
	if name == "go" {
		return goGuest(t)
	}
	b, err := guests.ReadFile("guests/" + name + ".wasm")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Host makes a module of a tenant ready to serve. It is called for one at a time. Serve runs one request; its
// error is the guest's trap, and a host that does not show traps answers with a
// code from 500 instead. What the host needs to clean up it gives to t.Cleanup.
type Host func(t *testing.T, wasm []byte, tn *hostcalls.Tenant) Serve

// Serve runs one request. It is safe for concurrent use.
type Serve func(ctx context.Context, req *hostcalls.Request) (*hostcalls.Response, error)

// Engine is the Host that runs guests on an engine, without a server. It compiles
// each guest once, and closes them when t ends.
func Engine(t testing.TB, e engine.Engine) Host {
	type key struct {
		wasm   string
		limits engine.Limits
	}
	modules := map[key]engine.Module{}
	t.Cleanup(func() {
		for _, m := range modules {
			if err := m.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}
	})
	return func(t *testing.T, wasm []byte, tn *hostcalls.Tenant) Serve {
		k := key{string(wasm), engine.Limits{Memory: tn.Limits.Memory, CPU: tn.Limits.CPU}}
		if modules[k] == nil {
			m, err := e.Compile(t.Context(), wasm, k.limits)
			if err != nil {
				t.Fatal(err)
			}
			modules[k] = m
		}
		m := modules[k]
		return func(ctx context.Context, req *hostcalls.Request) (*hostcalls.Response, error) {
			x := hostcalls.NewExchange(tn, req)
			defer x.Close()
			if err := m.Run(ctx, x); err != nil {
				return nil, err
			}
			r := x.Response()
			return &hostcalls.Response{Code: r.Code, Header: r.Header.Clone(), Body: slices.Clone(r.Body)}, nil
		}
	}
}

// test is one request to one guest.
type test struct {
	name  string
	guest string
	req   hostcalls.Request // Method GET, Path / and so on where left empty
	setup func(*env, *hostcalls.Tenant, *hostcalls.Request)
	time  time.Duration // 0: 10 s

	code   int // 0: 200
	body   string
	header http.Header // at least these
	trap   string      // its reason holds this
	logs   []string
}

// Run runs the kit's guests on a host.
func Run(t *testing.T, host Host) {
	for _, c := range slices.Concat(envTests(), newerTests(), asTests(), wasiTests()) {
		t.Run(c.name, func(t *testing.T) { c.run(t, host) })
	}
	t.Run("requests share nothing but the store", func(t *testing.T) { apart(t, host) })
}

func (c *test) run(t *testing.T, host Host) {
	log := &Log{}
	tn := &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{}), Logger: log, Edge: "edge1", Region: "lab"}
	req := c.req
	req.Method = cmp.Or(req.Method, http.MethodGet)
	req.Path = cmp.Or(req.Path, "/")
	req.Host, req.Scheme = "kit.example", "https"
	req.Client = netip.MustParseAddr("192.0.2.99")
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if c.setup != nil {
		c.setup(newEnv(t), tn, &req)
	}
	limit := c.time
	if limit == 0 {
		limit = 10 * time.Second
	}
	serve := host(t, Guest(t, c.guest), tn)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	resp, err := serve(ctx, &req)
	c.check(t, resp, err)
	for _, want := range c.logs {
		if !log.Has(want) {
			t.Errorf("the log lacks %q: %q", want, log.Lines())
		}
	}
	if t.Failed() {
		t.Logf("log: %q", log.Lines())
	}
}

func (c *test) check(t *testing.T, resp *hostcalls.Response, err error) {
	switch {
	case c.trap == "" && err != nil:
		t.Fatal(err)
	case c.trap != "" && err != nil:
		if !strings.Contains(err.Error(), c.trap) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("trap: got %v, want %q", err, c.trap)
		}
		return
	case c.trap != "":
		if resp.Code < http.StatusInternalServerError {
			t.Errorf("got %d %q, want a trap: %s", resp.Code, resp.Body, c.trap)
		}
		return
	}
	if want := max(c.code, http.StatusOK); resp.Code != want || string(resp.Body) != c.body {
		t.Errorf("got %d %q, want %d %q", resp.Code, resp.Body, want, c.body)
	}
	for name, want := range c.header {
		if got := resp.Header[name]; !slices.Equal(got, want) {
			t.Errorf("header %s: got %q, want %q", name, got, want)
		}
	}
}

// apart runs many requests at once: each has a sandbox of its own.
func apart(t *testing.T, host Host) {
	tn := &hostcalls.Tenant{KV: memorykv.New(hostcalls.Quota{})}
	serve := host(t, Guest(t, "malloc"), tn)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				method := fmt.Sprintf("M%d-%d", i, j)
				resp, err := serve(t.Context(), &hostcalls.Request{Method: method, Path: "/5", Scheme: "https", Host: "kit.example"})
				if err != nil || string(resp.Body) != method {
					t.Errorf("got %v, %v; want %s", resp, err, method)
				}
			}
		})
	}
	wg.Wait()
	serve = host(t, Guest(t, "kit"), tn)
	for _, path := range []string{"/kept", "/kept", "/seen"} {
		resp, err := serve(t.Context(), &hostcalls.Request{Method: http.MethodGet, Path: path, Scheme: "https", Host: "kit.example"})
		if err != nil || string(resp.Body) != "ok" {
			t.Fatalf("%s: got %v, %v", path, resp, err)
		}
	}
}

// Log is a hostcalls.Logger that remembers.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Log implements hostcalls.Logger.
func (l *Log) Log(_ *hostcalls.Request, level slog.Level, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, level.String()+" "+text)
}

// Has reports whether a line holds s.
func (l *Log) Has(s string) bool {
	return slices.ContainsFunc(l.Lines(), func(line string) bool { return strings.Contains(line, s) })
}

// Lines lists the lines so far, each after its level.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}
