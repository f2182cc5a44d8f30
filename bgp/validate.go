package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/terrane/terrane/internal/fault"
)

// silent reports whether this edge speaks no BGP itself.
func (o *Options) silent() bool { return o.External && len(o.Neighbors) == 0 }

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of
// the table [bgp].
func (o Options) Check() error {
	o = o.withDefaults()
	var f fault.List
	if err := usableASN(o.ASN); err != nil && !o.silent() {
		f.Add("asn", "%w", err)
	}
	if (!o.RouterID.Is4() || o.RouterID.IsUnspecified()) && !o.silent() {
		f.Add("router_id", "want an IPv4 address that no other edge has")
	}
	if o.ShutdownWait < 0 {
		f.Add("shutdown_wait", "%v: want 0 or more", o.ShutdownWait)
	}
	if o.WithdrawWait < 0 {
		f.Add("withdraw_wait", "%v: want 0 or more", o.WithdrawWait)
	}
	o.validatePrefixes(&f)
	if len(o.Neighbors) == 0 && !o.External {
		f.Add("neighbor", "want at least one [[bgp.neighbor]], or bgp.external = true")
	}
	for i, n := range o.Neighbors {
		key := fmt.Sprintf("neighbor[%d]", i)
		o.validateNeighbor(&f, key, &n)
		if j := slices.IndexFunc(o.Neighbors[:i], func(m Neighbor) bool { return m.Address == n.Address }); j >= 0 {
			f.Add(key+".address", "%v is neighbor[%d] already", n.Address, j)
		}
	}
	return f.Err()
}

func (o *Options) validatePrefixes(f *fault.List) {
	if len(o.Prefixes) == 0 {
		f.Add("prefixes", "want the prefixes to announce")
	}
	for i, p := range o.Prefixes {
		key := fmt.Sprintf("prefixes[%d]", i)
		if err := announceable(p); err != nil {
			f.Add(key, "%w", err)
			continue
		}
		if slices.Contains(o.Prefixes[:i], p) {
			f.Add(key, "%v is listed twice", p)
		}
		taken := false
		for _, n := range o.Neighbors {
			taken = taken || n.takes(familyOf(p.Addr()))
			if n.ASN == 0 || privateASN(n.ASN) || n.ASN == o.ASN {
				continue
			}
			if private(p) && !o.AllowPrivate {
				f.Add(key, "%v is private, AS %d is public: set bgp.allow_private = true if that network agreed to it", p, n.ASN)
			}
			if p.Bits() > longestGlobal(p) && !o.AllowHostRoutes {
				f.Add(key, "%v is longer than the /%d that networks like AS %d pass on: set bgp.allow_host_routes = true if that network agreed to it", p, longestGlobal(p), n.ASN)
			}
		}
		if !taken && len(o.Neighbors) > 0 {
			f.Add(key, "no neighbor takes %v: one needs an %[2]v address, or an %[2]v address in next_hops", p, familyOf(p.Addr()))
		}
	}
}

func (o *Options) validateNeighbor(f *fault.List, key string, n *Neighbor) {
	internal := n.ASN == o.ASN
	if err := usableASN(n.ASN); err != nil {
		f.Add(key+".asn", "%w", err)
	}
	switch a := n.Address; {
	case !a.IsValid() || a.IsUnspecified() || a.IsMulticast():
		f.Add(key+".address", "want the address of the router")
	case a.IsLinkLocalUnicast() && a.Is6():
		f.Add(key+".address", "%v: sessions over IPv6 link-local addresses are not supported", a)
	case a == o.RouterID && !a.IsLoopback():
		f.Add(key+".address", "%v is this edge's own router id", a)
	}
	if l := n.LocalAddress; l.IsValid() && (l.Is4() != n.Address.Is4() || l.IsUnspecified() || l == n.Address) {
		f.Add(key+".local_address", "%v: want an address of this host, of the family of %v", l, n.Address)
	}
	if len(n.Password) > maxPassword {
		f.Add(key+".password", "%d bytes: TCP MD5 takes at most %d", len(n.Password), maxPassword)
	}
	if n.Passive && o.ListenPort == 0 {
		f.Add(key+".passive", "nothing listens: set bgp.listen_port = 179")
	}
	n.validateTimers(f, key)
	o.validateNextHops(f, key, n)
	for i, c := range n.Communities {
		_, err := parseCommunities([]string{c})
		f.AddErr(fmt.Sprintf("%s.communities[%d]", key, i), err)
	}
	if n.Prepend > maxPrepend || n.Prepend > 0 && internal {
		f.Add(key+".prepend", "%d: want at most %d, and none within the own AS", n.Prepend, maxPrepend)
	}
	if n.LocalPref != nil && (!internal || *n.LocalPref == 0) {
		f.Add(key+".local_pref", "want a number above 0, and only for a neighbor in AS %d: other networks never see it (RFC 4271 5.1.5)", o.ASN)
	}
}

func (n *Neighbor) validateTimers(f *fault.List, key string) {
	for _, t := range []struct {
		name      string
		value     time.Duration
		low, high time.Duration
	}{
		{"hold_time", n.HoldTime, 3 * time.Second, 65535 * time.Second},
		{"keepalive", n.Keepalive, time.Second, n.HoldTime / 2},
		{"connect_retry", n.ConnectRetry, time.Second, time.Hour},
		{"graceful_restart", n.GracefulRestart, 0, 4095 * time.Second},
	} {
		if t.value < t.low || t.value > t.high || t.value%time.Second != 0 {
			f.Add(key+"."+t.name, "%v: want whole seconds from %v to %v", t.value, t.low, t.high)
		}
	}
}

func (o *Options) validateNextHops(f *fault.List, key string, n *Neighbor) {
	for i, h := range n.NextHops {
		if !h.IsValid() || h.IsUnspecified() || h.IsMulticast() || h.Is4In6() || h.Zone() != "" {
			f.Add(fmt.Sprintf("%s.next_hops[%d]", key, i), "%v: want an address that the router can reach this edge by", h)
		}
		if slices.ContainsFunc(n.NextHops[:i], func(other netip.Addr) bool { return other.Is4() == h.Is4() }) {
			f.Add(fmt.Sprintf("%s.next_hops[%d]", key, i), "a second %v next hop: want at most one", familyOf(h))
		}
	}
	if !slices.ContainsFunc(o.Prefixes, func(p netip.Prefix) bool { return !p.IsValid() || n.takes(familyOf(p.Addr())) }) && len(o.Prefixes) > 0 {
		f.Add(key+".next_hops", "no prefix can go to %v: they are of the other family, whose next hop is missing here", n.Address)
	}
}

// takes reports whether prefixes of the family go to the neighbor. Over a
// session of the other family they need a next hop of their own: GoBGP would
// send ::ffff:192.0.2.1, which routers select and then cannot install.
func (n *Neighbor) takes(fam family) bool {
	return familyOf(n.Address) == fam || n.nextHop(fam).IsValid()
}

func (n *Neighbor) nextHop(fam family) netip.Addr {
	for _, h := range n.NextHops {
		if familyOf(h) == fam {
			return h
		}
	}
	return netip.Addr{}
}

func usableASN(asn uint32) error {
	switch asn {
	case 0:
		return errors.New("want an AS number")
	case 23456, 65535, 4294967295:
		return fmt.Errorf("AS %d is reserved (RFC 7607, 6793, 7300)", asn)
	}
	return nil
}

// privateASN reports AS numbers that mean nothing outside of a network (RFC 6996), or
// anywhere (RFC 5398).
func privateASN(asn uint32) bool {
	return asn >= 64496 && asn <= 65534 || asn >= 65536 && asn <= 65551 || asn >= 4200000000
}
