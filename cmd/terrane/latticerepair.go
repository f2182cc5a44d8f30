package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/admin"
	"github.com/terrane/terrane/internal/lattice"
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
			path := admin.RepairPath
			if acceptLoss {
				path = admin.AcceptLossPath
			}
			if err := f.post(cmd.Context(), path, url.Values{}); err != nil {
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
