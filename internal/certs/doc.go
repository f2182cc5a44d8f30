// Package certs gives listeners their certificates.
//
// Internal is a certificate authority of the edge's own: it makes a certificate at
// the first handshake for a host that Permit lets through, for development, labs
// and private networks, whose clients trust its root. Files serves certificates
// that others put on disk, and follows their changes.
//
// ACME gets certificates from authorities by RFC 8555, at the first handshake for a
// host that Permit lets through. Edges that share a Storage share its account,
// certificates, failures and quotas, answer each other's challenges, and make one
// order for a name among them. What is in memory and valid is served without asking
// DNS, storage or CA. Other hosts are refused before the key exchange, and no wait for
// a storage or a CA is without bound. certmagic speaks with the CAs; its cache, its
// on-demand mode and its renewals are not used, as they ask before they serve, evict on
// a doubt, and are not bounded.
//
// All make a *tls.Config that must be used as it is, by tls.NewListener: a clone,
// which http.Server.ServeTLS makes, would keep session-ticket keys of its own.
// A resumed session asks for no certificate, so a gate here does not revoke
// anything by itself: servers ask again for each request.
//
// Tickets lets edges resume each other's sessions.
//
// Goroutines: those of ACME.Run, which waits for them, and one for each lock that a
// Folder holds. The other Run methods work in those of their callers.
package certs
