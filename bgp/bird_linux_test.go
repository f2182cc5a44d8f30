package bgp

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"
)

const birdBase = `
router id 10.0.%[1]d.1;
protocol device { scan time 1; }
protocol direct { ipv4; ipv6; }
protocol kernel { ipv4 { export all; }; }
protocol kernel { ipv6 { export all; }; }
protocol static foreign { ipv4; route 203.0.113.0/24 blackhole; route 192.0.2.11/32 blackhole; }
filter take {
	if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
	accept;
}
`

// bird is BIRD 2 in a host.
type bird struct {
	*host
	n int
}

func startBird(t *testing.T, n int, config string) *bird {
	t.Helper()
	program := need(t, "bird", "bird2")
	b := &bird{host: newHost(t, n), n: n}
	conf := b.file("bird.conf", fmt.Sprintf(birdBase, n)+config)
	b.daemon(program, "-f", "-c", conf, "-s", b.dir+"/ctl", "-P", b.dir+"/pid")
	b.until("bird is up", has("Daemon is up"), b.cli("show status")...)
	return b
}

func (b *bird) cli(words string) []string {
	return append([]string{"birdc", "-s", b.dir + "/ctl"}, strings.Fields(words)...)
}

// kernel asks for the routes that packets take.
func (b *bird) kernel() []string { return []string{"ip", "route"} }

func (b *bird) neighbor() Neighbor {
	return Neighbor{Address: netip.AddrFrom4([4]byte{10, 0, byte(b.n), 1}), ASN: 64512}
}

func TestBird(t *testing.T) {
	if !isolate(t) {
		return
	}
	b := startBird(t, 1, `
protocol bgp edge4 { local as 64512; neighbor 10.0.1.2 as 65001; password "md5-secret"; ipv4 { import filter take; export all; }; }
protocol bgp edge6 { local as 64512; neighbor fd00:1::2 as 65001; ipv6 { import filter take; export all; }; }
`)
	n4 := b.neighbor()
	n4.Password = "md5-secret"
	o := example()
	o.ListenPort = 179 // BIRD may connect first: the password must hold on the listener, too
	o.Prefixes = append(o.Prefixes, netip.MustParsePrefix("2001:db8::10/128"))
	o.Neighbors = []Neighbor{n4, {Address: netip.MustParseAddr("fd00:1::1"), ASN: 64512}}
	o.ShutdownWait = 500 * time.Millisecond
	e := startEdge(t, o)

	e.wait("sessions", established)
	if out := b.run(b.kernel()...); strings.Contains(out, "192.0.2.10") {
		t.Errorf("announced before healthy:\n%s", out)
	}
	e.SetHealth(true, "")
	b.until("route", has("192.0.2.10 via 10.0.1.2"), b.kernel()...)
	b.until("IPv6 route", has("2001:db8::10 via fd00:1::2"), "ip", "-6", "route")

	e.SetHealth(false, "test")
	b.until("route gone", lacks("192.0.2.10"), b.kernel()...)
	b.until("IPv6 route gone", lacks("2001:db8::10"), "ip", "-6", "route")

	e.SetHealth(true, "")
	b.until("route again", has("192.0.2.10"), b.kernel()...)
	drained := make(chan error)
	go func() { drained <- e.Drain(t.Context()) }()
	b.until("local preference 0", has("BGP.local_pref: 0"), b.cli("show route all for 192.0.2.10/32")...)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	b.until("drained", lacks("192.0.2.10"), b.kernel()...)
	if err := e.Undrain(); err != nil {
		t.Error(err)
	}
	b.until("undrained", has("192.0.2.10"), b.kernel()...)
	e.stop()
	<-e.done
	b.until("stopped", lacks("192.0.2.10"), b.kernel()...)
}

func TestBirdReasons(t *testing.T) {
	if !isolate(t) {
		return
	}
	b := startBird(t, 1, `
protocol bgp edge { local as 64512; neighbor 10.0.1.2 as 65002; ipv4 { import all; export all; }; }
`)
	md5 := startBird(t, 2, `
protocol bgp edge { local as 64512; neighbor 10.0.2.2 as 65001; password "right"; ipv4 { import all; export all; }; }
`)
	far := startBird(t, 3, `
protocol bgp edge { local as 64513; neighbor 10.0.3.2 as 65001; ipv4 { import all; export all; }; }
`)
	o := example()
	wrong := md5.neighbor()
	wrong.Password = "wrong"
	o.Neighbors = []Neighbor{b.neighbor(), wrong, far.neighbor(), {Address: netip.MustParseAddr("10.9.9.9"), ASN: 64512}}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	for i, want := range []string{"expects AS 65001", "passwords differ", "in AS 64513, not AS 64512", "no route to the router"} {
		e.wait(want, func(s Status) bool { return strings.Contains(s.Neighbors[i].Reason, want) })
	}
}

// TestBirdNoTransit has two routers that would both love to learn from each other.
func TestBirdNoTransit(t *testing.T) {
	if !isolate(t) {
		return
	}
	const config = `protocol bgp edge { local as %d; neighbor 10.0.%d.2 as 65001; ipv4 { import filter take; export all; }; }`
	one, two := startBird(t, 1, fmt.Sprintf(config, 64512, 1)), startBird(t, 2, fmt.Sprintf(config, 64513, 2))
	o := example()
	o.Neighbors = []Neighbor{one.neighbor(), two.neighbor()}
	o.Neighbors[1].ASN = 64513
	e := startEdge(t, o)
	e.wait("sessions", established)
	e.wait("foreign routes received", func(s Status) bool { return s.Neighbors[0].Ignored > 0 && s.Neighbors[1].Ignored > 0 })
	e.SetHealth(true, "")
	for _, b := range []*bird{one, two} {
		b.until("own route", has("192.0.2.10"), b.kernel()...)
		out := b.run(b.cli("show route protocol edge")...)
		if strings.Count(out, "/") != 1 || strings.Contains(out, "203.0.113.0") || strings.Contains(out, "192.0.2.11") {
			t.Errorf("the edge gave more than its own:\n%s", out)
		}
	}
	if out := sh(t, "ip", "route"); strings.Contains(out, "203.0.113.0") {
		t.Errorf("the edge installed what it learned:\n%s", out)
	}
}

// TestBirdOtherFamily sends IPv6 prefixes over an IPv4 session to where packets arrive.
func TestBirdOtherFamily(t *testing.T) {
	if !isolate(t) {
		return
	}
	b := startBird(t, 1, `
protocol bgp edge { local as 64512; neighbor 10.0.1.2 as 65001; multihop 2; ipv4 { import filter take; export all; }; ipv6 { import filter take; export all; }; }
`)
	n := b.neighbor()
	n.NextHops = []netip.Addr{netip.MustParseAddr("fd00:1::2")}
	n.Multihop = 2
	o := example()
	o.Prefixes = append(o.Prefixes, netip.MustParsePrefix("2001:db8::10/128"))
	o.Neighbors = []Neighbor{n}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	b.until("IPv6 route", has("2001:db8::10 via fd00:1::2"), "ip", "-6", "route")
	b.until("IPv4 route", has("192.0.2.10 via 10.0.1.2"), b.kernel()...)
	sh(t, "ip", "addr", "add", "2001:db8::10/128", "dev", "lo", "nodad")
	ln, err := net.Listen("tcp6", "[2001:db8::10]:80")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	b.run("timeout", "5", "bash", "-c", "exec 3<>/dev/tcp/2001:db8::10/80")
}

func TestBirdTTLSecurity(t *testing.T) {
	if !isolate(t) {
		return
	}
	b := startBird(t, 1, `
protocol bgp edge { local as 64512; neighbor 10.0.1.2 as 65001; ttl security; ipv4 { import filter take; export all; }; }
`)
	o := example()
	o.Neighbors = []Neighbor{b.neighbor()}
	o.Neighbors[0].TTLSecurity = true
	e := startEdge(t, o)
	e.SetHealth(true, "")
	b.until("route", has("192.0.2.10 via 10.0.1.2"), b.kernel()...)
}

// TestExternalSpeaker has a BIRD on the edge's own host speak to the router: the edge
// tells it over a session on loopback, and nothing else changes.
func TestExternalSpeaker(t *testing.T) {
	if !isolate(t) {
		return
	}
	router := startBird(t, 1, `
protocol bgp edge { local as 64512; neighbor 10.0.1.2 as 65001; ipv4 { import filter take; export all; }; }
`)
	local := &bird{host: &host{t: t, pid: os.Getpid(), dir: t.TempDir()}}
	conf := local.file("bird.conf", `
router id 10.0.1.2;
protocol device { }
protocol bgp terrane {
	local 127.0.0.1 as 65001;
	neighbor 127.0.0.2 as 65001;
	multihop;
	passive;
	ipv4 { import all; export none; };
}
protocol bgp upstream {
	local as 65001;
	neighbor 10.0.1.1 as 64512;
	ipv4 { import none; export where proto = "terrane"; next hop self; };
}
`)
	local.daemon(need(t, "bird", "bird2"), "-f", "-c", conf, "-s", local.dir+"/ctl", "-P", local.dir+"/pid")
	o := example()
	o.Neighbors = []Neighbor{{Address: netip.MustParseAddr("127.0.0.1"), LocalAddress: netip.MustParseAddr("127.0.0.2"), ASN: 65001}}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	router.until("route", has("192.0.2.10 via 10.0.1.2"), router.kernel()...)
	e.SetHealth(false, "test")
	router.until("route gone", lacks("192.0.2.10"), router.kernel()...)
	e.SetHealth(true, "")
	router.until("route again", has("192.0.2.10"), router.kernel()...)
	e.stop()
	<-e.done
	router.until("stopped", lacks("192.0.2.10"), router.kernel()...)
}
