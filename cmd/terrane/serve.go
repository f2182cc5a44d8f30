package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/edge"
)

func serveCommand() *cobra.Command {
	var file, access string
	var logs logFlags
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run an edge",
		Long: `Run an edge: mirror the stores, verify domains, serve them over HTTPS, and
announce the configured prefixes while all of that works.

SIGINT, SIGTERM or SIGHUP takes it down in order: routes are withdrawn, requests in
flight are finished, and only then it stops. Another SIGINT or SIGTERM ends it at
once. It goes on serving when nobody reads its output any more.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := logs.logger(cmd.ErrOrStderr())
			if err != nil {
				return usageError{cmd.CommandPath(), err}
			}
			out, closeOut, err := accessLog(access, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			return errors.Join(serve(cmd.Context(), file, edge.Options{Version: version(), Logger: log, AccessLog: out}), closeOut())
		},
	}
	configFlag(cmd, &file)
	logs.register(cmd, "text")
	cmd.Flags().StringVar(&access, "access-log", "-", "file that takes a JSON line per request; - for standard output, empty for none")
	return cmd
}

func serve(ctx context.Context, file string, opt edge.Options) error {
	cfg, err := config.Load(file)
	if cfg == nil {
		return err
	} // edge.New reports the other faults of the file, and its own
	e, err := edge.New(ctx, cfg, opt)
	if err != nil {
		return err
	}
	if heap := e.Memory.Heap; heap > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(heap)
	}
	defer surviveBrokenPipe()()
	opt.Logger.Info("edge starts", "edge", cfg.Edge.Name, "region", cfg.Edge.Region, "version", opt.Version)
	return logEnd(ctx, opt.Logger, e.Run)
}

// accessLog opens what --access-log names.
func accessLog(name string, stdout io.Writer) (io.Writer, func() error, error) {
	nothing := func() error { return nil }
	switch name {
	case "":
		return nil, nothing, nil
	case "-":
		return stdout, nothing, nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640) //nolint:gosec // the operator names it, a group may read it
	if err != nil {
		return nil, nil, fmt.Errorf("--access-log: %w", err)
	}
	return f, f.Close, nil
}
