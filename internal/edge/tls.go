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
	c := &e.cfg.TLS
	store, err := e.certStorage()
	if err != nil {
		return nil, fmt.Errorf("tls.storage: %w", err)
	}
	roots, err := readPEM(e.cfg, "tls.roots", c.Roots)
	if err != nil {
		return nil, err
	}
	var key []byte // nil, not empty, where nothing is to be encrypted
	if c.Key != "" {
		key = []byte(c.Key)
	}
	bindings := make(map[string]acme.EAB)
	for _, b := range c.EAB {
		bindings[b.CA] = acme.EAB{KeyID: b.KID, Key: string(b.Key)}
	}
	e.acme, err = acme.New(acme.Options{
		CAs:      c.CA,
		EAB:      bindings,
		Storage:  store,
		Key:      key,
		Permit:   e.permit,
		Email:    c.Email,
		Roots:    roots,
		SelfHost: server.SelfHost,
		Logger:   e.logger("certs"),
		Metrics:  e.metrics,
	})
	if err != nil {
		return nil, err
	}
	return e.acme.TLSConfig(), nil
}

func (e *Edge) filesConfig() (*tls.Config, error) {
	pairs := make([]certs.Pair, len(e.cfg.TLS.Files))
	for i, f := range e.cfg.TLS.Files {
		pairs[i] = certs.Pair{Cert: f.Cert, Key: f.Key}
	}
	var err error
	if e.files, err = certs.NewFiles(certs.FilesOptions{Pairs: pairs, Logger: e.logger("certs")}); err != nil {
		return nil, fmt.Errorf("tls.files: %w", err)
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
