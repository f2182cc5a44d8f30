package edge

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice"
)

// Check builds the edge on a data folder that does not last: whoever checks may
// not be the user that serves, and must leave no files of theirs behind.
func Check(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if info, err := os.Stat(cfg.Edge.Data); err == nil && !info.IsDir() {
		cfg.Fault("edge.data", "%s is a file: want a folder", cfg.Edge.Data)
	}
	o := LatticeOptions(&cfg.Lattice)
	o.Name, o.Region, o.Dir = cfg.Edge.Name, cfg.Edge.Region, LatticeDir(cfg)
	if f := lattice.CheckDir(o); f != nil {
		cfg.Fault("lattice."+f.Key, "%v", f.Err)
	}
	scratch, err := os.MkdirTemp("", "terrane-check-")
	if err != nil {
		return err
	}
	cfg.Edge.Data, cfg.TLS.Storage = scratch, filepath.Join(scratch, "certs")
	e, err := New(ctx, cfg, Options{Logger: log})
	if err == nil {
		err = e.engine.Close(ctx)
	}
	return errors.Join(err, os.RemoveAll(scratch))
}
