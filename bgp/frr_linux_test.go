package bgp

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// frr is zebra, bgpd and, if asked for, bfdd in a host.
type frr struct{ *host }

func startFRR(t *testing.T, n int, bgpd string, more ...string) *frr {
	t.Helper()
	need(t, "zebra", "frr")
	f := &frr{newHost(t, n)}
	// The daemons become the user frr. Their sockets stand in a folder of their
	// own, so that nothing of an FRR on this machine is touched.
	if err := os.Chmod(filepath.Dir(f.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	sh(t, "chown", "frr:frr", f.dir)
	for _, name := range append([]string{"zebra", "bgpd"}, more...) {
		config := ""
		if name != "zebra" {
			config = bgpd // each takes what it knows
		}
		args := []string{
			need(t, name, "frr"), "-f", f.file(name+".conf", config), "-i", f.dir + "/" + name + ".pid",
			"-z", f.dir + "/zserv", "--vty_socket", f.dir, "-A", "127.0.0.1", "--log", "stdout",
		}
		if name == "bfdd" {
			args = append(args, "--bfdctl", f.dir+"/bfdd.sock")
		}
		trace := "/var/tmp/frr/" + name + "." // each daemon makes a folder for its last words
		pid := 0
		t.Cleanup(func() { _ = os.RemoveAll(trace + strconv.Itoa(pid)) }) // after the daemon's end
		pid = f.daemon(args...).Process.Pid
		f.until(name+" is up", has("FRRouting"), "vtysh", "--vty_socket", f.dir, "-d", name, "-c", "show version")
	}
	return f
}

// sh are commands of FRR's shell.
func (f *frr) sh(lines ...string) []string {
	args := []string{"vtysh", "--vty_socket", f.dir}
	for _, line := range lines {
		args = append(args, "-c", line)
	}
	return args
}

const frrConfig = `
router bgp 64512
 bgp router-id 10.0.1.1
 no bgp ebgp-requires-policy
 no bgp network import-check
 neighbor 10.0.1.2 remote-as 65001
 neighbor 10.0.1.2 password md5-secret
 neighbor fd00:1::2 remote-as 65001
 address-family ipv4 unicast
  network 203.0.113.0/24
  no neighbor fd00:1::2 activate
 exit-address-family
 address-family ipv6 unicast
  neighbor fd00:1::2 activate
 exit-address-family
`

func TestFRR(t *testing.T) {
	if !isolate(t) {
		return
	}
	f := startFRR(t, 1, frrConfig)
	o := example()
	o.ListenPort = 179
	o.Prefixes = append(o.Prefixes, netip.MustParsePrefix("2001:db8::10/128"))
	o.Neighbors = []Neighbor{
		{Address: netip.MustParseAddr("10.0.1.1"), ASN: 64512, Password: "md5-secret", Communities: []string{"64512:7", "64512:1:2"}},
		{Address: netip.MustParseAddr("fd00:1::1"), ASN: 64512},
	}
	o.ShutdownWait = 500 * time.Millisecond
	e := startEdge(t, o)
	e.wait("sessions", established)
	e.SetHealth(true, "")
	f.until("route", has("192.0.2.10 nhid"), "ip", "route")
	f.until("IPv6 route", has("2001:db8::10 nhid"), "ip", "-6", "route")
	f.until("communities", has("Community: 64512:7"), f.sh("show bgp ipv4 unicast 192.0.2.10/32")...)

	e.SetHealth(false, "test")
	f.until("route gone", lacks("192.0.2.10"), "ip", "route")
	e.SetHealth(true, "")
	f.until("route again", has("192.0.2.10"), "ip", "route")

	drained := make(chan error)
	go func() { drained <- e.Drain(t.Context()) }()
	f.until("local preference 0", has("localpref 0"), f.sh("show bgp ipv4 unicast 192.0.2.10/32")...)
	if err := <-drained; err != nil {
		t.Error(err)
	}
	f.until("drained", lacks("192.0.2.10"), "ip", "route")
	if err := e.Undrain(); err != nil {
		t.Error(err)
	}
	f.until("undrained", has("192.0.2.10"), "ip", "route")
	e.stop()
	<-e.done
	f.until("stopped", lacks("192.0.2.10"), "ip", "route")
}

func TestFRRReasons(t *testing.T) {
	if !isolate(t) {
		return
	}
	startFRR(t, 1, `
router bgp 64512
 neighbor 10.0.1.2 remote-as 65002
`)
	startFRR(t, 2, `
router bgp 64512
 neighbor 10.0.2.2 remote-as 65001
 neighbor 10.0.2.2 password right
`)
	o := example()
	o.ListenPort = 179
	for n := range 2 {
		o.Neighbors = append(o.Neighbors, Neighbor{Address: netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", n+1)), ASN: 64512})
	}
	e := startEdge(t, o)
	for i, want := range []string{"expects AS 65001", "passwords differ"} {
		e.wait(want, func(s Status) bool { return has(want)(s.Neighbors[i].Reason) })
	}
}

// TestFRRShortTimers: with these timers FRR waits 3 s for an OPEN, and GoBGP takes no
// session for 5 s after one that failed.
func TestFRRShortTimers(t *testing.T) {
	if !isolate(t) {
		return
	}
	const config = `
router bgp 64512
 no bgp ebgp-requires-policy
 neighbor 10.0.1.2 remote-as 65002
 neighbor 10.0.1.2 timers 1 3
 neighbor 10.0.1.2 timers connect 1
`
	f := startFRR(t, 1, config)
	o := example()
	o.ListenPort = 179
	o.Neighbors = []Neighbor{{Address: netip.MustParseAddr("10.0.1.1"), ASN: 64512}}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	e.wait("refused", func(s Status) bool { return has("expects AS 65001")(s.Neighbors[0].Reason) })
	f.run(f.sh("configure terminal", "router bgp 64512", "neighbor 10.0.1.2 remote-as 65001")...)
	f.until("route", has("192.0.2.10 nhid"), "ip", "route")
}
