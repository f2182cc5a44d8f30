package config

import (
	"fmt"
	"time"

	"github.com/terrane/terrane/internal/tomlfile"
)

// Lattice is how edges find each other. What its values must be is checked by package
// lattice. Without any this edge is alone, and keeps its state.
type Lattice struct {
	URL         []string          `toml:"url"` // of the operator's NATS, instead of the embedded one
	Listen      string            `toml:"listen"`
	LeafListen  string            `toml:"leaf_listen"`
	Cluster     Cluster           `toml:"cluster"`
	Leaf        []string          `toml:"leaf"`
	Peers       map[string]string `toml:"peers"` // edge's name to nkey
	Credentials string            `toml:"credentials"`
	TLS         LatticeTLS        `toml:"tls"`
	Replicas    int               `toml:"replicas"`
	MaxMemory   tomlfile.Size     `toml:"max_memory"`
	MaxDisk     tomlfile.Size     `toml:"max_disk"`
	ForgetAfter Absence           `toml:"forget_after"` // of an edge of the cluster that is replaced
}

// Absence is how long an edge may be away: a duration, or -1 for "never" ending.
type Absence time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Absence) UnmarshalText(text []byte) error {
	if string(text) == "never" {
		*a = -1
		return nil
	}
	var d tomlfile.Duration
	err := d.UnmarshalText(text)
	if err == nil && time.Duration(d) < minAbsence {
		err = fmt.Errorf("%q is too short: want %s or more, as an edge that restarts is away too, or \"never\"", text, minAbsence)
	}
	*a = Absence(d)
	return err
}

// minAbsence is longer than the restart of an edge.
const minAbsence = time.Minute

// Cluster is the mesh of the edges of one region.
type Cluster struct {
	Name      string   `toml:"name"`
	Listen    string   `toml:"listen"`
	Advertise string   `toml:"advertise"`
	Routes    []string `toml:"routes"`
}

// LatticeTLS is the certificate that edges know each other by.
type LatticeTLS struct {
	Cert string `toml:"cert"`
	Key  string `toml:"key"`
	CA   string `toml:"ca"`
}

func (l *Lattice) complete(c *Config) {
	for _, path := range []*string{&l.Credentials, &l.TLS.Cert, &l.TLS.Key, &l.TLS.CA} {
		c.relative(path)
	}
}
