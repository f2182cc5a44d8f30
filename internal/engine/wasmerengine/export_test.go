//go:build engine_wasmer

package wasmerengine

import "github.com/terrane/terrane/internal/engine/linear"

// Heap is heap, for tests.
func Heap() uint64 { return heap() }

// OldKernel makes the engine put memories back as on kernels without PAGEMAP_SCAN. It
// must have no modules yet.
func (e *Engine) OldKernel() error {
	err := e.restorer.Close()
	e.restorer = &linear.Restorer{}
	return err
}
