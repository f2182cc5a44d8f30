// Package bgp announces this edge's anycast prefixes to its routers while the
// edge is healthy and not draining, and withdraws them otherwise. It is the only
// importer of GoBGP.
//
// # Safety
//
// The speaker exports its own prefixes and nothing else, and imports nothing,
// whatever a neighbor sends or whoever injects a route: both directions have a
// policy that rejects by default. GoBGP's own default would be transit. Prefixes
// that could hurt others (default routes, loopback, private or host-sized ones
// to a public network) are faults of the Options.
//
// GoBGP itself never meets a router. A guard per neighbor holds the session on
// the outside, and passes on what GoBGP may hear: of an OPEN the capabilities
// that matter, KEEPALIVE, NOTIFICATION, ROUTE-REFRESH. Updates end in the guard,
// unread: a full table costs no memory, and no malformed message reaches a decoder
// that would panic (GoBGP v3.37.0 does on a message of unknown type, and keeps all it
// rejects). The guard also tells why a session failed and what the router holds,
// of which GoBGP's API says nothing.
//
// A router is only met once GoBGP waits with its OPEN: after a failure GoBGP takes no
// session for 5 s, in which a router with short timers would give up.
//
// # Visitors who stay
//
// A withdrawal is not proof that a router leads nobody here any more: FRR 8.4 with
// dampening keeps a route in the kernel when the change of attributes before the
// withdrawal brought it to the suppress limit. Options.Visitors is counted after each
// withdrawal, and late visitors end the sessions, which every router follows. The guards
// then hold their sessions down until the prefixes are announced again.
//
// With Options.External and no neighbor there is no speaker at all: whoever reads
// Status announces.
//
// # Order
//
// Loss of health withdraws at once: what is broken must not attract another
// request. A drain, and the end of Run, go in steps while the edge still
// serves: announce with the GRACEFUL_SHUTDOWN community (RFC 8326), wait for
// routers to prefer another edge, withdraw, wait again, and end the sessions if visitors
// still come. Damping is not done
// here, but by whoever calls SetHealth: it must be called only for changes that
// are worth moving traffic.
//
// # Goroutines
//
// Run owns the state; SetHealth, Drain, Undrain and Status talk to it through a
// mutex and never wait for GoBGP. GoBGP ignores contexts, so each call into it
// has a deadline; one that never returns costs a goroutine and is reported in
// Status. Each guard has one goroutine to connect and two per session. The one of
// GoBGP's main loop outlives a stopped speaker: there is no way to end it.
//
// Whatever goes wrong with a neighbor or a port, Run keeps trying and tells why
// in Status: serving goes on.
package bgp
