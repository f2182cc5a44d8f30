// Command terrane is a serverless host with no control plane: it serves
// WebAssembly modules that tenants deploy by git push or cp, on domains they bring
// by DNS alone.
//
// There is one file per subcommand. Package internal/edge wires the packages together,
// and is the only place that does.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// Exit statuses, as Go's own tools use them.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := untilSignal(context.Background())
	defer stop()

	err := newCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "terrane: %v\n", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailure
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "terrane",
		Short:         "A serverless host with no control plane",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError{cmd.CommandPath(), err} })
	root.AddCommand(
		announcementsCommand(), checkCommand(), devCommand(), doctorCommand(), drainCommand(), inspectCommand(), kvCommand(), latticeCommand(), logsCommand(), newSubcommand(),
		releasesCommand(), rollbackCommand(), runCommand(), serveCommand(), statusCommand(), undrainCommand(), versionCommand(),
	)
	return root
}
