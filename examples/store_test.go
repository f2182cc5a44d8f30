package examples_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/engine"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// sites compiles what is published, and answers which path leads where.
type sites struct {
	engine engine.Engine
	files  tenantsync.Files
	live   chan published
}

type published struct {
	name string
	site *tenant.Site
	err  error
}

func (s *sites) Publish(ctx context.Context, snapshot *tenant.Snapshot) error {
	err := s.compile(ctx, snapshot)
	s.live <- published{snapshot.ID.Name(), tenant.NewSite(snapshot), err}
	return err
}

func (s *sites) compile(ctx context.Context, snapshot *tenant.Snapshot) error {
	for _, name := range snapshot.Modules() {
		f, err := s.files.Open(snapshot.Files[name].Hash)
		if err != nil {
			return err
		}
		wasm, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		module, err := s.engine.Compile(ctx, wasm, engine.Limits{})
		if err != nil {
			return err
		}
		if err := module.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *sites) Remove(context.Context, tenant.ID) {}

// TestStoreIsServed releases the store as an edge does: manifests are read, modules
// compiled, and paths lead where store/README.md says.
func TestStoreIsServed(t *testing.T) {
	data := t.TempDir()
	edge := &sites{engine: newEngine(t), files: tenantsync.NewFiles(data), live: make(chan published, 3)}
	syncer, err := tenantsync.New(tenantsync.Options{
		Data:      data,
		Stores:    []tenantsync.Store{{Prefix: "/store/", Folder: &tenantsync.Folder{Path: "store"}}},
		Publisher: edge,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- syncer.Run(ctx) }()
	byName := map[string]*tenant.Site{}
	for range 3 {
		select {
		case p := <-edge.live:
			if p.err != nil {
				t.Errorf("%s: %v", p.name, p.err)
			}
			byName[p.name] = p.site
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(time.Minute):
			t.Fatal("three tenants are not live")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		name, path string
		want       tenant.Target
	}{
		{"alice", "/", tenant.Target{Kind: tenant.Static, File: "index.html"}},
		{"alice", "/hello", tenant.Target{Kind: tenant.Module, File: "hello.wasm"}},
		{"alice", "/nowhere", tenant.Target{Kind: tenant.NotFound, File: "404.html"}},
		{"bob", "/", tenant.Target{Kind: tenant.Module, File: "index.wasm", Info: "/"}},
		{"bob", "/any/path", tenant.Target{Kind: tenant.Module, File: "index.wasm", Info: "/any/path", Fallback: true}},
		{"bob", "/greet/you", tenant.Target{Kind: tenant.Module, File: "hello.wasm", Info: "/you"}},
		{"bob", "/style.css", tenant.Target{Kind: tenant.Static, File: "style.css"}},
		{"carol", "/", tenant.Target{Kind: tenant.Static, File: "index.html"}},
		{"carol", "/fetch", tenant.Target{Kind: tenant.Module, File: "fetch.wasm"}},
		{"carol", "/api/notes", tenant.Target{Kind: tenant.Module, File: "api.wasm", Info: "/notes"}},
	} {
		site, ok := byName[c.name]
		if !ok {
			t.Errorf("%s is not live", c.name)
		} else if got := site.Resolve(c.path); got != c.want {
			t.Errorf("%s%s: got %+v, want %+v", c.name, c.path, got, c.want)
		}
	}
}
