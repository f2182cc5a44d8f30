package fetch

import (
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// delivered asks the kernel's routing table, which has more local addresses than the
// interfaces do: those of local routes for whole networks.
func delivered(ip netip.Addr) bool {
	routes, err := netlink.RouteGet(ip.AsSlice())
	if err != nil {
		return false // the kernel will not connect either
	}
	for _, r := range routes {
		if r.Type == unix.RTN_LOCAL || r.Type == unix.RTN_ANYCAST {
			return true
		}
	}
	return false
}
