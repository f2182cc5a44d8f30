// Package storage is where edges share certificates, their keys and ACME accounts: in a
// folder, or in a key-value store.
//
// A storage also has locks that exclude each other on all edges. A lock has a lease, so
// that the lock of an edge that died does not last; a goroutine renews it until Unlock.
// Values can be encrypted (Sealed), and operations bounded (Bounded).
//
// Package certstest has the contract of Storage as tests.
package storage
