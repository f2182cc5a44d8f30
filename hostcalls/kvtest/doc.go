// Package kvtest is the conformance suite of hostcalls.KV: each provider passes
// Run, so that a guest cannot tell one from another.
package kvtest
