package config

import (
	"path/filepath"

	"github.com/terrane/terrane/internal/tomlfile"
)

// State is where guests' key-value state is kept. Zero values stand for the
// providers' defaults.
type State struct {
	Provider string            `toml:"provider"` // "lattice", "redis" or "memory"
	URL      Secret            `toml:"url"`      // redis: may hold a password
	Home     string            `toml:"home"`     // lattice: the region that keeps it; others mirror it
	Strict   bool              `toml:"strict"`   // lattice: reads are linearizable, for all tenants
	Bytes    tomlfile.Size     `toml:"bytes"`    // of a tenant
	Keys     int               `toml:"keys"`     // of a tenant
	Timeout  tomlfile.Duration `toml:"timeout"`  // of an operation
}

func (c *Config) checkState() {
	s := &c.State
	switch s.Provider {
	case "lattice", "memory":
		if s.URL != "" {
			c.Fault("state.url", "is for provider = \"redis\": drop it, or name that provider")
		}
	case "redis":
	default:
		c.Fault("state.provider", "%q is no provider: want \"lattice\", \"redis\" or \"memory\"", s.Provider)
	}
	for key, set := range map[string]bool{"home": s.Home != "", "strict": s.Strict} {
		if set && s.Provider != "lattice" {
			c.Fault("state."+key, "is for provider = \"lattice\" alone")
		}
	}
	if s.Provider == "lattice" && len(c.Lattice.Leaf) > 0 && s.Home == "" {
		c.Fault("state.home", "want the region that keeps tenants' state, the same at all edges, as this region is a leaf of another (lattice.leaf)")
	}
	if s.Home != "" && s.Provider == "lattice" && !isName(s.Home) {
		c.Fault("state.home", "%q: want the edge.region of the edges that keep it", s.Home)
	}
	if s.Keys < 0 {
		c.Fault("state.keys", "%d: want 1 or more", s.Keys)
	}
}

// StorageLattice is the tls.storage that is no folder.
const StorageLattice = "lattice"

// completeStorage chooses the lattice where it joins several edges.
func (c *Config) completeStorage() {
	l, t := &c.Lattice, &c.TLS
	joined := l.Cluster.Listen != "" || l.LeafListen != "" || len(l.Leaf) > 0 || len(l.URL) > 0
	switch {
	case t.Storage == StorageLattice:
	case t.Storage != "":
		c.relative(&t.Storage)
	case joined && t.Mode == "acme":
		t.Storage = StorageLattice
	default:
		t.Storage = filepath.Join(c.Edge.Data, "certs")
	}
}

func (c *Config) checkStorage() {
	if c.TLS.Mode == "acme" && c.TLS.Storage == StorageLattice && c.TLS.Key == "" {
		c.Fault("tls.key", "want a secret of 32 characters or more, the same at all edges: certificates in the lattice are encrypted with it (or name a folder in tls.storage)")
	}
}
