// Package wazeroengine runs modules by wazero, which is written in Go: no cgo, a
// guest in flight holds a goroutine and no thread.
//
// All modules share one wazero runtime, in which the functions of the ABI are
// instantiated once. The Exchange of a request reaches them as the context that
// the guest was called with.
package wazeroengine
