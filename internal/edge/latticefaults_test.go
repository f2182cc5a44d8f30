package edge_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
)

// TestFaultsBesideTheLattice: an edge whose lattice cannot be built is built as far as that
// goes, so that the faults of its other parts are reported at the same time.
func TestFaultsBesideTheLattice(t *testing.T) {
	for _, tt := range []struct{ name, more string }{
		{"state in the lattice", "[tls]\nmode = \"internal\"\n"},
		{"certificates in the lattice", "[tls]\nkey = \"a secret of at least 32 characters\"\n"},
		{"state in redis", "[state]\nprovider = \"redis\"\nurl = \"redis://127.0.0.1:6379/0\"\n[tls]\nmode = \"internal\"\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			file := filepath.Join(dir, "edge.toml")
			if err := os.WriteFile(file, []byte(`[edge]
name = "ams1"
data = "data"
[[store]]
kind = "folder"
prefix = "/sites/"
path = "."
[dns]
addresses = ["192.0.2.10"]
resolvers = ["127.0.0.1:53"]
[lattice]
leaf_listen = "127.0.0.1:0"
[lattice.tls]
cert = "missing.pem"
key = "missing.key"
[bgp]
asn = 65001
router_id = "192.0.2.30"
prefixes = ["192.0.2.10/32"]
[[bgp.neighbor]]
address = "192.0.2.31"
asn = 0
`+tt.more), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = edge.New(t.Context(), cfg, edge.Options{Logger: slog.New(slog.DiscardHandler)})
			if err == nil {
				t.Fatal("no fault")
			}
			for _, want := range []string{"edge.toml:13: lattice.tls", "edge.toml:22: bgp.neighbor[0].asn"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("want %q in\n%v", want, err)
				}
			}
		})
	}
}
