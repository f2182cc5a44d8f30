// Package server answers visitors: it owns the listeners, finds the tenant of a
// host, serves files, runs modules under their limits, and drains.
//
// Sites holds what tenants have deployed. Publish compiles all modules of a
// snapshot first and then swaps the site whole, so that a request sees one release
// and never waits for a compiler; modules of an old release are closed when its
// last request has ended. Modules that nobody asks for are unloaded when all of them take
// too much memory, and loaded again, from the engine's code on disk, by the next request. Server answers HTTP and HTTPS from Sites.
//
// The package knows neither stores nor DNS: it meets them through Blobs and
// Verifier, which it declares, and certificates reach it as a *tls.Config. What a
// host may show is asked of the Verifier for each request, so that a revocation
// holds for connections that are open already.
//
// A folder may also have _redirects and _headers, in the form that other hosts of static
// sites take (package rules). Logs keeps what guests have logged.
//
// All that a visitor can make an edge hold is bounded: the head of a request, the
// time for each part of it, bodies in memory, guests at a time per tenant.
//
// Goroutines: those of net/http, one per connection (per request in HTTP/2), and
// those of Run, which waits for all of them. None is started per request.
//
// A visitor never sees why a guest failed, only the request id under which the
// tenant's log tells it.
package server
