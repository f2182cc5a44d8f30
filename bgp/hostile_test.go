package bgp

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// flood sends distinct routes, five per update as they come from the Internet.
func (r *router) flood(routes int) {
	const perUpdate = 5
	for i := 0; i < routes; i += perUpdate {
		var nlri []*packet.IPAddrPrefix
		for j := range perUpdate {
			var a [4]byte
			binary.BigEndian.PutUint32(a[:], 0x10000000+uint32(i+j)<<8)
			nlri = append(nlri, packet.NewIPAddrPrefix(24, netip.AddrFrom4(a).String()))
		}
		r.send(packet.NewBGPUpdateMessage(nil, []packet.PathAttributeInterface{
			packet.NewPathAttributeOrigin(0),
			packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAs4PathParam(2, []uint32{r.asn, 64999, uint32(i)})}),
			packet.NewPathAttributeNextHop(r.id),
		}, nlri))
	}
}

// TestFullTable has a router send what the Internet has today. None of it costs memory,
// and the withdrawal does not wait behind it.
func TestFullTable(t *testing.T) {
	routes := 1_000_000
	if testing.Short() || raceEnabled {
		routes = 50_000
	}
	hostile, other := newRouter(t, "127.0.0.2", 64512), newRouter(t, "127.0.0.3", 64513)
	e := startEdge(t, example(hostile, other))
	e.SetHealth(true, "")
	hostile.wait("route", hostile.holds("192.0.2.10/32"))
	other.wait("route", other.holds("192.0.2.10/32"))
	var flood sync.WaitGroup
	flood.Go(func() { hostile.flood(routes) })
	e.wait("flood", func(s Status) bool { return s.Neighbors[0].Ignored > 0 })
	begin := time.Now()
	e.SetHealth(false, "test") // while the flood goes on
	other.wait("withdrawal", other.holds())
	hostile.wait("withdrawal", hostile.holds())
	took := time.Since(begin)
	flood.Wait()
	s := e.wait("all read", func(s Status) bool { return s.Neighbors[0].Ignored == uint64(routes/5) })
	if all := time.Since(begin); took > max(10*time.Second, all/2) {
		t.Errorf("the withdrawal took %v, and the flood %v", took, all)
	}
	if !established(s) || s.Neighbors[0].Lost+s.Neighbors[1].Lost > 0 {
		t.Errorf("a session was lost: %+v", s)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 32<<20 {
		t.Errorf("%d routes take %d MB", routes, m.HeapAlloc>>20)
	}
	if got := other.heard(); !slices.Equal(got, []string{"announce 192.0.2.10/32", "withdraw 192.0.2.10/32"}) {
		t.Errorf("the other router heard %q", got)
	}
}

// TestMalformed has a router break the rules. What breaks the framing ends the
// session; updates are not looked into at all. (GoBGP would panic on an unknown type.)
func TestMalformed(t *testing.T) {
	marker := strings.Repeat("\xff", 16)
	for _, tt := range []struct {
		name, bytes string
		resets      bool
	}{
		{"no marker", strings.Repeat("x", 19), true},
		{"message of 65535 bytes", marker + "\xff\xff\x02", true},
		{"message of 0 bytes", marker + "\x00\x00\x02", true},
		{"unknown type", marker + "\x00\x13\x77", true},
		{"update of lengths that lie", marker + "\x00\x17\x02\xff\xff\xff\xff", false},
		{"prefix of 255 bits", marker + "\x00\x1b\x02\x00\x00\x00\x00\xff\x01\x02\x03", false},
		{"unknown well-known attribute", marker + "\x00\x1b\x02\x00\x00\x00\x04\x40\xee\x01\x00", false},
		{"route refresh of no family", marker + "\x00\x17\x05\xff\xff\x00\xff", false},
		{"second OPEN", marker + "\x00\x1d\x01\x04\xfc\x00\x00\x5a\x7f\x00\x00\x02\x00", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRouter(t, "127.0.0.2", 64512)
			e := startEdge(t, example(r))
			e.SetHealth(true, "")
			r.wait("route", r.holds("192.0.2.10/32"))
			r.write([]byte(tt.bytes))
			if tt.resets {
				s := e.wait("reset", func(s Status) bool { return s.Neighbors[0].Lost == 1 })
				if s.Neighbors[0].Reason == "" {
					t.Errorf("no reason: %+v", s)
				}
				return
			}
			r.say("203.0.113.0/24")
			s := e.wait("the next message", func(s Status) bool { return s.Neighbors[0].Ignored > 0 || s.Neighbors[0].Lost > 0 })
			if s.Neighbors[0].Lost > 0 {
				t.Errorf("reset: %+v", s)
			}
		})
	}
}

// TestHostileOpen: GoBGP's ListPeer panics on a host name that is not UTF-8.
func TestHostileOpen(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512, func(r *router) {
		r.caps = append(r.caps, packet.NewCapFQDN("\xff\xfe", "\xff"), packet.NewCapUnknown(222, []byte{1, 2, 3}), packet.NewCapSoftwareVersion("\xff"))
	})
	e := startEdge(t, example(r))
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	e.wait("announced", func(s Status) bool { return len(s.Neighbors[0].Announced) == 1 })
}

// TestFlappingRouter closes each session as soon as it has the route.
func TestFlappingRouter(t *testing.T) {
	flapping, other := newRouter(t, "127.0.0.2", 64512), newRouter(t, "127.0.0.3", 64513)
	e := startEdge(t, example(flapping, other))
	e.SetHealth(true, "")
	other.wait("route", other.holds("192.0.2.10/32"))
	for lost := range uint64(3) {
		flapping.wait("route", flapping.holds("192.0.2.10/32"))
		flapping.hangUp()
		e.wait("lost", func(s Status) bool { return s.Neighbors[0].Lost == lost+1 })
	}
	if got := other.heard(); !slices.Equal(got, []string{"announce 192.0.2.10/32"}) {
		t.Errorf("the other router heard %q", got)
	}
}

// TestRefreshFlood has a router ask for all routes again and again, and say that it lives
// far more often than needed: it is answered, slowly, and the other router is not kept waiting.
func TestRefreshFlood(t *testing.T) {
	hostile, other := newRouter(t, "127.0.0.2", 64512, func(r *router) {
		r.caps = append(r.caps, packet.NewCapRouteRefresh())
	}), newRouter(t, "127.0.0.3", 64513)
	e := startEdge(t, example(hostile, other))
	e.SetHealth(true, "")
	hostile.wait("route", hostile.holds("192.0.2.10/32"))
	other.wait("route", other.holds("192.0.2.10/32"))
	begin := time.Now()
	for range 1000 {
		hostile.send(packet.NewBGPKeepAliveMessage())
		hostile.send(packet.NewBGPRouteRefreshMessage(packet.AFI_IP, 0, packet.SAFI_UNICAST))
	}
	const answers = 5
	hostile.wait("answers", func(r *router) bool { return len(r.history) > answers })
	if d := time.Since(begin); d < (answers-2)*refreshEvery {
		t.Errorf("%d requests for all routes were answered in %v", answers, d)
	}
	e.SetHealth(false, "test")
	other.wait("withdrawal", other.holds())
	hostile.wait("withdrawal", hostile.holds())
	if s := e.Status(); s.Neighbors[1].Lost > 0 {
		t.Errorf("the other session was lost: %+v", s)
	}
}
