//go:build engine_wasmer

package wasmerengine

// Heap is heap, for tests.
func Heap() uint64 { return heap() }
