package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls/hostcallstest"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// newEngine makes an engine that ends with the test: that of the build, which make wasmer changes.
func newEngine(t testing.TB) engine.Engine {
	t.Helper()
	return newEngineWith(t, engineOptions{})
}

func newEngineWith(t testing.TB, o engineOptions) engine.Engine {
	t.Helper()
	e, err := buildEngine(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// engineOptions are those that all engines have.
type engineOptions struct {
	cacheDir string
	guests   int64 // bytes that instances with a request may hold; 0: no limit
	metrics  prometheus.Registerer
}

func TestGuests(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t), sites: func(o *server.SitesOptions) { o.Limits.CPU = 100 * time.Millisecond }})
	e.deploy("alice.example",
		"index.wasm", guest(t, "../examples/hello-wat/hello.wasm"), "rust.wasm", guest(t, "../examples/hello-rust/hello.wasm"),
		"echo.wasm", guest(t, "testdata/echo.wasm"), "path.wasm", guest(t, "testdata/path.wasm"),
		"created.wasm", guest(t, "testdata/created.wasm"), "trap.wasm", guest(t, "testdata/trap.wasm"),
		"loop.wasm", guest(t, "testdata/loop.wasm"), "greedy.wasm", guest(t, "testdata/greedy.wasm"))
	c := e.client()
	const url = "https://alice.example"
	a := get(t, c, url+"/any/path")
	a.want(t, 200, "Hello, world from WAT!")
	if a.Header.Get("Content-Type") != "text/plain; charset=utf-8" || a.ContentLength != 23 {
		t.Errorf("header %v", a.Header)
	}
	get(t, c, url+"/rust").want(t, 200, "")
	get(t, c, url+"/path.wasm/a%20b?q=%2F&r").want(t, 200, "/path.wasm/a%20b?q=%2F&r")
	large := strings.Repeat("0123456789abcdef", 8<<10)
	if a := do(t, c, request(t, http.MethodPost, url+"/echo", strings.NewReader(large))); a.StatusCode != http.StatusOK || a.body != large {
		t.Errorf("echo of %d bytes: %d, %d bytes", len(large), a.StatusCode, len(a.body))
	}
	a = do(t, c, request(t, http.MethodHead, url+"/", nil))
	if a.want(t, 200, ""); a.ContentLength != 23 || a.body != "" {
		t.Errorf("HEAD: length %d, %q", a.ContentLength, a.body)
	}
	a = get(t, c, url+"/created")
	a.want(t, http.StatusCreated, "made\n")
	if got := a.Header.Values("X-Many"); len(got) != 2 || got[0] != "one" || got[1] != "two" {
		t.Errorf("X-Many: %q", got)
	}
	if a.ContentLength != 5 || a.Header.Get("Terrane-Edge") != "test1" || a.Header["Content-Type"] != nil {
		t.Errorf("header %v", a.Header)
	}
	for _, tt := range []struct {
		path string
		code int
		page string
		log  string
	}{
		{"/trap", 500, "failed to answer", "trap.wasm at revision r1 trapped"},
		{"/greedy", 503, "ran out of memory", "greedy.wasm at revision r1 trapped"},
		{"/loop", 504, "took too long", "loop.wasm at revision r1 trapped"},
	} {
		a := get(t, c, url+tt.path)
		a.want(t, tt.code, tt.page)
		id := a.Header.Get("Terrane-Request-Id")
		if !strings.Contains(a.body, id) || strings.Contains(a.body, "secret") || strings.Contains(a.body, "unreachable") {
			t.Errorf("%s: page %q", tt.path, a.body)
		}
		e.log.wait(t, id+" "+tt.log)
	}
	get(t, c, url+"/").want(t, 200, "Hello")
}

func TestBadModulesChangeNothing(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t)})
	e.deploy("alice.example", "index.wasm", guest(t, "../examples/hello-wat/hello.wasm"))
	for name, tt := range map[string]struct{ wasm, want string }{
		"text.wasm":      {"<html>", ""},
		"empty.wasm":     {"", ""},
		"component.wasm": {"\x00asm\x0d\x00\x01\x00", "component"},
		"norun.wasm":     {guest(t, "testdata/norun.wasm"), "run"},
		"unknown.wasm":   {guest(t, "testdata/unknown.wasm"), "hostcall_make_coffee"},
	} {
		err := e.sites.Publish(t.Context(), e.snapshot("/git/alice", "r2", "index.wasm", "say:x", name, tt.wasm))
		if !errors.Is(err, engine.ErrRefused) || !strings.Contains(err.Error(), name+": ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	a := get(t, e.client(), "https://alice.example/")
	a.want(t, 200, "Hello, world from WAT!")
	if got := a.Header.Get("Terrane-Revision"); got != "r1" {
		t.Errorf("revision %q", got)
	}
}

// One tenant's spinning guests cost another one nothing but time on the processor.
func TestNeighbourOfSpinningGuests(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t), sites: func(o *server.SitesOptions) {
		o.Limits.CPU, o.Limits.Concurrency = 200*time.Millisecond, 4
	}})
	e.deploy("bad.example", "index.wasm", guest(t, "testdata/loop.wasm"))
	e.deploy("good.example", "index.wasm", guest(t, "../examples/hello-wat/hello.wasm"))
	var wg sync.WaitGroup
	c := e.client()
	for range 12 {
		wg.Go(func() {
			if a := get(t, c, "https://bad.example/"); a.StatusCode != http.StatusGatewayTimeout && a.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("bad: %d", a.StatusCode)
			}
		})
	}
	for range 20 {
		get(t, c, "https://good.example/").want(t, 200, "Hello")
	}
	wg.Wait()
}

// A deploy under load loses no request, and each visitor sees one release or the other.
func TestDeployUnderLoad(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t), sites: func(o *server.SitesOptions) { o.Limits.Concurrency = 0 }})
	hello, path := guest(t, "../examples/hello-wat/hello.wasm"), guest(t, "testdata/path.wasm")
	e.deploy("alice.example", "index.wasm", hello)
	c := e.client()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := get(t, c, "https://alice.example/x")
				rev := a.Header.Get("Terrane-Revision")
				if a.StatusCode != http.StatusOK || (a.body == "/x") != (rev == "path") {
					t.Errorf("%d %q at %q", a.StatusCode, a.body, rev)
				}
			}
		})
	}
	for range 20 {
		for rev, wasm := range map[tenant.Revision]string{"path": path, "hello": hello} {
			if err := e.sites.Publish(t.Context(), e.snapshot("/git/alice", rev, "index.wasm", wasm)); err != nil {
				t.Error(err)
			}
		}
	}
	close(stop)
	wg.Wait()
}

// A CGI program knows which part of the path named it, and which part is the rest.
func TestPathInfo(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t)})
	program := string(hostcallstest.Guest(t, "wasi-c"))
	s := e.snapshot("/git/alice", "r1", "index.wasm", program, "prog.wasm", program, "_redirects", "/moved/* /prog.wasm/:splat 200\n")
	s.Manifest.Routes = []tenant.Route{{Path: "/api/*", Module: "prog.wasm"}, {Path: "/caf%C3%A9/ec*", Module: "prog.wasm"}}
	e.zone.set("alice.example", verified("/git/alice"))
	if err := e.sites.Publish(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for path, script := range map[string]string{
		"/echo": "", "/index.wasm/echo": "/index.wasm", "/prog.wasm/echo": "/prog.wasm", "/api/echo": "/api", "/caf%C3%A9/echo?a=b": "/caf\u00e9", "/moved/echo": "/moved",
	} {
		get(t, e.client(), "https://alice.example"+path).want(t, http.StatusCreated, "\nPATH_INFO=/echo\nSCRIPT_NAME="+script+"\n")
	}
}
