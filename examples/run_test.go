package examples_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/examples"
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/memorykv"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
	"github.com/terrane/terrane/internal/fetch"
)

// TestGuests runs the modules as they are committed, or those that are not, as they
// are built.
func TestGuests(t *testing.T) {
	e := newEngine(t)
	for _, g := range guests(t) {
		t.Run(g.dir, func(t *testing.T) {
			file := g.file()
			if !g.committed() {
				file = g.build(t)
			}
			g.check(t, e, file)
		})
	}
}

var rebuild = flag.Bool("rebuild", false, "build every guest from its source, and test what comes out")

// TestRebuiltGuests builds each guest and wants of it what is wanted of the
// committed one. TestTemplates does so for one guest of each language.
func TestRebuiltGuests(t *testing.T) {
	if !*rebuild {
		t.Skip("takes minutes: go test ./examples -rebuild")
	}
	e := newEngine(t)
	for _, g := range guests(t) {
		if g.committed() {
			t.Run(g.dir, func(t *testing.T) { g.check(t, e, g.build(t)) })
		}
	}
}

// TestTemplates builds each embedded guest as `terrane new` lays it out: the guest's
// files, and the library in the folder sdk beside them.
func TestTemplates(t *testing.T) {
	e := newEngine(t)
	for _, g := range guests(t) {
		lang, ok := strings.CutPrefix(g.dir, "hello-")
		if !ok {
			continue
		}
		t.Run(lang, func(t *testing.T) {
			dir := t.TempDir()
			copyFrom(t, g.dir, dir)
			copyFrom(t, "sdk/"+lang, filepath.Join(dir, "sdk", lang))
			module := filepath.Join(dir, g.module)
			if err := os.RemoveAll(module); err != nil { // make would find it new enough
				t.Fatal(err)
			}
			runMake(t, dir, lang)
			g.check(t, e, module)
		})
	}
}

func copyFrom(t *testing.T, embedded, to string) {
	t.Helper()
	sub, err := fs.Sub(examples.Templates, embedded)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, sub); err != nil {
		t.Fatal(err)
	}
}

// TestWithoutLibc builds the guest in C without wasi-libc.
func TestWithoutLibc(t *testing.T) {
	g := guest{dir: "hello-c", module: "hello.wasm", lang: "c"}
	g.check(t, newEngine(t), g.build(t, "LIBC=none"))
}

func (g guest) build(t *testing.T, vars ...string) string {
	t.Helper()
	out := t.TempDir()
	runMake(t, g.dir, g.lang, append(vars, "OUT="+out)...)
	return filepath.Join(out, g.module)
}

func (g guest) check(t *testing.T, e engine.Engine, file string) {
	t.Helper()
	check, ok := checks[g.dir]
	if !ok {
		t.Fatalf("no test knows what %s does", g.dir)
	}
	s := g.open(t, e, file)
	if slices.Contains(cgiGuests, g.dir) && s.get("/").header.Get("Content-Type") == "" {
		t.Skip("the engine does not tell the exchange that it enters by _start: see Exchange.Enter")
	}
	check(t, s)
}

var cgiGuests = []string{"blog", "hello-go", "links"}

// open makes a module ready for requests.
func (g guest) open(t *testing.T, e engine.Engine, file string) *site {
	t.Helper()
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	module, err := e.Compile(t.Context(), wasm, engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := module.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	fetcher, err := fetch.New(fetch.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	tenant := &hostcalls.Tenant{
		ID:      "/examples/alice",
		Env:     map[string]string{},
		KV:      memorykv.New(hostcalls.Quota{}),
		Fetcher: fetcher,
		Edge:    "test",
	}
	return &site{t: t, guest: g, module: module, tenant: tenant}
}

func newEngine(t *testing.T) engine.Engine {
	t.Helper()
	e, err := wazeroengine.New(wazeroengine.Options{Funcs: hostcalls.Functions()})
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

// site is one guest, served to one test.
type site struct {
	t      *testing.T
	guest  guest
	module engine.Module
	tenant *hostcalls.Tenant
	stream func(*hostcalls.Response) (io.Writer, error) // nil: chunks are collected
}

type answer struct {
	code   int
	header http.Header
	body   string
}

func (s *site) get(path string) answer {
	s.t.Helper()
	return s.do("GET", path, "")
}

// do sends one request. The headers are pairs of name and value.
func (s *site) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	a, err := s.run(method, path, body, headers...)
	if err != nil {
		s.t.Errorf("%s %s: %v", method, path, err)
	}
	return a
}

// fails sends a request that must end in a trap, and returns why.
func (s *site) fails(path string) string {
	s.t.Helper()
	a, err := s.run("GET", path, "")
	if err == nil {
		s.t.Fatalf("GET %s: got %d %q, want a trap", path, a.code, a.body)
	}
	return err.Error()
}

func (s *site) run(method, path, body string, headers ...string) (answer, error) {
	req := &hostcalls.Request{
		ID: "1", Method: method, Path: path, Body: []byte(body), Header: http.Header{},
		Host: "alice.localhost", Scheme: "https", Client: netip.MustParseAddr("192.0.2.1"),
		Module: s.guest.module, Stream: s.stream,
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	x := hostcalls.NewExchange(s.tenant, req)
	defer x.Close()
	if err := s.module.Run(ctx, x); err != nil {
		return answer{}, fmt.Errorf("%w %s", err, x.Panic())
	}
	r := x.Response()
	if err := x.Refused(); err != nil {
		return answer{}, err
	}
	return answer{r.Code, r.Header.Clone(), string(r.Body)}, nil
}
