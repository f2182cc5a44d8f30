package edge_test

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
)

// TestGuestsReachNoInfrastructure: what the configuration calls the edge's, its routers'
// or its state's is refused, by address.
func TestGuestsReachNoInfrastructure(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "edge.toml")
	if err := os.WriteFile(file, []byte(`
[edge]
name = "ams1"
data = "data"
[[store]]
kind = "folder"
prefix = "/sites/"
path = "."
[dns]
addresses = ["192.0.2.10", "2001:db8::10"]
resolvers = ["127.0.0.1:53"]
[tls]
mode = "internal"
[fetch]
deny = ["198.51.100.0/24", "denied.example"]
[state]
provider = "redis"
url = "redis://192.0.2.20:6379/0"
[bgp]
asn = 65001
router_id = "192.0.2.30"
prefixes = ["192.0.2.10/32", "2001:db8::10/128"]
allow_host_routes = true
[[bgp.neighbor]]
address = "192.0.2.31"
asn = 65002
local_address = "192.0.2.32"
next_hops = ["192.0.2.33", "2001:db8::33"]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	e, err := edge.New(t.Context(), cfg, edge.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := e.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	for host, want := range map[string]string{
		"192.0.2.10": "of this edge", "[2001:db8::10]": "of this edge", "[::ffff:192.0.2.10]": "of this edge", "192.0.2.20:6379": "of this edge",
		"192.0.2.30": "of this edge", "192.0.2.31:179": "of this edge", "192.0.2.32": "of this edge", "192.0.2.33": "of this edge",
		"[2001:db8::33]": "of this edge", "127.0.0.1:53": "of this edge", "192.0.2.99": "a private or reserved address",
		"198.51.100.7": "that this edge does not let guests fetch from", "denied.example": "not among those that this edge lets guests fetch from",
	} {
		u, err := url.Parse("http://" + host + "/")
		if err != nil {
			t.Fatal(err)
		}
		_, err = e.Fetch(t.Context(), &hostcalls.FetchRequest{Method: "GET", URL: u})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", host, err, want)
		}
	}
}
