package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice"
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
			if err != nil {
				return err
			}
			if err := checkEdge(cmd.Context(), cfg, log); err != nil {
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

// checkEdge builds the edge on a data folder that does not last: whoever checks may
// not be the user that serves, and must leave no files of theirs behind.
func checkEdge(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if info, err := os.Stat(cfg.Edge.Data); err == nil && !info.IsDir() {
		cfg.Fault("edge.data", "%s is a file: want a folder", cfg.Edge.Data)
	}
	o := latticeOptions(&cfg.Lattice)
	o.Name, o.Region, o.Dir = cfg.Edge.Name, cfg.Edge.Region, latticeDir(cfg)
	if f := lattice.CheckDir(o); f != nil {
		cfg.Fault("lattice."+f.Key, "%v", f.Err)
	}
	scratch, err := os.MkdirTemp("", "terrane-check-")
	if err != nil {
		return err
	}
	cfg.Edge.Data, cfg.TLS.Storage = scratch, filepath.Join(scratch, "certs")
	e, err := newEdge(ctx, cfg, edgeOptions{log: log})
	if err == nil {
		err = e.engine.Close(ctx)
	}
	return errors.Join(err, os.RemoveAll(scratch))
}
