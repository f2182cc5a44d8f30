// Package arrivals counts the connections that routes bring to an edge: those from
// other hosts to the addresses that it announces. An edge that has withdrawn its routes
// learns from the count whether routers follow.
package arrivals

import (
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
)

// Counter counts connections. It is safe for concurrent use.
type Counter struct {
	prefixes []netip.Prefix
	count    atomic.Uint64
}

// New returns a Counter of connections to addresses of the prefixes.
func New(prefixes []netip.Prefix) *Counter { return &Counter{prefixes: prefixes} }

// Arrived is how many connections were accepted so far. Those that this host opened to
// itself, as health checks do, are not counted.
func (c *Counter) Arrived() uint64 { return c.count.Load() }

// Listener counts what ln accepts.
func (c *Counter) Listener(ln net.Listener) net.Listener { return listener{ln, c} }

type listener struct {
	net.Listener
	counter *Counter
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil && l.counter.brought(conn) {
		l.counter.count.Add(1)
	}
	return conn, err
}

// brought reports whether a route to this host brought the connection.
func (c *Counter) brought(conn net.Conn) bool {
	local, remote := address(conn.LocalAddr()), address(conn.RemoteAddr())
	// A host's connections to one of its own addresses come from loopback or from that address.
	return c.announced(local) && !c.announced(remote) && !remote.IsLoopback()
}

func (c *Counter) announced(a netip.Addr) bool {
	return slices.ContainsFunc(c.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

func address(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
