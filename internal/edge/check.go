package edge

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/terrane/terrane/internal/config"
	tenantsync "github.com/terrane/terrane/sync"
)

// ReachTime bounds how long Check waits for an origin.
const ReachTime = tenantsync.ReachTime

// Check returns every fault of cfg, and else builds the edge on a data folder that does not
// last: the user that checks may be another one than the user that serves, and leaves no
// files behind. Unless offline, it also asks the origins of git stores for their branches.
func Check(ctx context.Context, cfg *config.Config, offline bool, log *slog.Logger) error {
	if err := Faults(cfg); err != nil {
		return err
	}
	if !offline {
		rest := cfg.Faults("", tenantsync.Options{Stores: stores(cfg)}.Reach(ctx))
		if err := errors.Join(rest, cfg.Err()); err != nil {
			return err
		}
	}
	scratch, err := os.MkdirTemp("", "terrane-check-")
	if err != nil {
		return err
	}
	cfg.Edge.Data = scratch
	if cfg.TLS.Storage != config.StorageLattice {
		cfg.TLS.Storage = filepath.Join(scratch, "certs")
	}
	e, err := New(ctx, cfg, Options{Logger: log})
	if err == nil {
		err = e.engine.Close(ctx)
	}
	return errors.Join(err, os.RemoveAll(scratch))
}
