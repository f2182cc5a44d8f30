package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/lattice/members"
)

func latticeForgetCommand() *cobra.Command {
	var f adminFlags
	var heard, minority bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "forget EDGE",
		Short: "Remove an edge that does not come back from its cluster",
		Long: `Remove an edge that is lost for good, or was stopped for good, from its cluster. Ask any other
edge of the cluster. The live edges then make the copies that it held, and the command waits until
all copies that they can hold are complete.

Until it is forgotten an edge counts for the majority, and nothing replaces its copies. Add an edge in
its place first: with fewer live edges than lattice.replicas, copies stay missing.

An edge that is heard is refused: stop it first. If it starts again after it was forgotten, it drops
its copies and joins as a new edge, within about five minutes.

When a majority of the cluster is lost for good, nothing elects a leader any more. Then, and only then,
have one of the edges that are left forget the lost ones with --without-majority, one after the other:
state goes on from the copies that are left. What only the lost edges had confirmed is gone, and an edge
that was only cut off, and forgotten so, must not be started again with its old data folder.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := url.Values{"edge": {args[0]}}
			if heard {
				q.Set("heard", "1")
			}
			if minority {
				q.Set("majority", "0")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			body, err := f.do(ctx, http.MethodPost, "/lattice/forget", q, http.NoBody)
			if err != nil {
				return err
			}
			s, err := membersStatus(body)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s is forgotten\n", args[0]); err != nil {
				return err
			}
			return f.awaitCopies(ctx, cmd.OutOrStdout(), s)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&heard, "force", false, "also if the edge is heard: its server then gives up its copies")
	cmd.Flags().BoolVar(&minority, "without-majority", false, "also if a majority of the cluster is not there; see above")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long to wait for the copies")
	return cmd
}

func membersStatus(body io.ReadCloser) (s members.Status, err error) {
	err = errors.Join(json.NewDecoder(body).Decode(&s), body.Close())
	return s, err
}

// awaitCopies waits until the cluster has all copies that its live edges can hold, and
// shows them.
func (f *adminFlags) awaitCopies(ctx context.Context, w io.Writer, s members.Status) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var late error
	for !s.Settled() && late == nil {
		select {
		case <-tick.C:
			body, err := f.get(ctx, "/status/members", nil)
			if err == nil {
				s, err = membersStatus(body)
			}
			if err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			late = errors.New("copies are still being made: see terrane doctor")
		}
	}
	row, end := newTable(w)
	s.Print(row)
	return errors.Join(end(), late)
}
