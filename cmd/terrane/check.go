package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
)

func checkCommand() *cobra.Command {
	var file string
	var logs logFlags
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "Report everything that serve would refuse, without starting",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logs.logger(cmd.ErrOrStderr())
			if err != nil {
				return usageError{cmd.CommandPath(), err}
			}
			cfg, err := config.Load(file)
			if cfg == nil {
				return err
			}
			if err := edge.Check(cmd.Context(), cfg, log); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: good\n", file)
			return err
		},
	}
	configFlag(cmd, &file)
	logs.register(cmd, "text")
	return cmd
}
