package wazeroengine

import "github.com/terrane/terrane/internal/engine/linear"

// OldKernel makes the engine put memories back as on kernels without PAGEMAP_SCAN. It
// must have no modules yet.
func (e *Engine) OldKernel() error {
	err := e.restorer.Close()
	e.restorer = &linear.Restorer{}
	return err
}
