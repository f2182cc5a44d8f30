package edge_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/edge/edgetest"
)

// TestDomainsChangeHands follows one domain through claims: whoever its TXT record names
// is shown, if that folder consents, and nobody else ever is.
func TestDomainsChangeHands(t *testing.T) {
	e := edgetest.Start(t, nil)
	for _, name := range []string{"alice", "bob", "shy"} {
		files := map[string][]byte{"index.html": []byte("this is " + name)}
		if name == "shy" {
			files["terrane.toml"] = []byte(`domains = ["*.shy.example"]`)
		}
		e.Deploy(name, files)
	}
	const host = "moving.example"
	for _, step := range []struct {
		name   string
		do     func()
		status int
		body   string
	}{
		{"the first claim", func() { e.Domain(host, "terrane=/sites/alice/") }, http.StatusOK, "this is alice"},
		{"a rival claim", func() { e.Domain(host, "terrane=/sites/alice/", "terrane=/sites/bob/") }, http.StatusNotFound, "name 2 folders"},
		{"the domain moves", func() { e.Domain(host, "terrane=/sites/bob/") }, http.StatusOK, "this is bob"},
		{"to a folder that does not consent", func() { e.Domain(host, "terrane=/sites/shy/") }, http.StatusNotFound, "does not list " + host},
		{"to a folder within a tenant's", func() { e.Domain(host, "terrane=/sites/alice/docs/") }, http.StatusNotFound, "no store of this edge has"},
		{"to the folder of all", func() { e.Domain(host, "terrane=/sites/") }, http.StatusNotFound, "no store of this edge has"},
		{"back", func() { e.Domain(host, "terrane=/sites/bob/") }, http.StatusOK, "this is bob"},
		{"the tenant leaves", func() {
			if err := os.RemoveAll(filepath.Join(e.Dir, "bob")); err != nil {
				t.Fatal(err)
			}
		}, http.StatusNotFound, "no store of this edge has"},
	} {
		step.do()
		e.Await(step.name, func() bool {
			status, body := e.Request("", host, "/")
			return status == step.status && strings.Contains(body, step.body)
		})
	}
	e.Domain("a.shy.example", "terrane=/sites/shy/")
	e.Want("a.shy.example", "/", http.StatusOK, "this is shy")
}
