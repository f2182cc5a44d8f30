package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/edge/edgetest"
)

// TestShop deploys the example and orders.
func TestShop(t *testing.T) {
	g := edgetest.NewGitStore(t)
	for _, name := range []string{"shop.wasm", "terrane.toml"} {
		content, err := os.ReadFile(filepath.Join("..", "..", "examples", "shop", name))
		if err != nil {
			t.Fatal(err)
		}
		g.Push("alice/"+name, string(content))
	}
	hub, leaf := edgetest.StartLattice(t, g)
	get := func(e *edgetest.Edge, path, want string) func() bool {
		return func() bool {
			_, body := e.Request("alice.example", "alice.example", path)
			return strings.Contains(body, want)
		}
	}
	for _, e := range []*edgetest.Edge{hub, leaf} {
		e.Await("a price", get(e, "/shop?item=tea", "350 cents"))
		e.Await("an order", func() bool {
			code, _ := e.Send(http.MethodPost, "alice.example", "alice.example", "/shop", "item=tea")
			return code == http.StatusAccepted
		})
		e.Await("a sale", func() bool {
			_, body := e.Request("alice.example", "alice.example", "/shop")
			return strings.Contains(body, " sold") && !strings.Contains(body, "tea</button> 0 sold")
		})
	}
	hub.Await("a leader", func() bool { return hub.Lattice.Cron.Status().Leader == "ams1" })
	status := "--admin=http://" + hub.Admin.Addr().String()
	for _, want := range []string{"cron", "ams1 leads", "1 lines"} {
		if out, err := terrane(t, "status", status); err != nil || !strings.Contains(out, want) {
			t.Errorf("status lacks %q: %v\n%s", want, err, out)
		}
	}
}
