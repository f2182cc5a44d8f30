package edge

import (
	"context"
	"errors"
	"time"

	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state"
)

// buckets are those in the lattice that this edge uses.
func (e *Edge) buckets() []*state.Store {
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
func (e *Edge) checkState(ctx context.Context) error {
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
	return errors.Join(append(errs, e.Lattice.Messages.Healthy())...)
}

// diagnoseState is the same for doctor, and how other edges' state differs.
func (e *Edge) diagnoseState() (found []lattice.Finding) {
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
	if err := e.Lattice.Messages.Healthy(); err != nil {
		found = append(found, lattice.Finding{Where: "state messages", Problem: err.Error(), Mend: "see docs/state.md, \"Damaged state\""})
	}
	return found
}

// compareState answers another edge that compares its state with this one's.
func (e *Edge) compareState(ctx context.Context, question []byte) (any, error) {
	for _, s := range e.buckets() {
		if answer, err := s.Answer(ctx, question); err != nil || answer != nil {
			return answer, err
		}
	}
	return nil, nil //nolint:nilnil // another edge is asked
}

// repair does what can be done about damaged state.
func (e *Edge) repair(ctx context.Context, acceptLoss bool) error {
	var errs []error
	for _, s := range e.buckets() {
		text, err := s.Repair(ctx, acceptLoss)
		if text != "" {
			e.log.Info("state repair", "result", text)
		}
		errs = append(errs, err)
	}
	text, err := e.Lattice.Messages.Repair(ctx, acceptLoss)
	if text != "" {
		e.log.Info("messages repair", "result", text)
	}
	return errors.Join(append(errs, err)...)
}
