package main

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice"
)

// buildLattice builds what edges find each other by.
func (e *edge) buildLattice(context.Context) error {
	o := latticeOptions(&e.cfg.Lattice)
	o.Name, o.Region, o.Dir = e.cfg.Edge.Name, e.cfg.Edge.Region, filepath.Join(e.cfg.Edge.Data, "lattice")
	o.Logger, o.Metrics = e.logger("lattice"), e.metrics
	var err error
	e.lattice, err = lattice.New(o)
	if faults, ok := errors.AsType[lattice.Faults](err); ok {
		for _, f := range faults {
			e.cfg.Fault("lattice."+f.Key, "%v", f.Err)
		}
		return nil // newEdge returns them with their lines
	}
	return err
}

func latticeOptions(c *config.Lattice) lattice.Options {
	return lattice.Options{
		URLs:        c.URL,
		Listen:      c.Listen,
		LeafListen:  c.LeafListen,
		Cluster:     lattice.Cluster(c.Cluster),
		Leaf:        c.Leaf,
		Peers:       c.Peers,
		Credentials: c.Credentials,
		TLS:         lattice.TLS(c.TLS),
		Replicas:    c.Replicas,
		MaxMemory:   int64(c.MaxMemory),
		MaxDisk:     int64(c.MaxDisk),
	}
}
