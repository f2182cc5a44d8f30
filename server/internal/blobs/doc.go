// Package blobs reads the files of releases by their hash: small ones from memory, others
// from the mirror. What is under a hash never changes, so that nothing kept is stale; what a
// whole read finds damaged is an error. Memory is bounded by the room of a Cache.
//
// The package starts no goroutine. A Cache has one lock, and opens no file under it.
package blobs
