package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/tenant"
)

// aFleet is a hub and the edges that dial it.
type aFleet struct {
	t     *testing.T
	store func(*config.Config)
	hub   *anEdge
	at    string
}

// startFleet starts the hub of edges that have the same store.
func startFleet(t *testing.T, store func(*config.Config)) *aFleet {
	t.Helper()
	f := &aFleet{t: t, store: store}
	f.hub = f.start("ams1", t.TempDir(), func(l *config.Lattice) { l.LeafListen = "127.0.0.1:0" })
	if _, err := f.hub.edge.lattice.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _, at := f.hub.edge.lattice.Addrs()
	f.at = "nats://" + at.String()
	return f
}

func (f *aFleet) start(name, data string, change func(*config.Lattice)) *anEdge {
	f.t.Helper()
	return startEdge(f.t, func(c *config.Config) {
		f.store(c)
		c.Edge.Name, c.Edge.Region, c.Edge.Data = name, name[:3], data
		c.TLS.Key = "a secret of at least 32 characters"
		change(&c.Lattice)
	}, func(e *anEdge) { e.domain("alice.example", "terrane=/git/alice/") })
}

// join starts an edge that dials the hub.
func (f *aFleet) join(name, data string) *anEdge {
	f.t.Helper()
	return f.start(name, data, func(l *config.Lattice) { l.Leaf = []string{f.at} })
}

func (e *anEdge) adminFlag() string { return "--admin=http://" + e.edge.admin.Addr().String() }

// served is what an edge serves of alice.
func (e *anEdge) served() tenant.Served {
	s, _ := e.edge.syncer.Serving("/git/alice")
	return s
}

// recorded waits until a text is live, and recorded as what is served instead of before.
func (e *anEdge) recorded(text string, before tenant.Served) tenant.Served {
	e.t.Helper()
	e.await(text, func() bool { return e.shows(text)() && e.served().Content != before.Content })
	return e.served()
}

func (e *anEdge) isReady() bool { ready, _ := e.edge.ready(); return ready }

// folderOf makes a folder every edge's only store.
func folderOf(dir string) func(*config.Config) {
	return func(c *config.Config) {
		c.Stores[0].Prefix, c.Stores[0].Path = "/git/", dir
	}
}

// TestNewEdgeServesWhatTheFleetServes: an edge with an empty disk, and one that was away,
// serve the last good release and what the operator has pinned.
func TestNewEdgeServesWhatTheFleetServes(t *testing.T) {
	for name, kind := range map[string]func(t *testing.T) (store func(*config.Config), push func(file, text string)){
		"git": func(t *testing.T) (func(*config.Config), func(file, text string)) {
			g := newGitStore(t)
			return g.store(100 * time.Millisecond), func(file, text string) { g.push("alice/"+file, text) }
		},
		"folder": func(t *testing.T) (func(*config.Config), func(file, text string)) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "alice"), 0o700); err != nil {
				t.Fatal(err)
			}
			return folderOf(dir), func(file, text string) {
				draft := filepath.Join(dir, "alice", ".draft")
				if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(draft, filepath.Join(dir, "alice", file)); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, push := kind(t)
			push("index.html", "one")
			f := startFleet(t, store)
			one := f.hub.recorded("one", tenant.Served{})
			push("index.html", "two")
			two := f.hub.recorded("two", one)
			push("index.wasm", "no module")
			f.hub.await("a refusal", func() bool { st, _ := f.hub.edge.syncer.Tenant("/git/alice"); return st.Refused != nil })

			data := t.TempDir()
			away := f.join("fra1", data)
			away.await("readiness", away.isReady)
			if got := away.served(); got.Sum() != two.Sum() || got.Revision != two.Revision || !away.shows("two")() {
				t.Errorf("a new edge serves %+v, the fleet %+v", got, two)
			}
			away.stop()
			f.hub.await("the goodbye", func() bool { return len(f.hub.heard()) == 1 })

			if out, err := terrane(t, "rollback", "/git/alice", string(one.Revision), f.hub.adminFlag(), "--reason", "two is wrong"); err != nil {
				t.Fatal(err, out)
			}
			pinned := f.hub.served()
			back := f.join("fra1", data)
			back.await("readiness", back.isReady)
			if !back.shows("one")() || back.served().Sum() != pinned.Sum() {
				t.Errorf("an edge that was away serves %+v, the fleet %+v", back.served(), pinned)
			}
			fresh := f.join("syd1", t.TempDir())
			fresh.await("readiness", fresh.isReady)
			if !fresh.shows("one")() || fresh.served().Sum() != pinned.Sum() {
				t.Errorf("a new edge serves %+v, the fleet %+v", fresh.served(), pinned)
			}
			out, err := terrane(t, "releases", "/git/alice", fresh.adminFlag())
			if err != nil || !strings.Contains(out, whoami()+" at ams1 (two is wrong)") {
				t.Errorf("releases: %v\n%s", err, out)
			}
			// A roll back to what a new edge never had reaches it too.
			if out, err := terrane(t, "rollback", "/git/alice", string(two.Revision), f.hub.adminFlag()); err != nil {
				t.Error(err, out)
			}
			for _, e := range []*anEdge{f.hub, back, fresh} {
				if !e.shows("two")() {
					t.Errorf("%s does not follow", e.edge.cfg.Edge.Name)
				}
			}
		})
	}
}

// TestNewEdgeAlone: without a peer, a git store's history has the last good release.
func TestNewEdgeAlone(t *testing.T) {
	g := newGitStore(t)
	g.push("alice/index.html", "good")
	g.push("alice/index.wasm", "no module")
	g.push("alice/other.wasm", "no module either")
	e := startEdge(t, g.store(time.Hour), func(e *anEdge) { e.domain("alice.example", "terrane=/git/alice/") })
	e.await("readiness", e.isReady)
	if !e.shows("good")() {
		t.Error("the last good release is not served")
	}
	if got := e.refusal("alice.example"); !strings.Contains(got, "index.wasm") {
		t.Errorf("refused: %q", got)
	}
}

// TestDifferencesAreSeen has two edges whose folders are not the same.
func TestDifferencesAreSeen(t *testing.T) {
	dirs := []string{t.TempDir(), t.TempDir()}
	write := func(dir, text string) {
		for _, name := range []string{"alice", "bob"} {
			if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name, "index.html"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			text = "the same"
		}
	}
	write(dirs[0], "stale")
	write(dirs[1], "new")
	n := 0
	f := startFleet(t, func(c *config.Config) { folderOf(dirs[min(n, 1)])(c); n++ })
	other := f.join("fra1", t.TempDir())
	other.await("its release", other.shows("new"))

	metric := func(want string) func() bool {
		return func() bool {
			_, body := f.hub.admin("/metrics")
			return strings.Contains(body, "\nterrane_fleet_revision_differences_count "+want+"\n")
		}
	}
	f.hub.await("the difference", metric("1"))
	var s edgeStatus
	out, err := terrane(t, "status", f.hub.adminFlag(), "--json")
	if err != nil || json.Unmarshal([]byte(out), &s) != nil || len(s.Fleet) != 1 || s.Fleet[0].Tenant != "/git/alice" ||
		s.Fleet[0].Here != f.hub.served().Revision || s.Fleet[0].Edges["fra1"] != other.served().Revision {
		t.Errorf("status --json: %v %+v", err, s.Fleet)
	}
	out, err = terrane(t, "status", f.hub.adminFlag())
	want := f.hub.served().Revision.Short() + " here, " + other.served().Revision.Short() + " at fra1 since "
	if err != nil || !strings.Contains(out, "differs") || !strings.Contains(out, want) {
		t.Errorf("status: %v\n%s", err, out)
	}
	out, err = terrane(t, "doctor", f.hub.adminFlag())
	if err == nil || !strings.Contains(out, "tenant /git/alice") || !strings.Contains(out, want) || strings.Contains(out, "bob") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	write(dirs[0], "new")
	f.hub.await("no difference", metric("0"))
	if out, err := terrane(t, "status", f.hub.adminFlag()); err != nil || strings.Contains(out, "differs") {
		t.Errorf("status: %v\n%s", err, out)
	}
}
