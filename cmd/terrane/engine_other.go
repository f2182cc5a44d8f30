//go:build !engine_wasmer

package main

import (
	"fmt"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/engine"
)

func newOtherEngine(c config.Engine, _ engineOptions) (engine.Engine, error) {
	return nil, fmt.Errorf("no engine %q in this build", c.Name)
}
