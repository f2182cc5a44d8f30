package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/fleet"
	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/tenant"
)

// served lets the fleet be built before the Syncer that it compares.
type served struct{ *tenantsync.Syncer }

// buildFleet builds what compares the releases that edges serve.
func (e *edge) buildFleet(source *served) (err error) {
	l, o := &e.cfg.Lattice, e.opt.fleet
	o.Lattice, o.Source, o.Peers = e.lattice.Lattice, source, e.fleetPeers
	o.Alone = len(l.URL)+len(l.Leaf)+len(l.Cluster.Routes) == 0 && l.Listen == "" && l.LeafListen == ""
	o.Logger, o.Metrics = e.logger("fleet"), e.metrics
	e.lattice.fleet, err = fleet.New(o)
	return err
}

// fleetPeers are the other edges that are heard, as far as they say what they serve.
func (e *edge) fleetPeers() (peers []fleet.Peer) {
	for _, p := range e.lattice.presence.Edges() {
		if p.Self || p.Silent || p.Leaving {
			continue
		}
		sums := map[string]tenant.Sum{}
		for _, s := range p.Serves {
			sums[s.Prefix] = s.Sum
		}
		peers = append(peers, fleet.Peer{Name: p.Name, Sums: sums})
	}
	return peers
}

// examineFleet is what other edges serve otherwise.
func (e *edge) examineFleet() (found []lattice.Finding) {
	for _, d := range e.lattice.fleet.Differences() {
		found = append(found, lattice.Finding{
			Where: "tenant " + string(d.Tenant), Problem: difference(&d),
			Mend: "see what refuses the newer release (terrane status at each edge), and that all edges reach its store; terrane rollback makes all serve one release",
		})
	}
	return found
}

// difference says in words who serves what.
func difference(d *fleet.Difference) string {
	names := map[tenant.Revision][]string{}
	for edge, rev := range d.Edges {
		names[rev] = append(names[rev], edge)
	}
	var others []string
	for _, rev := range slices.Sorted(maps.Keys(names)) {
		slices.Sort(names[rev])
		others = append(others, fmt.Sprintf("%s at %s", orNotServed(rev), strings.Join(names[rev], ", ")))
	}
	text := fmt.Sprintf("%s here, %s since %s", orNotServed(d.Here), strings.Join(others, "; "), d.Since.Local().Format(time.DateTime))
	if d.Pin != nil {
		text += "; " + pinned(d.Pin)
	}
	return text
}

func orNotServed(rev tenant.Revision) string {
	if rev == "" {
		return "not served"
	}
	return rev.Short()
}
