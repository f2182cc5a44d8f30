package main

import "github.com/spf13/cobra"

func latticeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lattice forget|grow|repair|reset ...",
		Short: "Change which edges are members of a cluster, and repair their state",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(latticeForgetCommand(), latticeGrowCommand(), latticeRepairCommand(), latticeResetCommand())
	return cmd
}
