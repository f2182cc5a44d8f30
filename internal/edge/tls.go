package edge

import (
	"context"
	"crypto/tls"
	"fmt"
	"path/filepath"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/lattice/state"
	"github.com/terrane/terrane/server"
)

// tlsConfig builds what tls.mode asks for.
func (e *Edge) tlsConfig() (*tls.Config, error) {
	switch e.cfg.TLS.Mode {
	case "acme":
		return e.acmeConfig()
	case "files":
		return e.filesConfig()
	}
	dir := e.opt.CADir
	if dir == "" {
		dir = filepath.Join(e.cfg.Edge.Data, "ca")
	}
	var err error
	e.Authority, err = certs.NewInternal(certs.InternalOptions{Dir: dir, Permit: e.permit, Metrics: e.metrics})
	if err != nil {
		return nil, err
	}
	return e.Authority.TLSConfig(), nil
}

func (e *Edge) acmeConfig() (*tls.Config, error) {
	store, err := e.certStorage()
	if err != nil {
		return nil, fmt.Errorf("tls.storage: %w", err)
	}
	o, err := acmeOptions(&e.cfg.TLS)
	if err != nil {
		return nil, err
	}
	o.Storage, o.Permit, o.SelfHost, o.Logger, o.Metrics = store, e.permit, server.SelfHost, e.logger("certs"), e.metrics
	e.acme, err = acme.New(o)
	if err != nil {
		return nil, err
	}
	return e.acme.TLSConfig(), nil
}

func (e *Edge) filesConfig() (*tls.Config, error) {
	o := filesOptions(&e.cfg.TLS)
	o.Logger = e.logger("certs")
	var err error
	if e.files, err = certs.NewFiles(o); err != nil {
		return nil, err
	}
	return e.files.TLSConfig(), nil
}

// certStorage is where edges share certificates.
func (e *Edge) certStorage() (storage.Storage, error) {
	if e.cfg.TLS.Storage == config.StorageLattice {
		if e.shared == nil { // the lattice has faults: the edge does not run
			return storage.NewShared(nil, 0), nil
		}
		const id = "certs"
		kv := storage.Refreshed(e.shared.KV(id, state.Near), func(ctx context.Context) error { return e.shared.Refresh(ctx, id) })
		return storage.NewShared(kv, 0), nil
	}
	return storage.NewFolder(storage.FolderOptions{Dir: e.cfg.TLS.Storage})
}
