package main

import "github.com/spf13/cobra"

func drainCommand() *cobra.Command {
	return actionCommand("drain", "Withdraw an edge from BGP, in order",
		`Announce an edge's prefixes with GRACEFUL_SHUTDOWN (RFC 8326), wait, and withdraw them.
If visitors still come then, the BGP sessions are ended until undrain. The edge goes on
serving visitors who still come. This holds, over restarts too, until undrain.`)
}

func undrainCommand() *cobra.Command {
	return actionCommand("undrain", "Announce a drained edge again, once it is ready", "")
}

// actionCommand has a running edge do something, and returns when it has.
func actionCommand(name, short, long string) *cobra.Command {
	var f adminFlags
	cmd := &cobra.Command{
		Use:   name,
		Short: short,
		Long:  long,
		Args:  usage(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.post(cmd.Context(), "/"+name, nil) },
	}
	f.register(cmd)
	return cmd
}
