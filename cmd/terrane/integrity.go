package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state"
)

// buckets are those in the lattice that this edge uses.
func (e *edge) buckets() []*state.Store {
	var list []*state.Store
	for _, s := range []*state.Store{e.states.store, e.shared} {
		if s != nil {
			list = append(list, s)
		}
	}
	return list
}

// stateWait is how long checkState waits for the comparison at the start. An edge that is
// cut off from what keeps its state serves without it.
const stateWait = 3 * time.Second

// checkState fails while something is wrong with what a bucket holds.
func (e *edge) checkState(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stateWait)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	var errs []error
	for _, s := range e.buckets() {
		for !s.Compared() && ctx.Err() == nil {
			select {
			case <-look.C:
			case <-ctx.Done():
			}
		}
		errs = append(errs, s.Healthy())
	}
	return errors.Join(errs...)
}

// diagnoseState is the same for doctor, and how other edges' state differs.
func (e *edge) diagnoseState() (found []lattice.Finding) {
	for _, s := range e.buckets() {
		where := "state " + s.Bucket()
		if err := s.Healthy(); err != nil {
			found = append(found, lattice.Finding{Where: where, Problem: err.Error(), Mend: "see docs/state.md, \"Damaged state\""})
		}
		if differs := s.Difference(); differs != "" {
			found = append(found, lattice.Finding{
				Where: where, Problem: "edges have different state: " + differs,
				Mend: "run 'terrane lattice repair' at this edge; if that does not help, see docs/state.md, \"Edges that differ\"",
			})
		}
	}
	return found
}

// compareState answers another edge that compares its state with this one's.
func (e *edge) compareState(ctx context.Context, question []byte) (any, error) {
	for _, s := range e.buckets() {
		if answer, err := s.Answer(ctx, question); err != nil || answer != nil {
			return answer, err
		}
	}
	return nil, nil //nolint:nilnil // another edge is asked
}

// repair does what can be done about damaged state.
func (e *edge) repair(ctx context.Context, acceptLoss bool) error {
	var errs []error
	for _, s := range e.buckets() {
		text, err := s.Repair(ctx, acceptLoss)
		if text != "" {
			e.log.Info("state repair", "result", text)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// The actions of the admin listener that latticeRepairCommand asks for.
const (
	repairAction     = "lattice/repair"
	acceptLossAction = "lattice/repair/accept-loss"
)

func latticeRepairCommand() *cobra.Command {
	var f adminFlags
	var acceptLoss bool
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Repair an edge's damaged state, as far as nothing is lost, and say what is",
		Long: `Compare what an edge's state holds with what the edge has recorded and with the other edges, and
repair what differs: a damaged copy is made again from the others. The edge does the same by itself, at its
start, every hour, and when a read finds something missing.

If entries are missing everywhere, the edge refuses writes and says so. Then either bring back what has
them (start the edges that are down, restore the disk), or accept the loss: with --accept-loss the state goes
on with what is there, under versions that were never given out. 'terrane kv import' with the newest export
then adds what is missing. Run it at each edge that reports the loss.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			action := repairAction
			if acceptLoss {
				action = acceptLossAction
			}
			if err := f.post(cmd.Context(), "/"+action, url.Values{}); err != nil {
				return err
			}
			body, err := f.get(cmd.Context(), "/doctor", nil)
			if err != nil {
				return err
			}
			var found []lattice.Finding
			if err := errors.Join(json.NewDecoder(body).Decode(&found), body.Close()); err != nil {
				return err
			}
			for _, x := range found {
				if strings.HasPrefix(x.Where, "state ") {
					return fmt.Errorf("%s: %s: %s", x.Where, x.Problem, x.Mend)
				}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing is missing that the edge knows of")
			return err
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&acceptLoss, "accept-loss", false, "go on without what is missing")
	return cmd
}
