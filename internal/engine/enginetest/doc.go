// Package enginetest is the conformance suite that every engine.Engine passes: what a
// module gets, how it ends, what it cannot do to others, and what is refused.
//
// Its guests stand in testdata as text, with the binaries beside them (make -C testdata).
package enginetest
