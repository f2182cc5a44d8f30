package bgp

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	apipb "github.com/osrg/gobgp/v3/api"
)

type family uint8

const (
	ipv4 family = 4
	ipv6 family = 6
)

// private reports prefixes that no public network may carry: RFC 1918, 4193 and 6598.
func private(p netip.Prefix) bool {
	a := p.Addr()
	return a.IsPrivate() || a.Is4() && netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a)
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return ipv4
	}
	return ipv6
}

func (f family) String() string { return "IPv" + strconv.Itoa(int(f)) }

func (f family) api() *apipb.Family {
	afi := apipb.Family_AFI_IP
	if f == ipv6 {
		afi = apipb.Family_AFI_IP6
	}
	return &apipb.Family{Afi: afi, Safi: apipb.Family_SAFI_UNICAST}
}

// announceable refuses prefixes that no edge can mean.
func announceable(p netip.Prefix) error {
	shortest := 8
	if p.Addr().Is6() {
		shortest = 16
	}
	switch a := p.Addr(); {
	case !p.IsValid():
		return errors.New("want a prefix such as 192.0.2.10/32")
	case a.Is4In6():
		return fmt.Errorf("%v: write it as IPv4", p)
	case p != p.Masked():
		return fmt.Errorf("%v has bits beyond its length: want %v", p, p.Masked())
	case p.Bits() < shortest:
		return fmt.Errorf("%v would take the traffic of others: want /%d or longer", p, shortest)
	case a.IsUnspecified() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.Is4() && a.As4()[0] >= 240:
		return fmt.Errorf("%v is not unicast address space that others can reach", p)
	}
	return nil
}

// longestGlobal is the length beyond which networks drop prefixes of others.
func longestGlobal(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 24
	}
	return 48
}

type communities struct {
	standard []string
	large    []string
}

// parseCommunities reads standard (RFC 1997) and large (RFC 8092) communities.
func parseCommunities(list []string) (communities, error) {
	var c communities
	for _, s := range list {
		switch s {
		case "no-export":
			s = "65535:65281"
		case "no-advertise":
			s = "65535:65282"
		case "no-peer":
			s = "65535:65284"
		case "blackhole", "65535:666":
			return c, fmt.Errorf("%q asks routers to drop the traffic (RFC 7999)", s)
		}
		fields := strings.Split(s, ":")
		bits := 16
		if len(fields) == 3 {
			bits = 32
		}
		for _, f := range fields {
			if _, err := strconv.ParseUint(f, 10, bits); err != nil || len(fields) < 2 || len(fields) > 3 {
				return c, fmt.Errorf("%q: want 64512:100, 64512:1:2, no-export, no-advertise or no-peer", s)
			}
		}
		if len(fields) == 3 {
			c.large = append(c.large, s)
		} else {
			c.standard = append(c.standard, s)
		}
	}
	return c, nil
}
