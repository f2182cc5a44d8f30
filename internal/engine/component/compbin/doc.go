// Package compbin reads and validates the binary format of components.
//
// It takes components from strangers. Decode never panics, its time is linear in the size
// of the file and in the effort that Limits allow, and its errors tell the author of the
// file what is wrong and at which byte. What it accepts, the reference implementation
// accepts too; what the reference refuses, it refuses. Function bodies are left to the engine.
//
// The package runs no goroutines. A Component refers to the bytes that it was read from.
package compbin
