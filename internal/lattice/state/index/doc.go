// Package index is an edge's list of all keys of all tenants, without their values: at
// which version each key is, when it expires, and what it costs. Lists, quotas and the
// choice between memory and a server are made of it. It knows no storage: the caller applies
// the changes in the order of their sequences (Tenant.Apply, Index.Advance).
//
// # Completeness
//
// An index is loaded when it has every key that was there at the start (SetLoaded). After
// that it follows the changes, and is complete up to a sequence when no change at or before
// it is missing.
//
// The source keeps the newest change of a key only, and delivers what is left in the order
// of sequences. A jump in the sequences is therefore a gap: a change was replaced by a newer
// one of the same key before it was delivered, and the newer one may come much later. The
// sequence of a write that began when the gap was known closes it (CloseGaps): whatever
// replaced the missing change is at or before that sequence.
//
//	sequences   1 2 3 . 5 6 7        4 was replaced, by 7
//	                  ^ gap
//	complete    up to 3 until a write that began after 5 had been seen was
//	            delivered: then up to its sequence
//
// All types are safe for concurrent use. There are no goroutines.
package index
