package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
	"github.com/terrane/terrane/internal/lattice"
)

func latticeResetCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "reset --config FILE",
		Short: "Set aside what a stopped edge has of the lattice's state, so that it starts without",
		Long: `Set aside what a stopped edge has of the lattice's state, so that it starts without any: to become an
edge alone again, or a member of another cluster, or of the same one under another name. Nothing is
deleted: the command prints where the state is now. The cluster's other edges keep their copies; have
them forget this one (terrane lattice forget).`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			return resetLattice(cmd, cfg)
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func resetLattice(cmd *cobra.Command, cfg *config.Config) error {
	to, err := lattice.Reset(edge.LatticeDir(cfg))
	if err != nil {
		return fmt.Errorf("set aside the state in %s (is the edge stopped?): %w", edge.LatticeDir(cfg), err)
	}
	if to == "" {
		to = "nowhere: there was none"
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "the state on this edge's disk was set aside: %s\n", to)
	return err
}
