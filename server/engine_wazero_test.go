//go:build !engine_wasmer

package server_test

import (
	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/internal/engine/wazeroengine"
)

func buildEngine(o engineOptions) (engine.Engine, error) {
	return wazeroengine.New(wazeroengine.Options{Funcs: hostcalls.Functions(), CacheDir: o.cacheDir, Guests: o.guests, Metrics: o.metrics})
}
