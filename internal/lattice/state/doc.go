// Package state keeps tenants' state in the lattice: the provider of hostcalls.KV on
// JetStream. docs/state.md says what its users may rely on.
//
// One bucket holds all tenants, with a subject of two tokens for each key, as a bucket
// costs memory of its own. A version is a sequence of the stream, so that none comes
// again. A write names the sequence that it expects, which the stream's leader checks:
// compare-and-set is exact, and the ABI's append, increment and insert are loops around
// it. A write is confirmed when it is on the disks of a majority of the replicas.
//
// Reads take the nearest copy that has all that this edge has seen of the tenant; in
// another region than the state's home also what home had a few seconds ago. They go
// home for what their region does not have yet, and make do with an older copy when
// nothing newer is in reach, unless they are strict.
//
// Each edge follows the bucket without its values: the order and cost of all keys, of
// which lists and quotas are made.
//
// Entries expire by the clock of the bucket's leader, from which each edge measures its
// own. The servers remove them soon after; readers do not wait for that.
//
// Goroutines: those of Run.
package state
