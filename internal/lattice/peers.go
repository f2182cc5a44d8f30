package lattice

import (
	"net"
	"net/netip"
)

// PeerAddresses lists the addresses of the servers that this edge has connections with
// at this moment: edges of its cluster, leaf nodes and hubs, the operator's NATS.
func (l *Lattice) PeerAddresses() (addrs []netip.Addr) {
	l.mu.Lock()
	conn, srv := l.conn, l.server
	l.mu.Unlock()
	add := func(ip string) {
		if a, err := netip.ParseAddr(ip); err == nil {
			addrs = append(addrs, a)
		}
	}
	if srv == nil {
		if conn != nil {
			host, _, _ := net.SplitHostPort(conn.ConnectedAddr()) // empty while there is no connection
			add(host)
		}
		return addrs
	}
	if routes, err := srv.Routez(nil); err == nil {
		for _, r := range routes.Routes {
			add(r.IP)
		}
	}
	if leafs, err := srv.Leafz(nil); err == nil {
		for _, f := range leafs.Leafs {
			add(f.IP)
		}
	}
	return addrs
}
