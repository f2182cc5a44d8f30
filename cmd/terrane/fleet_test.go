package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/tenant"
)

// TestNewEdgeServesWhatTheFleetServes: an edge with an empty disk, and one that was away,
// serve the last good release and what the operator has pinned.
func TestNewEdgeServesWhatTheFleetServes(t *testing.T) {
	for name, kind := range map[string]func(t *testing.T) (store func(*config.Config), push func(file, text string)){
		"git": func(t *testing.T) (func(*config.Config), func(file, text string)) {
			g := edgetest.NewGitStore(t)
			return g.Store(100 * time.Millisecond), func(file, text string) { g.Push("alice/"+file, text) }
		},
		"folder": func(t *testing.T) (func(*config.Config), func(file, text string)) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "alice"), 0o700); err != nil {
				t.Fatal(err)
			}
			return edgetest.FolderOf(dir), func(file, text string) {
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
			f := edgetest.StartFleet(t, store)
			one := f.Hub.Recorded("one", tenant.Served{})
			push("index.html", "two")
			two := f.Hub.Recorded("two", one)
			push("index.wasm", "no module")
			f.Hub.Await("a refusal", func() bool { st, _ := f.Hub.Syncer.Tenant("/git/alice"); return st.Refused != nil })

			data := t.TempDir()
			away := f.Join("fra1", data)
			away.Await("readiness", away.IsReady)
			if got := away.Served(); got.Sum() != two.Sum() || got.Revision != two.Revision || !away.Shows("two")() {
				t.Errorf("a new edge serves %+v, the fleet %+v", got, two)
			}
			away.Stop()
			f.Hub.Await("the goodbye", func() bool { return len(f.Hub.Heard()) == 1 })

			if out, err := terrane(t, "rollback", "/git/alice", string(one.Revision), f.Hub.AdminFlag(), "--reason", "two is wrong"); err != nil {
				t.Fatal(err, out)
			}
			pinned := f.Hub.Served()
			back := f.Join("fra1", data)
			back.Await("readiness", back.IsReady)
			if !back.Shows("one")() || back.Served().Sum() != pinned.Sum() {
				t.Errorf("an edge that was away serves %+v, the fleet %+v", back.Served(), pinned)
			}
			fresh := f.Join("syd1", t.TempDir())
			fresh.Await("readiness", fresh.IsReady)
			if !fresh.Shows("one")() || fresh.Served().Sum() != pinned.Sum() {
				t.Errorf("a new edge serves %+v, the fleet %+v", fresh.Served(), pinned)
			}
			out, err := terrane(t, "releases", "/git/alice", fresh.AdminFlag())
			if err != nil || !strings.Contains(out, whoami()+" at ams1 (two is wrong)") {
				t.Errorf("releases: %v\n%s", err, out)
			}
			// A rollback whose edge had a clock that was ahead is older than the next one all the same.
			ahead := tenant.Pin{Edge: "ams1", At: time.Now().Add(12 * time.Hour)}
			if err := f.Hub.Syncer.Rollback(t.Context(), "/git/alice", one.Revision, ahead); err != nil {
				t.Error(err)
			}
			// A roll back to what a new edge never had reaches it too.
			if out, err := terrane(t, "rollback", "/git/alice", string(two.Revision), f.Hub.AdminFlag()); err != nil {
				t.Error(err, out)
			}
			for _, e := range []*edgetest.Edge{f.Hub, back, fresh} {
				if !e.Shows("two")() || !e.Served().Pin.Newer(&ahead) {
					t.Errorf("%s does not follow, and serves %+v", e.Name(), e.Served())
				}
			}
		})
	}
}

// TestNewEdgeAlone: without a peer, a git store's history has the last good release.
func TestNewEdgeAlone(t *testing.T) {
	g := edgetest.NewGitStore(t)
	g.Push("alice/index.html", "good")
	g.Push("alice/index.wasm", "no module")
	g.Push("alice/other.wasm", "no module either")
	e := edgetest.Start(t, g.Store(time.Hour), func(e *edgetest.Edge) { e.Domain("alice.example", "terrane=/git/alice/") })
	e.Await("readiness", e.IsReady)
	if !e.Shows("good")() {
		t.Error("the last good release is not served")
	}
	if got := e.Refusal("alice.example"); !strings.Contains(got, "index.wasm") {
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
	f := edgetest.StartFleet(t, func(c *config.Config) { edgetest.FolderOf(dirs[min(n, 1)])(c); n++ })
	other := f.Join("fra1", t.TempDir())
	other.Await("its release", other.Shows("new"))

	metric := func(want string) func() bool {
		return func() bool {
			_, body := f.Hub.Get("/metrics")
			return strings.Contains(body, "\nterrane_fleet_revision_differences_count "+want+"\n")
		}
	}
	f.Hub.Await("the difference", metric("1"))
	var s admin.Status
	out, err := terrane(t, "status", f.Hub.AdminFlag(), "--json")
	if err != nil || json.Unmarshal([]byte(out), &s) != nil || len(s.Fleet) != 1 || s.Fleet[0].Tenant != "/git/alice" ||
		s.Fleet[0].Here != f.Hub.Served().Revision || s.Fleet[0].Edges["fra1"] != other.Served().Revision {
		t.Errorf("status --json: %v %+v", err, s.Fleet)
	}
	out, err = terrane(t, "status", f.Hub.AdminFlag())
	want := f.Hub.Served().Revision.Short() + " here, " + other.Served().Revision.Short() + " at fra1 since "
	if err != nil || !strings.Contains(out, "differs") || !strings.Contains(out, want) {
		t.Errorf("status: %v\n%s", err, out)
	}
	out, err = terrane(t, "doctor", f.Hub.AdminFlag())
	if err == nil || !strings.Contains(out, "tenant /git/alice") || !strings.Contains(out, want) || strings.Contains(out, "bob") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	write(dirs[0], "new")
	f.Hub.Await("no difference", metric("0"))
	if out, err := terrane(t, "status", f.Hub.AdminFlag()); err != nil || strings.Contains(out, "differs") {
		t.Errorf("status: %v\n%s", err, out)
	}
}
