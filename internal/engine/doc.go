// Package engine is the one seam to a WebAssembly runtime. An Engine compiles a
// tenant's module once, at deploy time; the Module then runs it once for each
// request, in a sandbox in which no byte of another request can be read.
//
// The seam has one call per request, Run, and not the steps of instantiating,
// calling and dropping: an engine in C then needs one cgo call for all three, and
// an engine that recycles instances decides alone when it may.
//
// Runtimes stand in the packages below this one. Each passes enginetest.Run and
// hostcallstest.Run, and only cmd imports it.
package engine
