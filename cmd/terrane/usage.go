package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// usageError is wrong use of the command line: exit status 2.
type usageError struct {
	command string
	err     error
}

func (e usageError) Error() string { return fmt.Sprintf("%v (see '%s --help')", e.err, e.command) }

func (e usageError) Unwrap() error { return e.err }

// usage makes what check refuses a usageError.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{cmd.CommandPath(), err}
		}
		return nil
	}
}
