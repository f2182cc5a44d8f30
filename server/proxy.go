package server

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pires/go-proxyproto"
)

// behindProxies reads the PROXY header (v1 and v2) of connections that come from
// trusted addresses, so that visitors' addresses are their own. Such a connection
// must have one: guessing would let a visitor of the balancer write it. Anyone else
// who sends one gets no answer.
func behindProxies(ln net.Listener, trusted []netip.Prefix, timeout time.Duration) net.Listener {
	if len(trusted) == 0 {
		return ln
	}
	return &proxyproto.Listener{
		Listener:          ln,
		ReadHeaderTimeout: timeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			from, to := addrOf(o.Upstream), addrOf(o.Downstream)
			switch {
			case !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(from) }):
				return proxyproto.SKIP, nil
			case from == to: // this machine asks itself, as the health check does
				return proxyproto.USE, nil
			}
			return proxyproto.REQUIRE, nil
		},
	}
}

func addrOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return tcp.AddrPort().Addr().Unmap()
}
