// Package bfd speaks Bidirectional Forwarding Detection with routers one hop away:
// asynchronous mode, no authentication, no echo (RFC 5880, RFC 5881). It lets a
// router leave an edge that hangs or is cut off within a few hundred
// milliseconds, where BGP's hold timer takes seconds. GoBGP v3 has no BFD and
// needs no part in this: the router ends its BGP session by itself.
//
// Packets count only if they come from a configured peer with TTL 255, so from
// the same segment. A Speaker tells the state of each session; it decides nothing.
//
// Run has one goroutine per session, which owns its state, and one per socket.
// When Run ends, peers are told AdminDown, which is no failure to them.
package bfd
