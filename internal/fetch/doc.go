// Package fetch is the outbound HTTP client of guests, and its policy: which
// hosts the operator and the tenant allow, which addresses nobody may reach, how
// many redirects, how long.
//
// A host's name is judged before each hop, redirects included, and so is the name
// in a Host header. Addresses are judged when they are dialed, after resolution,
// and the address judged is the address dialed: a name that changes between two
// lookups gains nothing. The addresses of this host are asked for at that time.
// Each tenant has its own connections, as an upstream may bind to a connection
// what it knows of its client.
//
// Goroutines: those of net/http for idle connections, until Client.Close, and once a minute
// one for 2 s at most that looks up the names of the edge's infrastructure.
package fetch
