// Package ticket has all edges of the lattice, in all regions, encrypt TLS session
// tickets with the same keys, so that a client resumes its session at any of them.
//
// Keys are random, live in memory alone, and are gone after three periods: whoever
// records sessions and later gets hold of an edge cannot read them. Each edge tells its
// keys on terrane.ticket.NAME: when it starts, when it gets a new one, when another edge
// lacks some, and every five seconds. All edges keep the newest of all they hear, so that
// those that were apart, or that all made a key at once, agree again without a leader.
// A key encrypts only after it had time to spread.
//
// What is told is encrypted under a secret that edges share and NATS does not know. A
// message that is changed, made up, or of another secret is refused. Clocks may differ
// by minutes: they only decide which key is the newer one.
//
// Run holds one goroutine, which ends with it.
package ticket
