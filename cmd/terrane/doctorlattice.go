package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/lattice"
)

// examineLattice is all that is wrong with this edge's part in the lattice.
func (e *edge) examineLattice(ctx context.Context) []lattice.Finding {
	found := append([]lattice.Finding{}, e.lattice.Diagnose(ctx)...) // none is [] in JSON
	found = append(found, e.lattice.members.Diagnose()...)
	found = append(found, e.diagnoseState()...)
	if e.lattice.presence.Twin() {
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

// doctorLattice prints what an edge finds.
func doctorLattice(cmd *cobra.Command, f *adminFlags, asJSON bool) error {
	body, err := f.get(cmd.Context(), "/doctor", nil)
	if err != nil {
		return err
	}
	var found []lattice.Finding
	if err := errors.Join(json.NewDecoder(body).Decode(&found), body.Close()); err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		err = enc.Encode(found)
	} else {
		tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
		for _, x := range found {
			_, _ = fmt.Fprintf(tw, "%s\t%s\n\t%s\n", x.Where, x.Problem, x.Mend) // Flush returns what fails
		}
		if len(found) == 0 {
			_, _ = fmt.Fprintln(tw, "lattice\tnothing is wrong")
		}
		err = tw.Flush()
	}
	if err == nil && len(found) > 0 {
		err = errors.New("the lattice is not as it should be")
	}
	return err
}
