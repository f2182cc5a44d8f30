// Package wasmgen makes random modules, for tests. Each is valid, has nested blocks and
// loops, branches of all kinds, calls that are direct, indirect and recursive, a memory,
// a table, globals and a start function, and may trap.
//
// The same bytes make the same module, so that a fuzzer can steer it. Package wasmbin
// reads what this package writes, and neither uses the other.
package wasmgen
