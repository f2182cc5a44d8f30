package bgp

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
)

func ptr[T any](v T) *T { return &v }

// TestBirdOptions has BIRD show what each option makes of a route and of a session.
func TestBirdOptions(t *testing.T) {
	if !isolate(t) {
		return
	}
	attributes := startBird(t, 1, `
protocol bgp edge { local as 64512; neighbor 10.0.1.2 as 65001; ipv4 { import filter take; export none; }; }
`)
	internal := startBird(t, 2, `
protocol bgp edge { local as 65001; neighbor 10.0.2.2 as 65001; hold time 30; ipv4 { import filter take; export none; }; }
`)
	source := startBird(t, 3, `
protocol bgp edge { local as 64512; neighbor 10.0.3.3 as 65001; ipv4 { import filter take; export none; }; }
`)
	sh(t, "ip", "addr", "add", "10.0.3.3/24", "dev", "edge3")
	passive := startBird(t, 4, `
protocol bgp edge { local as 64512; neighbor 10.0.4.2 as 65001; connect delay time 1; connect retry time 1; ipv4 { import filter take; export none; }; }
`)
	o := example()
	o.ListenPort = 179
	o.Neighbors = []Neighbor{attributes.neighbor(), internal.neighbor(), source.neighbor(), passive.neighbor()}
	n := &o.Neighbors[0]
	n.NextHops = []netip.Addr{netip.MustParseAddr("10.0.1.77")}
	n.Communities = []string{"64512:7", "no-export", "64512:1:2"}
	n.MED, n.Prepend = ptr(uint32(30)), 2
	n.HoldTime, n.Keepalive = 9*time.Second, 2*time.Second
	o.Neighbors[1].ASN, o.Neighbors[1].LocalPref = 65001, ptr(uint32(250))
	o.Neighbors[2].LocalAddress = netip.MustParseAddr("10.0.3.3")
	o.Neighbors[3].Passive = true
	e := startEdge(t, o)
	e.SetHealth(true, "")

	for _, tt := range []struct {
		b       *bird
		command string
		want    []string
	}{
		{attributes, "show route all for 192.0.2.10/32", []string{
			"BGP.next_hop: 10.0.1.77", "BGP.as_path: 65001 65001 65001\n", "BGP.med: 30", "BGP.community: (64512,7) (65535,65281)", "BGP.large_community: (64512, 1, 2)", "BGP.origin: IGP",
		}},
		{attributes, "show protocols all edge", []string{"Hold timer:", "/9\n", "Keepalive timer:", "/3\n"}},
		{internal, "show route all for 192.0.2.10/32", []string{"BGP.local_pref: 250", "BGP.next_hop: 10.0.2.2", "BGP.as_path: \n"}},
		{internal, "show protocols all edge", []string{"/3\n", "internal"}},
		{source, "show route for 192.0.2.10/32", []string{"via 10.0.3.3"}},
		{passive, "show route for 192.0.2.10/32", []string{"via 10.0.4.2"}},
	} {
		tt.b.until(fmt.Sprint(tt.command, tt.want), func(out string) bool {
			for _, w := range tt.want {
				if !strings.Contains(out, w) {
					return false
				}
			}
			return true
		}, tt.b.cli(tt.command)...)
	}
}

// TestBirdFarAway has two hops between the edge and the router, with a password, over
// either family, and TTL security that fits.
func TestBirdFarAway(t *testing.T) {
	if !isolate(t) {
		return
	}
	middle := newHost(t, 1)
	middle.run("sh", "-ec", "for f in ipv4/ip_forward ipv6/conf/all/forwarding; do echo 1 >/proc/sys/net/$f; done")
	far := startBird(t, 2, `
protocol static { ipv4; route 10.0.1.0/24 via 10.9.0.1; }
protocol static { ipv6; route fd00:1::/64 via fd00:9::1; }
protocol bgp edge4 { local 10.9.0.2 as 64512; neighbor 10.0.1.2 as 65001; multihop 2; password "secret"; ipv4 { import filter take; export none; }; }
protocol bgp edge6 { local fd00:9::2 as 64512; neighbor fd00:1::2 as 65001; multihop 2; password "secret"; ttl security; ipv6 { import filter take; export none; }; }
`)
	middle.run("ip", "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", strconv.Itoa(far.pid))
	for _, end := range []struct {
		h    *host
		dev  string
		last int
	}{{middle, "far", 1}, {far.host, "near", 2}} {
		end.h.run("ip", "addr", "add", fmt.Sprintf("10.9.0.%d/24", end.last), "dev", end.dev)
		end.h.run("ip", "addr", "add", fmt.Sprintf("fd00:9::%d/64", end.last), "dev", end.dev, "nodad")
		end.h.run("ip", "link", "set", end.dev, "up")
	}
	sh(t, "ip", "route", "add", "10.9.0.0/24", "via", "10.0.1.1")
	sh(t, "ip", "route", "add", "fd00:9::/64", "via", "fd00:1::1")
	o := example()
	o.Prefixes = append(o.Prefixes, netip.MustParsePrefix("2001:db8::10/128"))
	o.Neighbors = []Neighbor{
		{Address: netip.MustParseAddr("10.9.0.2"), ASN: 64512, Multihop: 2, Password: "secret"},
		{Address: netip.MustParseAddr("fd00:9::2"), ASN: 64512, Multihop: 2, Password: "secret", TTLSecurity: true},
	}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	far.until("IPv4 route", has("192.0.2.10"), far.cli("show route")...)
	far.until("IPv6 route", has("2001:db8::10"), far.cli("show route")...)

	o.Neighbors = []Neighbor{{Address: netip.MustParseAddr("10.9.0.2"), ASN: 64512, Password: "secret"}}
	o.Prefixes = o.Prefixes[:1]
	e.stop()
	<-e.done
	e = startEdge(t, o) // as if it were next door
	e.wait("too far", func(s Status) bool {
		return strings.Contains(s.Neighbors[0].Reason, "no answer") || strings.Contains(s.Neighbors[0].Reason, "no route")
	})
}

// TestFRROverIPv6 sends IPv4 prefixes over an IPv6 session, with what else FRR can show.
func TestFRROverIPv6(t *testing.T) {
	if !isolate(t) {
		return
	}
	f := startFRR(t, 1, `
router bgp 64512
 no bgp ebgp-requires-policy
 neighbor fd00:1::2 remote-as 65001
 neighbor fd00:1::2 disable-connected-check
 neighbor fd00:1::2 password secret
 neighbor fd00:1::2 ttl-security hops 1
`)
	o := example()
	o.Neighbors = []Neighbor{{
		Address: netip.MustParseAddr("fd00:1::1"), ASN: 64512, Password: "secret", TTLSecurity: true, NextHops: []netip.Addr{netip.MustParseAddr("10.0.1.2")},
		Communities: []string{"64512:7", "64512:1:2"}, MED: ptr(uint32(30)), Prepend: 2, HoldTime: 12 * time.Second, Keepalive: 4 * time.Second,
	}}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	f.until("route", has("192.0.2.10 nhid"), "ip", "route")
	out := f.run(f.sh("show bgp ipv4 unicast 192.0.2.10/32")...) + f.run(f.sh("show bgp neighbors fd00:1::2")...)
	for _, want := range []string{
		"65001 65001 65001", "10.0.1.2 from fd00:1::2", "metric 30", "Community: 64512:7", "Large Community: 64512:1:2", "Hold time is 12 seconds, keepalive interval is 4 seconds", "may be up to 1 hops away", "Peer Authentication Enabled",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in what FRR shows:\n%s", want, out)
		}
	}
}

// TestGracefulRestart: a router that was told to keeps the routes of an edge whose
// session broke, and only as long as it was told.
func TestGracefulRestart(t *testing.T) {
	if !isolate(t) {
		return
	}
	b := startBird(t, 1, `
protocol bgp edge { local as 64512; neighbor 10.0.1.2 as 65001; graceful restart on; ipv4 { import filter take; export none; }; }
`)
	f := startFRR(t, 2, `
router bgp 64512
 no bgp ebgp-requires-policy
 bgp graceful-restart
 neighbor 10.0.2.2 remote-as 65001
`)
	o := example()
	o.Neighbors = []Neighbor{b.neighbor(), {Address: netip.MustParseAddr("10.0.2.1"), ASN: 64512}}
	for i := range o.Neighbors {
		o.Neighbors[i].GracefulRestart, o.Neighbors[i].ConnectRetry = 4*time.Second, time.Hour // it does not come back
	}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	hosts := []*host{b.host, f.host}
	for _, h := range hosts {
		h.until("route", has("192.0.2.10"), "ip", "route")
	}
	e.wait("established", established)
	cut := time.Now()
	sh(t, "ss", "--kill", "--tcp", "state", "established", "dport", "=", ":179") // without a NOTIFICATION
	for _, h := range hosts {
		if out := h.run("ip", "route"); !strings.Contains(out, "192.0.2.10") {
			t.Errorf("the route was dropped with the session:\n%s", out)
		}
	}
	for _, h := range hosts {
		h.until("route gone", lacks("192.0.2.10"), "ip", "route")
		if d := time.Since(cut); d < 3*time.Second {
			t.Errorf("the route was kept for %v, want 4s", d)
		}
	}
}

// TestSameRouterID has two edges with one router id, which is a mistake that routers let pass.
func TestSameRouterID(t *testing.T) {
	if raceEnabled {
		t.Skip("two of GoBGP's speakers in one process share a variable")
	}
	if !isolate(t) {
		return
	}
	b := startBird(t, 1, `
protocol bgp edge1 { local as 64512; neighbor 10.0.1.2 as 65001; ipv4 { import filter take; export none; }; }
protocol bgp edge2 { local as 64512; neighbor 10.0.1.3 as 65001; ipv4 { import filter take; export none; }; }
`)
	f := startFRR(t, 2, `
router bgp 64512
 no bgp ebgp-requires-policy
 neighbor 10.0.2.2 remote-as 65001
 neighbor 10.0.2.3 remote-as 65001
`)
	sh(t, "ip", "addr", "add", "10.0.1.3/24", "dev", "edge1")
	sh(t, "ip", "addr", "add", "10.0.2.3/24", "dev", "edge2")
	for _, last := range []byte{2, 3} {
		o := example()
		for n := range byte(2) {
			o.Neighbors = append(o.Neighbors, Neighbor{
				Address: netip.AddrFrom4([4]byte{10, 0, n + 1, 1}), LocalAddress: netip.AddrFrom4([4]byte{10, 0, n + 1, last}), ASN: 64512,
			})
		}
		e := startEdge(t, o)
		e.SetHealth(true, "")
		e.wait("sessions", established)
	}
	for _, edge := range []string{"2", "3"} {
		b.until("edge "+edge, has("via 10.0.1."+edge), b.cli("show route all for 192.0.2.10/32")...)
		f.until("edge "+edge, has("10.0.2."+edge+" from"), f.sh("show bgp ipv4 unicast 192.0.2.10/32")...)
	}
}
