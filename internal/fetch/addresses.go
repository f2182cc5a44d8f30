package fetch

import (
	"net/netip"
	"slices"
)

// guard judges the addresses that may be dialed.
type guard struct {
	denied   []netip.Prefix // by the operator
	reserved []netip.Prefix
	own      *own // nil: those of the edge are judged like others
}

// check returns a Refusal unless ip, and the IPv4 address within it that a gateway would
// send the connection to, may be dialed.
func (g *guard) check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	for _, form := range append(embedded(ip), ip) {
		within := func(p netip.Prefix) bool { return p.Contains(form) }
		if slices.ContainsFunc(g.denied, within) {
			return refuseAddress("the host is at an address that this edge does not let guests fetch from")
		}
		if g.own != nil {
			ours, err := g.own.has(form)
			if err != nil {
				return err
			}
			if ours {
				return refuseAddress("the host is at an address of this edge or its network, which guests may not fetch from")
			}
		}
		if slices.ContainsFunc(g.reserved, within) {
			return refuseAddress("the host is at a private or reserved address, which guests may not fetch from")
		}
	}
	return nil
}

// metadata has what a lab's guests may not reach either: link-local addresses and the
// others at which clouds hand a machine its credentials.
func metadata() []netip.Prefix {
	return prefixes("169.254.0.0/16", "fe80::/10", "100.100.100.200/32", "168.63.129.16/32",
		"fd00:ec2::254/128", "fd20:ce::254/128")
}

// reserved has every address that is not a public one.
func reserved() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3",
		"168.63.129.16/32", // a cloud's metadata at a public address
		// Of IPv6 only global unicast, and of that nothing which leads to IPv4.
		"::/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "4000::/2", "8000::/1",
	)
}

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, p := range list {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// embedded returns the IPv4 addresses that an IPv6 address may lead to: by translation
// (RFC 6052, RFC 8215, RFC 7915), 6to4, Teredo (its server and its client), ISATAP, or
// the obsolete form that is compatible with IPv4.
func embedded(ip netip.Addr) []netip.Addr {
	if !ip.Is6() {
		return nil
	}
	b := ip.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	within := func(list ...string) bool {
		return slices.ContainsFunc(prefixes(list...), func(p netip.Prefix) bool { return p.Contains(ip) })
	}
	switch {
	case within("2002::/16"):
		return []netip.Addr{at(2)}
	case within("2001::/32"):
		client := at(12).As4()
		for i := range client {
			client[i] ^= 0xff
		}
		return []netip.Addr{at(4), netip.AddrFrom4(client)}
	case within("64:ff9b:1::/48"): // the length of the operator's prefix is not known
		return []netip.Addr{at(12), netip.AddrFrom4([4]byte{b[6], b[7], b[9], b[10]}),
			netip.AddrFrom4([4]byte{b[7], b[9], b[10], b[11]}), at(9)}
	case within("64:ff9b::/96", "::/96", "::ffff:0:0:0/96"),
		b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return []netip.Addr{at(12)}
	}
	return nil
}
