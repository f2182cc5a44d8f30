package hostaddr

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Check returns a health check: nil when all addresses are on interfaces of this host.
func Check(addrs ...netip.Addr) func(context.Context) error {
	addrs = slices.Clone(addrs)
	return func(context.Context) error {
		return check(addrs, func(a netip.Addr) string {
			return fmt.Sprintf("ip addr add %v/%d dev lo, or bgp.manage_address = true", a, a.BitLen())
		})
	}
}

// check names the first address that is missing, and how to mend that.
func check(addrs []netip.Addr, mend func(netip.Addr) string) error {
	missing, err := missing(addrs)
	if err != nil || len(missing) == 0 {
		return err
	}
	return fmt.Errorf("%v is not on this host: %s", missing[0], mend(missing[0]))
}

func missing(addrs []netip.Addr) ([]netip.Addr, error) {
	present, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	have := make(map[netip.Addr]bool)
	for _, p := range present {
		if ipnet, ok := p.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(ipnet.IP); ok {
				have[a.Unmap()] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return have[a.Unmap()] }), nil
}
