// Package certs gives listeners their certificates.
//
// Internal is an edge's own certificate authority: it issues a certificate at the first
// handshake for a host that Permit allows, for development, labs and private networks,
// whose clients trust its root. Files serves certificates that others put on disk, and
// follows their changes. Package acme gets certificates from public authorities, and
// package storage is where edges share them.
//
// All make a *tls.Config that must be used as it is, by tls.NewListener: a clone, which
// http.Server.ServeTLS makes, would have other session-ticket keys. A resumed session
// asks for no certificate, so Permit does not revoke anything: servers ask again for each
// request.
//
// Tickets lets edges resume each other's sessions.
//
// The Run methods start no goroutines.
package certs
