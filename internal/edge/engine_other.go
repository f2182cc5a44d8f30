//go:build !engine_wasmer

package edge

import (
	"fmt"

	"github.com/terrane/terrane/internal/config"
	"github.com/terrane/terrane/internal/engine"
)

func newOtherEngine(c config.Engine, _ EngineOptions) (engine.Engine, error) {
	return nil, fmt.Errorf("no engine %q in this build", c.Name)
}
