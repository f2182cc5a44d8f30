package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
	"github.com/terrane/terrane/internal/lattice"
)

func latticeGrowCommand() *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use:   "grow --config FILE --output STATE",
		Short: "Prepare an edge that was alone to become a member of a cluster",
		Long: `Write all state of a stopped edge that was alone to a file, and set the state aside, so that the edge
can start as a member of a cluster. Take the state along with terrane kv import, at one of the
cluster's edges.

A cluster does not take over the state of an edge alone: serve and check refuse such an edge until this
was done. The file is that of terrane kv export; it has tenants' data in the clear.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output == "" {
				return usageError{cmd.CommandPath(), errors.New("want --output, the file that takes the state")}
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			alone, err := lattice.Alone(edge.LatticeDir(cfg))
			if err != nil {
				return err
			}
			if !alone {
				return fmt.Errorf("%s has no state of an edge alone: there is nothing to take along", edge.LatticeDir(cfg))
			}
			n, err := edge.ExportAlone(cmd.Context(), cfg, output)
			if err != nil {
				return fmt.Errorf("export the state in %s: %w", edge.LatticeDir(cfg), err)
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%d entries are in %s: start the edge and the others of its cluster, and at one of them run: terrane kv import < %s\n", n, output, output); err != nil {
				return err
			}
			return resetLattice(cmd, cfg)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVarP(&output, "output", "o", "", "file that takes the state; it must not exist")
	return cmd
}
