package bgp

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/terrane/terrane/bgp/bfd"
)

// startBFD runs a BFD speaker towards the routers and returns when all are up. The
// function that it returns ends the speaker.
func startBFD(t *testing.T, routers ...string) (stop func()) {
	t.Helper()
	up := make(chan struct{}, 16)
	var peers []bfd.Peer
	for _, r := range routers {
		peers = append(peers, bfd.Peer{Address: netip.MustParseAddr(r), Interval: 300 * time.Millisecond, Multiplier: 10})
	}
	s, err := bfd.New(bfd.Options{
		Peers: peers,
		OnChange: func(s bfd.PeerStatus) {
			if s.State == bfd.Up {
				up <- struct{}{}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	for range routers {
		select {
		case <-up:
		case <-time.After(2 * time.Minute):
			t.Fatalf("never up: %+v", s.Status())
		}
	}
	return stop
}

// leaves asserts that the router's kernel drops the route long before BGP's hold time of ten
// minutes is over, after the edge was cut off. It takes the 3 s that BFD is configured for here:
// with less, a busy machine ends sessions that nobody has cut.
func leaves(t *testing.T, h *host) {
	t.Helper()
	h.until("route", has("192.0.2.10"), "ip", "route")
	sh(t, "ip", "route", "add", "blackhole", "10.0.1.1/32") // nothing gets out any more
	cut := time.Now()
	h.until("route gone", lacks("192.0.2.10"), "ip", "route")
	t.Logf("the router left after %v", time.Since(cut))
}

func TestBirdBFD(t *testing.T) {
	if !isolate(t) {
		return
	}
	b := startBird(t, 1, `
protocol bfd { interface "router1" { interval 300 ms; multiplier 10; }; }
protocol bgp edge { local as 64512; neighbor 10.0.1.2 as 65001; bfd on; ipv4 { import filter take; export all; }; }
protocol bgp edge6 { local as 64512; neighbor fd00:1::2 as 65001; bfd on; ipv6 { import filter take; export all; }; }
`)
	o := example()
	o.Neighbors = []Neighbor{b.neighbor()}
	o.Neighbors[0].HoldTime = 10 * time.Minute
	e := startEdge(t, o)
	e.SetHealth(true, "")
	startBFD(t, "10.0.1.1", "fd00:1::1")
	b.until("bfd is up", has("Up"), b.cli("show bfd sessions")...)
	leaves(t, b.host)
}

func TestFRRBFD(t *testing.T) {
	if !isolate(t) {
		return
	}
	f := startFRR(t, 1, `
bfd
 peer 10.0.1.2
  receive-interval 300
  transmit-interval 300
  detect-multiplier 10
router bgp 64512
 no bgp ebgp-requires-policy
 neighbor 10.0.1.2 remote-as 65001
 neighbor 10.0.1.2 bfd
`, "bfdd")
	o := example()
	o.Neighbors = []Neighbor{{Address: netip.MustParseAddr("10.0.1.1"), ASN: 64512, HoldTime: 10 * time.Minute}}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	startBFD(t, "10.0.1.1")
	f.until("bfd is up", has("Status: up"), f.sh("show bfd peers")...)
	leaves(t, f.host)
}

// TestBFDAdminDown: BIRD and FRR end the BGP session when the edge's BFD goes to AdminDown,
// which RFC 5882, section 3.2, says is no failure. So an edge that stops ends BGP first.
func TestBFDAdminDown(t *testing.T) {
	if !isolate(t) {
		return
	}
	b := startBird(t, 1, `
protocol bfd { interface "router1" { interval 300 ms; multiplier 10; }; }
protocol bgp edge { local as 64512; neighbor 10.0.1.2 as 65001; bfd on; error wait time 1, 2; ipv4 { import filter take; export all; }; }
`)
	f := startFRR(t, 2, `
bfd
 peer 10.0.2.2
  receive-interval 300
  transmit-interval 300
  detect-multiplier 10
router bgp 64512
 no bgp ebgp-requires-policy
 neighbor 10.0.2.2 remote-as 65001
 neighbor 10.0.2.2 bfd
`, "bfdd")
	o := example()
	o.Neighbors = []Neighbor{b.neighbor(), {Address: netip.MustParseAddr("10.0.2.1"), ASN: 64512}}
	for i := range o.Neighbors {
		o.Neighbors[i].HoldTime = 10 * time.Minute
	}
	e := startEdge(t, o)
	e.SetHealth(true, "")
	stop := startBFD(t, "10.0.1.1", "10.0.2.1")
	b.until("route", has("192.0.2.10"), "ip", "route")
	f.until("route", has("192.0.2.10"), "ip", "route")
	b.until("bfd is up", has("Up"), b.cli("show bfd sessions")...)
	f.until("bfd is up", has("Status: up"), f.sh("show bfd peers")...)
	stop()
	f.until("bfd is down", lacks("Status: up"), f.sh("show bfd peers")...)
	e.wait("end of both sessions", func(s Status) bool { return s.Neighbors[0].Lost > 0 && s.Neighbors[1].Lost > 0 })
}
