// Package acme gets certificates from authorities by RFC 8555, at the first handshake for
// a host that Permit allows.
//
// Edges that share a storage share its account, certificates, failures and quotas, answer
// each other's challenges, and make one order for a name among them. A certificate that is
// in memory and valid is served without a question to DNS, storage or CA. Other hosts are
// refused before the key exchange, and every wait for a storage or a CA is bounded.
//
// certmagic speaks with the CAs. Its cache, its on-demand mode and its renewals are not
// used: they ask before they serve, evict when in doubt, and are not bounded.
//
// Goroutines: those of Manager.Run, which waits for them.
package acme
