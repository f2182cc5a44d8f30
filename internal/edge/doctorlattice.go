package edge

import (
	"context"
	"fmt"
	"time"

	"github.com/terrane/terrane/internal/lattice"
)

// examineLattice is all that is wrong with this edge's part in the lattice.
func (e *Edge) examineLattice(ctx context.Context) []lattice.Finding {
	found := append([]lattice.Finding{}, e.Lattice.Diagnose(ctx)...) // none is [] in JSON
	found = append(found, e.Lattice.Members.Diagnose()...)
	found = append(found, e.diagnoseState()...)
	if e.Lattice.Presence.Twin() {
		found = append(found, lattice.Finding{
			Where: "edge.name " + e.cfg.Edge.Name, Problem: "another edge of the lattice has this name: they take each other's words", Mend: "give each edge its own edge.name",
		})
	}
	found = append(found, e.examineFleet()...)
	if e.states.clock != nil {
		if ahead, side := e.states.clock(), "behind"; ahead != 0 {
			if ahead < 0 {
				side = "ahead of"
			}
			problem := fmt.Sprintf("this one is %s %s that of the edge that leads the state", ahead.Abs().Round(100*time.Millisecond), side)
			found = append(found, lattice.Finding{Where: "clock", Problem: problem, Mend: "run NTP at all edges"})
		}
	}
	return found
}
