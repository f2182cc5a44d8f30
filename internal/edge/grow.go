package edge

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/internal/parts"
	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// growPatience bounds how long the state of a stopped edge takes to be opened.
const growPatience = time.Minute

// ExportAlone writes the state of a stopped edge that was alone to a new file, which is on
// the disk when it returns.
func ExportAlone(ctx context.Context, cfg *config.Config, output string) (entries int64, err error) {
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
		Name: cfg.Edge.Name, Region: cfg.Edge.Region, Dir: LatticeDir(cfg), Logger: log, MaxDisk: int64(cfg.Lattice.MaxDisk), MaxMemory: int64(cfg.Lattice.MaxMemory),
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
	err = parts.Run(ctx, []parts.Part{{Name: "lattice", Run: l.Run}, {Name: "state", Run: s.Run}, {Name: "export", Run: export}})
	return entries, errors.Join(err, ctx.Err(), buffered.Flush(), f.Sync())
}

var errNotOpen = errors.New("not opened yet")
