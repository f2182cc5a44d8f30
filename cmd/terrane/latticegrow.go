package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// growPatience bounds how long the state of a stopped edge takes to be opened.
const growPatience = time.Minute

func latticeGrowCommand() *cobra.Command {
	var file, output string
	cmd := &cobra.Command{
		Use:   "grow --config FILE --output STATE",
		Short: "Prepare an edge that was alone to become a member of a cluster",
		Long: `Write all state of a stopped edge that was alone to a file, and set the state aside, so that the edge
can start as a member of a cluster. Take the state along with terrane kv import, at one of the
cluster's edges.

A cluster does not take over the state of an edge alone: serve and check refuse such an edge until this
was done. The file is that of terrane kv export; it has tenants' data in the clear.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output == "" {
				return usageError{cmd.CommandPath(), errors.New("want --output, the file that takes the state")}
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			alone, err := lattice.Alone(latticeDir(cfg))
			if err != nil {
				return err
			}
			if !alone {
				return fmt.Errorf("%s has no state of an edge alone: there is nothing to take along", latticeDir(cfg))
			}
			n, err := exportAlone(cmd.Context(), cfg, output)
			if err != nil {
				return fmt.Errorf("export the state in %s: %w", latticeDir(cfg), err)
			}
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%d entries are in %s: start the edge and the others of its cluster, and at one of them run: terrane kv import < %s\n", n, output, output); err != nil {
				return err
			}
			return resetLattice(cmd, cfg)
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().StringVarP(&output, "output", "o", "", "file that takes the state; it must not exist")
	return cmd
}

// exportAlone writes the state of a stopped edge that was alone to a new file, which is on
// the disk when it returns.
func exportAlone(ctx context.Context, cfg *config.Config, output string) (entries int64, err error) {
	f, err := os.OpenFile(output, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the operator names it
	if err != nil {
		return 0, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(output))
		}
	}()
	log := slog.New(slog.DiscardHandler)
	l, err := lattice.New(lattice.Options{
		Name: cfg.Edge.Name, Region: cfg.Edge.Region, Dir: latticeDir(cfg), Logger: log, MaxDisk: int64(cfg.Lattice.MaxDisk), MaxMemory: int64(cfg.Lattice.MaxMemory),
	})
	if err != nil {
		return 0, err
	}
	s, err := state.New(state.Options{Lattice: l, Bucket: stateBucket, Logger: log})
	if err != nil {
		return 0, err
	}
	move := statemove.Store{
		Of:  func(id tenant.ID, _ bool) hostcalls.KV { return s.KV(string(id), state.Strict) },
		All: ids(s.Tenants),
	}
	buffered := bufio.NewWriter(f)
	out := json.NewEncoder(buffered)
	export := func(ctx context.Context) error {
		within, cancel := context.WithTimeout(ctx, growPatience)
		defer cancel()
		for err := errNotOpen; err != nil; {
			if _, err = s.Ready(within); err != nil && within.Err() != nil {
				return err
			}
		}
		return move.Export(ctx, "", func(m *statemove.Line) error {
			if m.Entries != nil {
				entries = *m.Entries
			}
			return out.Encode(m)
		})
	}
	err = runParts(ctx, []part{{"lattice", l.Run}, {"state", s.Run}, {"export", export}})
	return entries, errors.Join(err, ctx.Err(), buffered.Flush(), f.Sync())
}

var errNotOpen = errors.New("not opened yet")
