package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/lattice/logtail"
	"github.com/terrane/terrane/internal/lattice/messages"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// pushGuests pushes a folder of guests that talk to each other, with a manifest.
func (g *gitStore) pushGuests(t *testing.T, manifest string) {
	t.Helper()
	for _, name := range []string{"ask.wasm", "post.wasm", "tell.wasm"} {
		wasm, err := os.ReadFile(filepath.Join("testdata", "guests", name))
		if err != nil {
			t.Fatal(err)
		}
		g.push("alice/"+name, string(wasm))
	}
	g.push("alice/terrane.toml", manifest)
}

// logged reports whether alice's log at the edge has a line.
func (e *anEdge) logged(text string) bool {
	for line := range e.edge.logs.Read(e.t.Context(), "/git/alice", 1000, false) {
		if strings.Contains(line.Text, text) {
			return true
		}
	}
	return false
}

// TestMessages: modules ask each other and are told things, wherever they run.
func TestMessages(t *testing.T) {
	g := newGitStore(t)
	g.pushGuests(t, `
[[subscribe]]
subject = "orders.*"
path = "/tell.wasm/order"
`)
	hub, leaf := startLattice(t, g)
	for _, e := range []*anEdge{hub, leaf} {
		e.await("an answer", func() bool {
			code, body := e.request("alice.example", "alice.example", "/ask")
			return code == 200 && body == e.edge.cfg.Edge.Name
		})
		e.await("a message that is kept", func() bool {
			code, _ := e.request("alice.example", "alice.example", "/post")
			return code == 200
		})
		e.await("a message that is handled", func() bool { return e.logged("/tell.wasm/order") })
	}
	a, err := leaf.edge.lattice.messages.Ask(t.Context(), "/git/alice", &messages.Task{Cron: "@", Path: "/tell.wasm/tick"})
	if err != nil || a.Code != 200 || !leaf.logged("/tell.wasm/tick") {
		t.Errorf("a run of a cron line: %+v, %v", a, err)
	}
	out, err := terrane(t, "logs", "/git/alice", "--json", "--admin=http://"+hub.edge.admin.Addr().String())
	if err != nil {
		t.Fatal(err)
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
	g := newGitStore(t)
	g.pushGuests(t, `
regions = ["fra"]
[[subscribe]]
subject = "orders.*"
path = "/tell"
`)
	hub, leaf := startLattice(t, g)
	for _, e := range []*anEdge{leaf, hub} {
		for _, path := range []string{"/tell", "/ask"} {
			e.await("an answer from fra to "+path, func() bool {
				code, body := e.request("alice.example", "alice.example", path)
				return code == 200 && body == "fra1"
			})
		}
	}
	if hub.logged("/tell") {
		t.Error("a module of fra has run in ams")
	}
	if _, live := hub.edge.sites.Revision(tenant.ID("/git/alice")); !live {
		t.Error("the hub does not know the folder")
	}
	leaf.stop()
	hub.await("a page that says so", func() bool {
		code, body := hub.request("alice.example", "alice.example", "/tell")
		return code == 503 && strings.Contains(body, "regions")
	})
}

// TestShop deploys the example and orders.
func TestShop(t *testing.T) {
	g := newGitStore(t)
	for _, name := range []string{"shop.wasm", "terrane.toml"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "examples", "shop", name))
		if err != nil {
			t.Fatal(err)
		}
		g.push("alice/"+name, string(content))
	}
	hub, leaf := startLattice(t, g)
	get := func(e *anEdge, path, want string) func() bool {
		return func() bool {
			_, body := e.request("alice.example", "alice.example", path)
			return strings.Contains(body, want)
		}
	}
	for _, e := range []*anEdge{hub, leaf} {
		e.await("a price", get(e, "/shop?item=tea", "350 cents"))
		e.await("an order", func() bool {
			code, _ := e.send(http.MethodPost, "alice.example", "alice.example", "/shop", "item=tea")
			return code == http.StatusAccepted
		})
		e.await("a sale", func() bool {
			_, body := e.request("alice.example", "alice.example", "/shop")
			return strings.Contains(body, " sold") && !strings.Contains(body, "tea</button> 0 sold")
		})
	}
	hub.await("a leader", func() bool { return hub.edge.lattice.cron.Status().Leader == "ams1" })
	status := "--admin=http://" + hub.edge.admin.Addr().String()
	for _, want := range []string{"cron", "ams1 leads", "1 lines"} {
		if out, err := terrane(t, "status", status); err != nil || !strings.Contains(out, want) {
			t.Errorf("status lacks %q: %v\n%s", want, err, out)
		}
	}
}

// onTasks runs an edge whose tenant alice has the guests and the manifest.
func onTasks(t *testing.T, manifest string, guests ...string) *anEdge {
	t.Helper()
	files := map[string][]byte{"terrane.toml": []byte(manifest)}
	for _, g := range guests {
		files[filepath.Base(g)] = testdata(t, g)
	}
	e := startEdge(t, nil, func(e *anEdge) { e.domain("alice.example", "terrane=/sites/alice/") })
	e.deploy("alice", files)
	e.await("a message that is kept", func() bool {
		code, _ := e.request("alice.example", "alice.example", "/post")
		return code == 200
	})
	return e
}

// lines are what alice's log has.
func (e *anEdge) lines(id tenant.ID) (list []server.LogLine) {
	for line := range e.edge.logs.Read(e.t.Context(), id, 1000, false) {
		if !line.Time.IsZero() {
			list = append(list, line)
		}
	}
	return list
}

// idle waits until no message waits any more.
func (e *anEdge) idle() {
	e.t.Helper()
	e.await("an empty queue", func() bool { n, err := e.edge.lattice.messages.Waiting(e.t.Context()); return err == nil && n == 0 })
}

// TestPoison: a message whose module always traps is given up after five times, each of
// which the tenant's log has with request, module and level.
func TestPoison(t *testing.T) {
	e := onTasks(t, "[[subscribe]]\nsubject = \"orders.*\"\npath = \"/trap\"\n",
		"cmd/terrane/testdata/guests/post.wasm", "server/testdata/trap.wasm")
	e.idle()
	trapped, requests, givenUp := 0, map[string]bool{}, 0
	for _, line := range e.lines("/sites/alice") {
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
		t.Errorf("trapped %d times in %d requests and was given up %d times: %+v", trapped, len(requests), givenUp, e.lines("/sites/alice"))
	}
}

// TestCircle: a module that answers each message by another of the same subject ends.
func TestCircle(t *testing.T) {
	e := onTasks(t, "[[subscribe]]\nsubject = \"orders.*\"\npath = \"/post\"\n", "cmd/terrane/testdata/guests/post.wasm")
	e.idle()
	circles := 0
	for _, line := range e.lines("/sites/alice") {
		if strings.Contains(line.Text, "17 messages that led to one another: a circle?") {
			circles++
			if line.Module != "post.wasm" || line.Request == "" {
				t.Errorf("%+v", line)
			}
		}
	}
	if circles != 5 { // the sixteenth message, each time that it is tried
		t.Errorf("%d lines on a circle: %+v", circles, e.lines("/sites/alice"))
	}
}
