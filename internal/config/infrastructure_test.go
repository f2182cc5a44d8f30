package config

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestInfrastructure(t *testing.T) {
	addr := netip.MustParseAddr
	c := &Config{
		DNS:   DNS{Addresses: []netip.Addr{addr("198.51.100.1")}},
		HTTP:  HTTP{Listen: []string{":80", "203.0.113.1:80"}},
		HTTPS: HTTPS{Listen: []string{"[2001:db8::1]:443", "0.0.0.0:443"}},
		BGP: &BGP{RouterID: addr("192.0.2.9"), Prefixes: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("198.51.100.2/32")},
			Neighbors: []Neighbor{{Address: addr("192.0.2.1"), LocalAddress: addr("192.0.2.2"), NextHops: []netip.Addr{addr("192.0.2.3"), addr("2001:db8::3")}}, {Address: addr("fe80::1%eth0")}}},
		Lattice: Lattice{
			URL: []string{"tls://nats.example.net:4222", "nats://user:pw@192.0.2.20"}, Leaf: []string{"hub.example.net:7422"},
			Listen: "192.0.2.21:4222", Cluster: Cluster{Routes: []string{"ams2.example.net:6222", "[2001:db8::22]:6222", "ams2.example.net:6222"}, Advertise: "192.0.2.23:6222"},
		},
		State: State{URL: "rediss://:secret@redis.example.net:6379/0"},
		Admin: Admin{Listen: "localhost:9180"},
	}
	addrs, names := c.Infrastructure()
	if got, want := fmt.Sprint(addrs), "[198.51.100.1 192.0.2.9 198.51.100.2 192.0.2.1 192.0.2.2 192.0.2.3 2001:db8::3 fe80::1%eth0 "+
		"203.0.113.1 2001:db8::1 192.0.2.20 2001:db8::22 192.0.2.21 192.0.2.23]"; got != want {
		t.Errorf("addresses\n%s, want\n%s", got, want)
	}
	if got, want := fmt.Sprint(names), "[ams2.example.net hub.example.net nats.example.net redis.example.net]"; got != want {
		t.Errorf("names %s, want %s", got, want)
	}
	if addrs, names := (&Config{}).Infrastructure(); len(addrs)+len(names) > 0 {
		t.Errorf("of nothing: %v %v", addrs, names)
	}
}
