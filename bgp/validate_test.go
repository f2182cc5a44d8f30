package bgp

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/fault"
)

// design is the example of the configuration reference.
func design() Options {
	return Options{
		ASN: 65001, RouterID: netip.MustParseAddr("198.51.100.7"),
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("2001:db8::10/128")},
		Neighbors: []Neighbor{
			{Address: netip.MustParseAddr("198.51.100.1"), ASN: 64512, Password: "secret", Multihop: 2},
			{Address: netip.MustParseAddr("2001:db8:1::1"), ASN: 64512},
		},
	}
}

func TestFaults(t *testing.T) {
	pref := uint32(100)
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	for _, tt := range []struct {
		name   string
		change func(*Options)
		want   []string // in order
	}{
		{"the example", func(*Options) {}, nil},
		{"nothing", func(o *Options) { *o = Options{} }, []string{
			"asn: want an AS number", "router_id: want", "prefixes: want", "neighbor: want",
		}},
		{"another speaker", func(o *Options) {
			*o = Options{External: true, Prefixes: o.Prefixes}
		}, nil},
		{"another speaker, and a neighbor", func(o *Options) {
			o.External, o.ASN = true, 0
		}, []string{"asn: want an AS number"}},
		{"reserved AS", func(o *Options) { o.ASN = 23456 }, []string{"asn: AS 23456 is reserved"}},
		{"IPv6 router id", func(o *Options) { o.RouterID = addr("::1") }, []string{"router_id: want an IPv4"}},
		{"default route", func(o *Options) { o.Prefixes[0] = prefix("0.0.0.0/0") }, []string{"prefixes[0]: 0.0.0.0/0 would take"}},
		{"host bits", func(o *Options) { o.Prefixes[0] = prefix("192.0.2.10/24") }, []string{"prefixes[0]: 192.0.2.10/24 has bits beyond its length: want 192.0.2.0/24"}},
		{"loopback, multicast, link-local, reserved", func(o *Options) {
			o.Prefixes = []netip.Prefix{prefix("127.0.0.1/32"), prefix("224.0.0.0/24"), prefix("fe80::1/128"), prefix("240.0.0.1/32"), prefix("2001:db8::10/128"), prefix("192.0.2.1/32")}
		}, []string{"prefixes[0]: 127", "prefixes[1]: 224", "prefixes[2]: fe80", "prefixes[3]: 240"}},
		{"mapped", func(o *Options) { o.Prefixes[0] = prefix("::ffff:192.0.2.10/128") }, []string{"prefixes[0]: ::ffff:192.0.2.10/128: write it as IPv4", "neighbor[0].next_hops: no prefix can go"}},
		{"invalid", func(o *Options) { o.Prefixes[0] = netip.Prefix{} }, []string{"prefixes[0]: want a prefix"}},
		{"twice", func(o *Options) { o.Prefixes[1] = o.Prefixes[0] }, []string{"prefixes[1]: 192.0.2.10/32 is listed twice", "neighbor[1].next_hops: no prefix"}},
		{"host route to a public AS", func(o *Options) { o.Neighbors[0].ASN = 3356 }, []string{
			"prefixes[0]: 192.0.2.10/32 is longer than the /24", "prefixes[1]: 2001:db8::10/128 is longer than the /48",
		}},
		{"host route with the operator's word", func(o *Options) { o.Neighbors[0].ASN, o.AllowHostRoutes = 3356, true }, nil},
		{"private to a public AS", func(o *Options) {
			o.Neighbors[0].ASN, o.AllowHostRoutes = 3356, true
			o.Prefixes = append(o.Prefixes, prefix("10.1.0.0/24"), prefix("100.64.1.0/24"), prefix("fd00::/48"))
		}, []string{"prefixes[2]: 10.1.0.0/24 is private", "prefixes[3]: 100.64.1.0/24 is private", "prefixes[4]: fd00::/48 is private"}},
		{"private with the operator's word", func(o *Options) {
			o.Neighbors[0].ASN, o.AllowPrivate, o.Prefixes[0] = 3356, true, prefix("10.1.0.0/24")
			o.Prefixes[1] = prefix("fd00::/48")
		}, nil},
		{"no neighbor for a family", func(o *Options) { o.Neighbors = o.Neighbors[:1] }, []string{"prefixes[1]: no neighbor takes 2001:db8::10/128: one needs an IPv6 address, or"}},
		{"next hop for the other family", func(o *Options) {
			o.Neighbors = o.Neighbors[:1]
			o.Neighbors[0].NextHops = []netip.Addr{addr("2001:db8::7")}
		}, nil},
		{"no neighbor address", func(o *Options) { o.Neighbors[0].Address = netip.Addr{} }, []string{
			"prefixes[0]: no neighbor takes", "neighbor[0].address: want the address",
		}},
		{"link-local neighbor", func(o *Options) { o.Neighbors[1].Address = addr("fe80::1%eth0") }, []string{"neighbor[1].address: fe80::1%eth0: sessions over IPv6 link-local"}},
		{"own address", func(o *Options) { o.Neighbors[0].Address = o.RouterID }, []string{"neighbor[0].address: 198.51.100.7 is this edge's own"}},
		{"same neighbor", func(o *Options) { o.Neighbors = append(o.Neighbors, o.Neighbors[0]) }, []string{"neighbor[2].address: 198.51.100.1 is neighbor[0] already"}},
		{"neighbor without AS", func(o *Options) { o.Neighbors[0].ASN = 0 }, []string{"neighbor[0].asn: want an AS number"}},
		{"local address of the other family", func(o *Options) { o.Neighbors[0].LocalAddress = addr("::1") }, []string{"neighbor[0].local_address: ::1"}},
		{"password", func(o *Options) { o.Neighbors[0].Password = strings.Repeat("x", 81) }, []string{"neighbor[0].password: 81 bytes"}},
		{"passive without a listener", func(o *Options) { o.Neighbors[0].Passive = true }, []string{"neighbor[0].passive: nothing listens: set bgp.listen_port"}},
		{"timers", func(o *Options) {
			n := &o.Neighbors[0]
			n.HoldTime, n.Keepalive, n.ConnectRetry, n.GracefulRestart = 2*time.Second, time.Minute, 1500*time.Millisecond, 2*time.Hour
		}, []string{"neighbor[0].hold_time: 2s: want whole seconds from 3s", "neighbor[0].keepalive", "neighbor[0].connect_retry: 1.5s", "neighbor[0].graceful_restart"}},
		{"next hops", func(o *Options) { o.Neighbors[0].NextHops = []netip.Addr{addr("0.0.0.0"), addr("192.0.2.1")} }, []string{
			"neighbor[0].next_hops[0]: 0.0.0.0", "neighbor[0].next_hops[1]: a second IPv4",
		}},
		{"communities", func(o *Options) { o.Neighbors[0].Communities = []string{"no-export", "65536:1"} }, []string{`neighbor[0].communities[1]: "65536:1": want`}},
		{"blackhole", func(o *Options) { o.Neighbors[0].Communities = []string{"65535:666"} }, []string{`neighbor[0].communities[0]: "65535:666" asks routers to drop`}},
		{"prepend", func(o *Options) { o.Neighbors[0].Prepend = 17 }, []string{"neighbor[0].prepend: 17"}},
		{"prepend within the AS", func(o *Options) { o.Neighbors[0].ASN, o.Neighbors[0].Prepend = 65001, 1 }, []string{"neighbor[0].prepend: 1"}},
		{"local preference outside", func(o *Options) { o.Neighbors[0].LocalPref = &pref }, []string{"neighbor[0].local_pref: want"}},
		{"negative waits", func(o *Options) { o.ShutdownWait, o.WithdrawWait = -1, -1 }, []string{"shutdown_wait: -1ns: want 0", "withdraw_wait: -1ns: want 0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := design()
			tt.change(&o)
			_, err := New(o)
			faults, rest := fault.Split(err)
			ok := rest == nil && len(faults) == len(tt.want) && (err == nil) == (tt.want == nil)
			for i := range min(len(faults), len(tt.want)) {
				ok = ok && strings.HasPrefix(faults[i].Error(), tt.want[i])
			}
			if !ok {
				t.Errorf("got\n%v\nwant\n%s", err, strings.Join(tt.want, "\n"))
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the error shows a password")
			}
		})
	}
}

func FuzzCommunities(f *testing.F) {
	f.Add("64512:1")
	f.Add("1:2:3")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCommunities([]string{s})
		if n := len(slices.Concat(c.standard, c.large)); (err == nil) != (n == 1) {
			t.Errorf("%q: %v, %v", s, c, err)
		}
	})
}
