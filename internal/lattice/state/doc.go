// Package state keeps tenants' state in the lattice: the provider of hostcalls.KV on
// JetStream. docs/state.md says what its users may rely on.
//
// One bucket holds all tenants, with a subject of two tokens for each key, as a bucket
// costs memory of its own. A version is a sequence of the stream, so that none comes
// again. A write names the sequence that it expects, which the stream's leader checks:
// compare-and-set is exact, and the ABI's append, increment and insert are loops around
// it. A write is confirmed when it is on the disks of a majority of the replicas.
//
// Each edge follows the bucket without its values: the order, cost and version of all
// keys, of which lists and quotas are made. What a version holds never changes, so that
// values are kept in memory, and read from there when the index says that they are the
// newest. The index is a true picture of the bucket but where a write was replaced
// before it came: until what replaced it has come for sure, reads go to a server.
//
// Reads are as of all that this edge has seen of the tenant, and of what home had a few
// seconds ago. What neither memory nor a copy that is known to be fresh enough holds
// comes from home, and is older when nothing newer is in reach, unless the read is
// strict.
//
// Entries expire by the clock of the bucket's leader, from which each edge measures its
// own. The servers remove them soon after; readers do not wait for that.
//
// What was acknowledged is recorded apart from the server's files (package integrity), and
// compared with what the bucket holds, with this edge's own copy, and with other edges'.
// What is missing is neither read as absent nor written over. See docs/state.md, "Damaged
// state".
//
// Goroutines: those of Run.
package state
