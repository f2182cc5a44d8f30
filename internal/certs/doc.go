// Package certs gives listeners their certificates.
//
// Internal is a certificate authority of the edge's own: it makes a certificate at
// the first handshake for a host that Permit lets through, for development, labs
// and private networks, whose clients trust its root. Files serves certificates
// that others put on disk, and follows their changes.
//
// Both make a *tls.Config that must be used as it is, by tls.NewListener: a clone,
// which http.Server.ServeTLS makes, would keep session-ticket keys of its own.
// A resumed session asks for no certificate, so a gate here does not revoke
// anything by itself: servers ask again for each request.
//
// Tickets lets edges resume each other's sessions.
//
// Goroutines: none. The Run methods work in those of their callers.
package certs
