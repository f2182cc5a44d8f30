package edge_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/edge/edgetest"
	"github.com/terrane/terrane/internal/lattice/logtail"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/tenant"
)

// pushGuests pushes a folder of guests that talk to each other, with a manifest.
func pushGuests(t *testing.T, g *edgetest.GitStore, manifest string) {
	t.Helper()
	for _, name := range []string{"ask.wasm", "post.wasm", "tell.wasm"} {
		g.Push("alice/"+name, string(edgetest.File(t, "cmd/terrane/testdata/guests/"+name)))
	}
	g.Push("alice/terrane.toml", manifest)
}

// TestMessages: modules ask each other and are told things, wherever they run.
func TestMessages(t *testing.T) {
	g := edgetest.NewGitStore(t)
	pushGuests(t, g, `
[[subscribe]]
subject = "orders.*"
path = "/tell.wasm/order"
`)
	hub, leaf := edgetest.StartLattice(t, g)
	for _, e := range []*edgetest.Edge{hub, leaf} {
		e.Await("an answer", func() bool {
			code, body := e.Request("alice.example", "alice.example", "/ask")
			return code == 200 && body == e.Name()
		})
		e.Await("a message that is kept", func() bool {
			code, _ := e.Request("alice.example", "alice.example", "/post")
			return code == 200
		})
		e.Await("a message that is handled", func() bool { return e.Logged("/tell.wasm/order") })
	}
	a, err := leaf.Lattice.Messages.Ask(t.Context(), "/git/alice", &messages.Task{Cron: "@", Path: "/tell.wasm/tick"})
	if err != nil || a.Code != 200 || !leaf.Logged("/tell.wasm/tick") {
		t.Errorf("a run of a cron line: %+v, %v", a, err)
	}
	code, out := hub.Get("/logs?tenant=/git/alice")
	if code != http.StatusOK {
		t.Fatal(code, out)
	}
	from := map[string]bool{} // what was logged, and where
	for text := range strings.Lines(out) {
		var line logtail.Line
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatal(err)
		}
		if line.Module == "tell.wasm" && line.Request != "" && line.Level == slog.LevelInfo {
			from[line.Edge+" "+line.Text] = true
		}
	}
	for _, want := range []string{"ams1 /tell.wasm/order", "fra1 /tell.wasm/order", "fra1 /tell.wasm/tick"} {
		if !from[want] {
			t.Errorf("no line %q in\n%s", want, out)
		}
	}
}

// TestPlacement: what lives in one region is answered there, whichever edge is asked.
func TestPlacement(t *testing.T) {
	g := edgetest.NewGitStore(t)
	pushGuests(t, g, `
regions = ["fra"]
[[subscribe]]
subject = "orders.*"
path = "/tell"
`)
	hub, leaf := edgetest.StartLattice(t, g)
	for _, e := range []*edgetest.Edge{leaf, hub} {
		for _, path := range []string{"/tell", "/ask"} {
			e.Await("an answer from fra to "+path, func() bool {
				code, body := e.Request("alice.example", "alice.example", path)
				return code == 200 && body == "fra1"
			})
		}
	}
	if hub.Logged("/tell") {
		t.Error("a module of fra has run in ams")
	}
	if _, live := hub.Sites.Revision(tenant.ID("/git/alice")); !live {
		t.Error("the hub does not know the folder")
	}
	leaf.Stop()
	hub.Await("a page that says so", func() bool {
		code, body := hub.Request("alice.example", "alice.example", "/tell")
		return code == 503 && strings.Contains(body, "regions")
	})
}

// onTasks runs an edge whose tenant alice has the guests and the manifest.
func onTasks(t *testing.T, manifest string, guests ...string) *edgetest.Edge {
	t.Helper()
	files := map[string][]byte{"terrane.toml": []byte(manifest)}
	for _, g := range guests {
		files[filepath.Base(g)] = edgetest.File(t, g)
	}
	e := edgetest.Start(t, nil, func(e *edgetest.Edge) { e.Domain("alice.example", "terrane=/sites/alice/") })
	e.Deploy("alice", files)
	e.Await("a message that is kept", func() bool {
		code, _ := e.Request("alice.example", "alice.example", "/post")
		return code == 200
	})
	return e
}

// idle waits until no message waits any more.
func idle(t *testing.T, e *edgetest.Edge) {
	t.Helper()
	e.Await("an empty queue", func() bool { n, err := e.Lattice.Messages.Waiting(t.Context()); return err == nil && n == 0 })
}

// TestPoison: a message whose module always traps is given up after five times, each of
// which the tenant's log has with request, module and level.
func TestPoison(t *testing.T) {
	e := onTasks(t, "[[subscribe]]\nsubject = \"orders.*\"\npath = \"/trap\"\n",
		"cmd/terrane/testdata/guests/post.wasm", "server/testdata/trap.wasm")
	idle(t, e)
	trapped, requests, givenUp := 0, map[string]bool{}, 0
	for _, line := range e.Lines("/sites/alice") {
		switch {
		case strings.Contains(line.Text, "given up after 5 times: /trap answered 500") && line.Level == slog.LevelError:
			givenUp++
		case strings.Contains(line.Text, "trapped"):
			trapped++
			requests[line.Request] = true
			if line.Request == "" || line.Module != "trap.wasm" || line.Level != slog.LevelError {
				t.Errorf("%+v", line)
			}
		}
	}
	if givenUp != 1 || trapped != 5 || len(requests) != 5 {
		t.Errorf("trapped %d times in %d requests and was given up %d times: %+v", trapped, len(requests), givenUp, e.Lines("/sites/alice"))
	}
}

// TestCircle: a module that answers each message by another of the same subject ends.
func TestCircle(t *testing.T) {
	e := onTasks(t, "[[subscribe]]\nsubject = \"orders.*\"\npath = \"/post\"\n", "cmd/terrane/testdata/guests/post.wasm")
	idle(t, e)
	circles := 0
	for _, line := range e.Lines("/sites/alice") {
		if strings.Contains(line.Text, "17 messages that led to one another: a circle?") {
			circles++
			if line.Module != "post.wasm" || line.Request == "" {
				t.Errorf("%+v", line)
			}
		}
	}
	if circles != 5 { // the sixteenth message, each time that it is tried
		t.Errorf("%d lines on a circle: %+v", circles, e.Lines("/sites/alice"))
	}
}
