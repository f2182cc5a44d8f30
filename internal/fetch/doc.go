// Package fetch is the outbound HTTP client of guests, and its policy: which
// hosts the operator and the tenant allow, which addresses nobody may reach, how
// many redirects, how long.
//
// A host's name is judged before each hop, redirects included. Its addresses are
// judged when they are dialed, after resolution, and the address judged is the
// address dialed: a name that changes between two lookups gains nothing.
// Connections are shared by all tenants, because the addresses that may be
// dialed are the same for all.
//
// Goroutines: those of net/http for idle connections, until Client.Close.
package fetch
