package server_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

func TestPublishRefuses(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng, sites: func(o *server.SitesOptions) { o.Limits.ModuleSize = 100 }})
	e.deploy("alice.example", "index.wasm", "say:one")
	routed := e.snapshot("/git/alice", "r2", "index.wasm", "say:two")
	routed.Manifest.Routes = []tenant.Route{{Path: "/api/*", Module: "api.wasm"}}
	for _, tt := range []struct {
		snap *tenant.Snapshot
		want []string
	}{
		{e.snapshot("/git/alice", "r2", "index.wasm", "say:two", "bad.wasm", "rubbish", "worse.wasm", "junk"), []string{"bad.wasm: not Wasm", "worse.wasm: not Wasm"}},
		{routed, []string{`terrane.toml: route "/api/*": the folder has no module "api.wasm"`}},
		{e.snapshot("/git/alice", "r2", "big.wasm", "say:"+strings.Repeat("x", 200)), []string{"big.wasm: 204 bytes", "100"}},
	} {
		err := e.sites.Publish(t.Context(), tt.snap)
		if !errors.Is(err, engine.ErrRefused) {
			t.Errorf("%v: %v is no refusal", tt.snap.Files, err)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q", err, want)
			}
		}
	}
	get(t, e.client(), "https://alice.example/").want(t, 200, "one")
	if n := eng.count(eng.open, "two", 0); n != 0 {
		t.Errorf("%d modules of refused releases are open", n)
	}
	if rev, ok := e.sites.Revision("/git/alice"); rev != "r1" || !ok {
		t.Errorf("revision %q, %v", rev, ok)
	}
}

func TestPublishHostFaultIsNoRefusal(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	s := e.snapshot("/git/alice", "r1", "index.wasm", "say:one")
	delete(e.blobs.byHash, s.Files["index.wasm"].Hash)
	if err := e.sites.Publish(t.Context(), s); err == nil || errors.Is(err, engine.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestModulesAreSharedAndClosed(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng})
	e.deploy("alice.example", "index.wasm", "say:same", "two.wasm", "say:two")
	e.deploy("bob.example", "index.wasm", "say:same")
	if err := e.sites.Publish(t.Context(), e.snapshot("/git/alice", "r2", "index.wasm", "say:same")); err != nil {
		t.Fatal(err)
	}
	if n := eng.count(eng.compiled, "same", 0); n != 1 {
		t.Errorf("the same module was compiled %d times", n)
	}
	if n := eng.count(eng.open, "two", 0); n != 0 {
		t.Error("a module that no release has is still open")
	}
	small := e.snapshot("/git/carol", "r1", "index.wasm", "say:same")
	small.Manifest.Limits.Memory = 1 << 20
	if err := e.sites.Publish(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	if n := eng.count(eng.compiled, "same", 0); n != 2 {
		t.Errorf("with other limits: compiled %d times in all", n)
	}
	for _, id := range []tenant.ID{"/git/alice", "/git/bob", "/git/carol", "/git/nobody"} {
		if err := e.sites.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if n := eng.count(eng.open, "same", 0); n != 0 {
		t.Errorf("%d modules are open", n)
	}
}

func TestOldReleaseEndsWithItsLastRequest(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng})
	e.deploy("alice.example", "index.wasm", "wait:old")
	c := e.client()
	old := make(chan answer)
	go func() { old <- get(t, c, "https://alice.example/") }()
	<-eng.entered
	if err := e.sites.Publish(t.Context(), e.snapshot("/git/alice", "r2", "index.wasm", "say:new")); err != nil {
		t.Fatal(err)
	}
	get(t, c, "https://alice.example/").want(t, 200, "new")
	if n := eng.count(eng.open, "old", 0); n != 1 {
		t.Errorf("the running module is open %d times", n)
	}
	close(eng.proceed)
	a := <-old
	a.want(t, 200, "old")
	if a.Header.Get("Terrane-Revision") != "r1" {
		t.Errorf("revision %q", a.Header.Get("Terrane-Revision"))
	}
	if err := e.stop(); err != nil { // the handler has ended after this
		t.Error(err)
	}
	if n := eng.count(eng.open, "old", 0); n != 0 {
		t.Error("the old module is still open")
	}
}

func TestConsentRequired(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub(), sites: func(o *server.SitesOptions) { o.RequireConsent = true }})
	e.deploy("alice.example", "index.html", "alice")
	get(t, e.client(), "http://alice.example/").want(t, 404, "does not list alice.example")
}

// Hammer: releases are swapped, removed and refused under requests. Each answer is
// one that was live, and at the end nothing is open.
func TestHammerPublish(t *testing.T) {
	eng := newStub()
	e := startEdge(t, edgeOptions{engine: eng, server: func(o *server.Options) { o.ServePlain = true }})
	texts := []string{"one", "two", "three"}
	e.deploy("alice.example", "index.wasm", "say:one")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		c := e.client()
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a := get(t, c, "http://alice.example/")
				if a.StatusCode != http.StatusNotFound && !slices.Contains(texts, a.body) {
					t.Errorf("got %d %q", a.StatusCode, a.body)
				}
			}
		})
	}
	var publishers sync.WaitGroup
	for i := range 3 {
		publishers.Go(func() {
			for n := range 100 {
				text := texts[(n+i)%len(texts)]
				if err := e.sites.Publish(context.Background(), e.snapshot("/git/alice", tenant.Revision(text), "index.wasm", "say:"+text)); err != nil {
					t.Error(err)
				}
				if n%10 == 9 {
					if err := e.sites.Remove(context.Background(), "/git/alice"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	publishers.Wait()
	close(stop)
	wg.Wait()
	if err := errors.Join(e.stop(), e.sites.Close(context.Background())); err != nil {
		t.Error(err)
	}
	for _, text := range texts {
		if n := eng.count(eng.open, text, 0); n != 0 {
			t.Errorf("module %q is open %d times", text, n)
		}
	}
}

func TestPanicCostsOneRequest(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "alice", "boom.wasm", "panic:private")
	c := e.client()
	for range 20 { // more than the tenant's places: none is lost
		a := get(t, c, "https://alice.example/boom")
		a.want(t, 500, "this edge failed to answer")
		if strings.Contains(a.body, "private") {
			t.Error("the visitor sees the panic")
		}
	}
	get(t, c, "https://alice.example/").want(t, http.StatusOK, "alice")
}

// TestPreview: a preview is shown by the domain's folder and consent, says that it is none for
// search engines, and ends with what the domain shows.
func TestPreview(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newStub()})
	e.deploy("alice.example", "index.html", "live")
	const host = "red--alice-example.preview.test"
	id := tenant.ID("/git/alice").Preview("red")
	e.zone.set(host, tenant.Verdict{Standing: tenant.Verified, Tenant: id, Preview: true, Host: "alice.example"})
	s := e.snapshot(id, "p1", "index.html", "red")
	s.Manifest.Domains = []tenant.Pattern{"alice.example"} // and not the preview's own name
	if err := e.sites.Publish(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	c := e.client()
	if a := get(t, c, "https://"+host+"/"); a.body != "red" || a.Header.Get("X-Robots-Tag") != "noindex" {
		t.Errorf("the preview: %q, %v", a.body, a.Header)
	}
	if a := get(t, c, "https://alice.example/"); a.body != "live" || a.Header["X-Robots-Tag"] != nil {
		t.Errorf("the domain itself: %q, %v", a.body, a.Header)
	}
	get(t, c, "https://"+host+"/.well-known/terrane").want(t, 200, `"preview": true`)
	if err := e.sites.Remove(t.Context(), "/git/alice"); err != nil {
		t.Fatal(err)
	}
	get(t, c, "https://"+host+"/").want(t, 404, `names "/git/alice"`)
}
