package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
)

func checkCommand() *cobra.Command {
	var file string
	var offline bool
	var logs logFlags
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Report everything that serve would refuse, without starting",
		Long: fmt.Sprintf(`Report everything that serve would refuse, without starting, and ask the origin of each git
store for its branch, for %s at most. With --offline nothing is asked: for a unit that starts the
edge, which serves what it has mirrored while an origin is out of reach.`, edge.ReachTime),
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logs.logger(cmd.ErrOrStderr())
			if err != nil {
				return usageError{cmd.CommandPath(), err}
			}
			cfg, err := config.Load(file)
			if cfg == nil {
				return err
			}
			if err := edge.Check(cmd.Context(), cfg, offline, log); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: good\n", file)
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&offline, "offline", false, "do not ask the origins of git stores")
	logs.register(cmd, "text")
	return cmd
}
