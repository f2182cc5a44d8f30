package main

import "github.com/spf13/cobra"

func latticeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lattice forget|grow|reset ...",
		Short: "Change which edges are members of a cluster",
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(latticeForgetCommand(), latticeGrowCommand(), latticeResetCommand())
	return cmd
}
