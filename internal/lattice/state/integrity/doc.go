// Package integrity is an edge's own memory of what a bucket of state must hold. It
// knows nothing of NATS and shares no file with it, so that damage to the server's files
// cannot hide itself.
//
// A Ledger has one record of 40 bytes for each change that was acknowledged: which key
// (as a keyed hash), at which sequence, until when, and a checksum of what tells the
// write from others. The records are appended before the change is confirmed to its
// writer, and compacted from the edge's index. Verify compares a ledger with what the
// bucket holds; the difference is what was lost, wherever in the stream it was: at the
// end, in the middle, or all of it.
//
// Two edges compare their buckets by Digests of ranges of keys, and then by the entries
// of a range that differs.
//
// A record is written without fsync, which follows within a second: it survives the
// death of the process, but a power cut may lose the newest. The ledger then asks for
// less than there is, never for more. What is damaged in the ledger itself is left out
// and counted.
//
// Goroutines: none.
package integrity
