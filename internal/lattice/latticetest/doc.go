// Package latticetest starts lattices of real edges in one process, on loopback, for
// the tests of what is built on them. Every connection between two edges leads
// through a relay that a test can cut.
package latticetest
