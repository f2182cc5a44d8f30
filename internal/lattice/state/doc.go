// Package state keeps tenants' state in the lattice: the provider of hostcalls.KV on
// JetStream. docs/state.md says what its users may rely on.
//
// # Terms
//
//   - Bucket: the JetStream stream that has the state of all tenants, with one subject for each
//     key. A bucket for each tenant would cost memory for each.
//   - Version: the stream's sequence of the write that made it. None comes twice.
//   - Home: the region that has the bucket. Other regions mirror it. The leader is the server
//     at home that decides on writes.
//   - Lattice's clock: that of home's leader. Each edge measures its own against it. Expiry is
//     by this clock.
//   - Index (package index): what this edge knows of all keys without their values. It is
//     loaded when it has the keys of the start, and complete up to a sequence when no change
//     at or before it is missing.
//   - Cache (package values): values by version. A version's value never changes, so the cache
//     needs no invalidation: the index says which version to look up.
//   - Session: the newest sequence of a tenant that this edge has read or written. Reads return
//     nothing older (read your writes, monotonic reads).
//   - Staleness bound: what home had a few seconds ago. Reads return nothing older while home is
//     in reach.
//   - Barrier write: a write to a subject that holds nothing. It proves that a majority is there,
//     and its sequence is after all writes confirmed before it began.
//   - Read barrier: a read waits for a barrier write that began after the read. Reads that wait
//     at the same time share one.
//   - Linearizable read (Strict): a read with a read barrier that returns nothing older than it.
//   - Minimum sequence: the maximum of read barrier, session and staleness bound. A read returns
//     the newest version as of this sequence or a later one.
//
// # A write
//
//	Put(key, value, at)
//	  |  wait until the index is loaded; refuse on full disks and damaged state
//	  |  wait for a turn: bytes in flight are bounded, for the tenant and for the edge
//	  |  index: reserve room in the quota; which sequence must the subject be at?
//	  v
//	publish --- expected sequence ---> leader ---> disks of a majority
//	  ^   no answer: send again             |  another sequence: conflict
//	  +-------- version, or conflict -------+
//	  |  in doubt (sent twice): read the subject; its write id tells whose write it is
//	  v
//	index, cache, session, record of acknowledged writes (package integrity)
//
// Compare-and-set is exact, as the leader compares the sequences. The ABI's append, increment
// and insert are loops around it.
//
// # A read
//
//	Get(key)
//	  |  Strict: read barrier
//	  v
//	minimum sequence
//	  |
//	  v            the index has reached it and has no gap, or has the key at it or later
//	index ---------------------------------------> version ---> cache: done
//	  |  behind, or a gap                            |  not in the cache
//	  |                                              v
//	  |                        a copy here that has this version or a later one: done
//	  v
//	Near, or another region than home:               Strict, at home:
//	a copy at home that says it has reached          wait until the index is complete
//	the minimum sequence                             up to the minimum sequence
//	  |  Strict: then a barrier write that home refuses unless the
//	  |  key is at the version read, as that copy may have gaps
//	  |  Near, none in reach within a second: an older version
//	  v
//	index, cache, session
//
// # The rest
//
// follow applies the stream, without its values, to the index. probe asks home how far it is and
// what time it has. The servers remove what has expired soon after; readers do not wait for
// that.
//
// What was acknowledged is recorded apart from the server's files (package integrity), and
// compared with what the bucket holds, with this edge's own copy, and with other edges' (package
// compare). What is missing is neither read as absent nor written over. See docs/state.md,
// "Damaged state".
//
// Goroutines: those of Run.
package state
