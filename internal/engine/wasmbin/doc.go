// Package wasmbin reads the WebAssembly binary format: what stands outside the
// function bodies, decoded; the bodies and initial expressions, as bytes.
//
// It takes modules from strangers. Decode never panics, allocates no more than a
// small multiple of its input, and its errors tell the author of a file that is no
// module what it is instead. It checks structure and not types: an engine's own
// validation follows.
//
// The package runs no goroutines. A Module refers to the bytes it was read from.
package wasmbin
