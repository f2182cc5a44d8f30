package edge

import (
	"context"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/fleet"
	"github.com/terrane/terrane/tenant"
)

// buildFleet builds what compares the releases that edges serve.
func (e *Edge) buildFleet(context.Context) (err error) {
	l, o := &e.cfg.Lattice, e.opt.Fleet
	o.Lattice, o.Peers = e.Lattice.Lattice, e.fleetPeers
	o.Alone = len(l.URL)+len(l.Leaf)+len(l.Cluster.Routes) == 0 && l.Listen == "" && l.LeafListen == ""
	o.Logger, o.Metrics = e.logger("fleet"), e.metrics
	e.Lattice.Fleet, err = fleet.New(o)
	return err
}

// fleetPeers are the other edges that are heard, as far as they say what they serve.
func (e *Edge) fleetPeers() (peers []fleet.Peer) {
	for _, p := range e.Lattice.Presence.Edges() {
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
func (e *Edge) examineFleet() (found []lattice.Finding) {
	for _, d := range e.Lattice.Fleet.Differences() {
		found = append(found, lattice.Finding{
			Where: "tenant " + string(d.Tenant), Problem: d.Summary(),
			Mend: "see what refuses the newer release (terrane status at each edge), and that all edges reach its store; terrane rollback makes all serve one release",
		})
	}
	return found
}
