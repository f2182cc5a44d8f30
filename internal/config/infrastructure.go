package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Infrastructure lists the addresses and host names of the edge, its routers and what it
// shares with other edges: no guest has business there.
func (c *Config) Infrastructure() (addrs []netip.Addr, names []string) {
	addrs = slices.Clone(c.DNS.Addresses)
	if c.BGP != nil {
		addrs = append(addrs, c.BGP.RouterID)
		for _, p := range c.BGP.Prefixes {
			if p.IsSingleIP() {
				addrs = append(addrs, p.Addr())
			}
		}
		for i := range c.BGP.Neighbors {
			n := &c.BGP.Neighbors[i]
			addrs = append(append(addrs, n.Address, n.LocalAddress), n.NextHops...)
		}
	}
	l := &c.Lattice
	endpoints := slices.Concat(c.HTTP.Listen, c.HTTPS.Listen, l.URL, l.Leaf, l.Cluster.Routes, []string{
		c.Admin.Listen, c.Git.SSHListen, l.Listen, l.LeafListen, l.Cluster.Listen, l.Cluster.Advertise, string(c.State.URL),
	})
	for _, e := range endpoints {
		host := endpointHost(e)
		if addr, err := netip.ParseAddr(host); err == nil {
			addrs = append(addrs, addr)
		} else if host != "" && host != "localhost" {
			names = append(names, host)
		}
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() || a.IsUnspecified() })
	slices.Sort(names)
	return addrs, slices.Compact(names)
}

// endpointHost is the host of a URL, or of "host:port".
func endpointHost(e string) string {
	if strings.Contains(e, "://") {
		u, err := url.Parse(e)
		if err != nil {
			return ""
		}
		return u.Hostname()
	}
	if host, _, err := net.SplitHostPort(e); err == nil {
		return host
	}
	return e
}
