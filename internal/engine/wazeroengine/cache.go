package wazeroengine

import (
	"context"
	"log/slog"

	"github.com/tetratelabs/wazero"
)

// cache keeps compiled code on disk.
type cache struct {
	dir    string
	log    *slog.Logger
	wazero wazero.CompilationCache
}

func openCache(dir string, log *slog.Logger) (*cache, error) {
	w, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return nil, err
	}
	return &cache{dir, log, w}, nil
}

func (c *cache) compile(ctx context.Context, r wazero.Runtime, wasm []byte) (wazero.CompiledModule, error) {
	return r.CompileModule(ctx, wasm)
}
