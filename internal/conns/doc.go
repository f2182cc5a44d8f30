// Package conns owns the connections of visitors below TLS and HTTP: how many there may
// be, which of them are closed when there are too many, and the PROXY
// header of those that come from a balancer.
//
// A Limiter bounds the connections of all listeners together, and those of each client
// network (an IPv4 /24, an IPv6 /48). A new connection is always admitted. When there is no
// room, the connections that do least of the networks that have most are closed instead, so
// that a flood from one network costs that network and nobody else.
//
// The package reads no request. Whoever serves reports requests by Conn.Begin, Conn.End
// and Conn.Progress. A connection that does not finish any request is idle, whatever it
// sends: HTTP/2 pings, settings, priorities, window updates, and streams that it resets.
//
// Run has one goroutine. Locks: a Limiter's mu, then nothing.
package conns
