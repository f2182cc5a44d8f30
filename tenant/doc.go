// Package tenant is the model that every other part of terrane shares: who a
// tenant is (ID), the domain it is reached by (Host), what it deployed
// (Snapshot, File, Manifest), what it may use (Limits), whether DNS says that a
// host belongs to it (Verdict), and which file or module answers a path (Site).
//
// It holds values and pure functions only: no I/O, no goroutines, nothing
// beyond the standard library. Values are immutable once built and are shared
// by all goroutines without locks; whoever receives a Snapshot or Manifest must
// not write to its maps and slices.
//
// Parse functions take text from strangers (TXT records, Host headers, SNI,
// manifests). They never panic, and their errors say what is wrong in words
// that the one who wrote the text can act on.
package tenant
