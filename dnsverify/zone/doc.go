// Package zone is a small authoritative DNS server in this process: what
// `terrane dev` verifies its tenants against, and what tests ask. It answers for
// every name there is, from records in memory that are replaced as a whole, over
// UDP and TCP at one loopback port.
//
// It knows no wildcards, no zone transfers and no DNSSEC, and asks nobody else.
// Run has two goroutines and those of the requests; all end before it returns.
package zone
