package admin

import (
	"net"
	"net/netip"
	"time"

	"github.com/terrane/terrane/bgp"
	"github.com/terrane/terrane/dnsverify"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/health"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/cron"
	"github.com/terrane/terrane/internal/lattice/fleet"
	"github.com/terrane/terrane/internal/lattice/members"
	"github.com/terrane/terrane/internal/lattice/presence"
	"github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// Examination is what an edge finds about a domain.
type Examination struct {
	Edge        string           `json:"edge"`
	DNS         dnsverify.Report `json:"dns"`
	Revision    tenant.Revision  `json:"revision,omitempty"` // live
	Refused     string           `json:"refused,omitempty"`  // why a newer one is not
	Problem     string           `json:"problem,omitempty"`  // why the edge would not show the folder
	Certificate *Certificate     `json:"certificate,omitempty"`
	Unnamed     string           `json:"caa_not_compared,omitempty"` // why CAA records were not compared with all CAs
	Healthy     bool             `json:"healthy"`
}

// Certificate is what the edge's own listener shows for the domain.
type Certificate struct {
	Issuer  string    `json:"issuer,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	Problem string    `json:"problem,omitempty"`
	Mend    string    `json:"mend,omitempty"`
	// ACME is what the edges remember of orders for it; nil where there are none.
	ACME *acme.Status `json:"acme,omitempty"`
}

// Release is one that a tenant can be rolled back to, of /releases.
type Release = sync.Release

// Progress is how far a revision has come at an edge.
type Progress struct {
	Edge    string `json:"edge"`
	Live    bool   `json:"live"`
	Problem string `json:"problem,omitempty"` // why it will not be
}

// Tasks is what runs, and waits to run, in this edge's region.
type Tasks struct {
	Cron    cron.Status `json:"cron"`
	Waiting *uint64     `json:"waiting"` // messages; nil: not known
}

// Status is what /status says, as far as it is printed.
type Status struct {
	Edge   map[string]string `json:"edge"`
	Ready  bool              `json:"ready"`
	Unmet  []string          `json:"unmet"`
	Health health.Status     `json:"health"`
	Sync   sync.Status       `json:"sync"`
	BGP    *bgp.Status       `json:"bgp"`
	BFD    []struct {
		Address netip.Addr `json:"address"`
		State   string     `json:"state"`
		Reason  string     `json:"reason"`
	} `json:"bfd"`

	Lattice lattice.Status  `json:"lattice"`
	Members members.Status  `json:"members"`
	Edges   []presence.Peer `json:"edges"`

	Fleet []fleet.Difference `json:"fleet"`
	Tasks Tasks              `json:"tasks"`
}

// URL is that of a listener at "host:port", as seen from its host.
func URL(listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
