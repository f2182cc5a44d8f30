// Package memorykv is tenants' key-value state in memory, for `terrane dev`, `terrane run` and
// tests. It lasts as long as the process, and passes the same conformance suite (kvtest) as the
// stores of an edge. A Store is safe for concurrent use and starts no goroutine.
package memorykv
