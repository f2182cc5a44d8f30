package bgp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"

	"github.com/terrane/terrane/internal/campaign"
)

// TestCampaignHostileUpdates has a router send updates, refreshes and keepalives of
// random content, whose framing is right, on one session. It stays up, and the other
// router hears nothing.
func TestCampaignHostileUpdates(t *testing.T) {
	tries := campaign.Tries(5_000, 2_000_000)
	random := rand.New(rand.NewPCG(1, 2))
	hostile, other := newRouter(t, "127.0.0.2", 64512), newRouter(t, "127.0.0.3", 64513)
	e := startEdge(t, example(hostile, other))
	e.SetHealth(true, "")
	hostile.wait("route", hostile.holds("192.0.2.10/32"))
	other.wait("route", other.holds("192.0.2.10/32"))
	valid := update(t, hostile)
	updates := uint64(0)
	for range tries {
		m := mutate(random, valid)
		switch random.IntN(8) {
		case 0:
			m = m[:19+random.IntN(len(m)-18)]
			m[18] = packet.BGP_MSG_ROUTE_REFRESH
		case 1:
			m = keepalive()
		case 2:
			m = append(m, make([]byte, random.IntN(4096-len(m)))...)
		}
		binary.BigEndian.PutUint16(m[16:], uint16(len(m)))
		if m.kind() == packet.BGP_MSG_UPDATE {
			updates++
		}
		hostile.write(m)
	}
	s := e.wait("all updates", func(s Status) bool { return s.Neighbors[0].Ignored == updates || !established(s) })
	if !established(s) || s.Neighbors[0].Lost+s.Neighbors[1].Lost > 0 {
		t.Errorf("a session was lost: %+v", s)
	}
	e.SetHealth(false, "test")
	hostile.wait("withdrawal", hostile.holds())
	other.wait("withdrawal", other.holds())
	if got := other.heard(); !slices.Equal(got, []string{"announce 192.0.2.10/32", "withdraw 192.0.2.10/32"}) {
		t.Errorf("the other router heard %q", got)
	}
	checkHeap(t, 48<<20)
	campaign.Row(t, "BGP neighbor: updates and refreshes of random content", tries, "0 sessions lost, 0 routes passed on")
}

// TestCampaignHostileOpens reads OPENs of random content, as the guard does before
// GoBGP sees any of them.
func TestCampaignHostileOpens(t *testing.T) {
	tries := campaign.Tries(50_000, 20_000_000)
	random := rand.New(rand.NewPCG(3, 4))
	caps := []packet.ParameterCapabilityInterface{
		packet.NewCapMultiProtocol(packet.RF_IPv4_UC), packet.NewCapFourOctetASNumber(64512), packet.NewCapFQDN("router", "example"),
		packet.NewCapGracefulRestart(true, true, 120, []*packet.CapGracefulRestartTuple{packet.NewCapGracefulRestartTuple(packet.RF_IPv4_UC, true)}),
		packet.NewCapUnknown(222, []byte{1, 2, 3}),
	}
	valid, err := serialize(packet.NewBGPOpenMessage(64512, 90, "127.0.0.2", []packet.OptionParameterInterface{packet.NewOptionParameterCapability(caps)}))
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for range tries {
		m := mutate(random, valid)
		binary.BigEndian.PutUint16(m[16:], uint16(len(m)))
		clean, _, err := cleanOpen(m)
		if err != nil {
			continue
		}
		taken++
		if _, _, err := cleanOpen(clean); err != nil {
			t.Fatalf("GoBGP would be given what cannot be read: %x: %v", m, err)
		}
	}
	if taken == 0 || taken == tries {
		t.Errorf("%d of %d were taken: this tries nothing", taken, tries)
	}
	campaign.Row(t, "BGP neighbor: OPENs of random content", tries, "0 panics, 0 unreadable OPENs passed to GoBGP")
}

// TestCampaignHostileResets has several routers end their sessions at once in every way
// there is, again and again. They get the route each time, and a well-behaved router
// hears nothing of it.
func TestCampaignHostileResets(t *testing.T) {
	tries := campaign.Tries(6, 60)
	const each = 6 // routers, and ways
	other := newRouter(t, "127.0.0.3", 64513)
	routers := []*router{other}
	for i := range each {
		routers = append(routers, newRouter(t, fmt.Sprintf("127.0.1.%d", i+1), 64600+uint32(i)))
	}
	e := startEdge(t, example(routers...))
	e.SetHealth(true, "")
	other.wait("route", other.holds("192.0.2.10/32"))
	valid := update(t, other)
	var wg sync.WaitGroup
	for i, r := range routers[1:] {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(5, uint64(i)))
			for try := range tries / each {
				r.wait("route", r.holds("192.0.2.10/32"))
				end(r, (i+try)%each, random, valid)
				e.wait("the end of the session", func(s Status) bool { return s.Neighbors[i+1].Lost > uint64(try) })
			}
			r.wait("route at the end", r.holds("192.0.2.10/32"))
		})
	}
	wg.Wait()
	if got := other.heard(); !slices.Equal(got, []string{"announce 192.0.2.10/32"}) {
		t.Errorf("the other router heard %q", got)
	}
	checkHeap(t, 64<<20)
	campaign.Row(t, "BGP neighbor: flaps, resets, NOTIFICATIONs and broken frames of 6 routers", tries,
		"the route came back each time, the other router heard nothing")
}

// end ends a router's session in one of six ways.
func end(r *router, way int, random *rand.Rand, valid frame) {
	r.note(func() { clear(r.table) }) // what it holds next is of the next session
	switch way {
	case 0: // a FIN in the middle of a message
		r.write(valid[:len(valid)/2])
		r.hangUp()
	case 1: // a RST
		r.note(func() {
			_ = r.conn.(*net.TCPConn).SetLinger(0)
			_ = r.conn.Close()
			clear(r.table)
		})
	case 2: // a NOTIFICATION of any code
		r.send(packet.NewBGPNotificationMessage(uint8(random.IntN(256)), uint8(random.IntN(256)), []byte("\xff\xfereason")))
	case 3: // a type that GoBGP panics on
		m := slices.Clone(keepalive())
		m[18] = byte(6 + random.IntN(250))
		r.write(m)
	case 4: // a marker or a length that is none
		m := slices.Clone(valid)
		m[random.IntN(16)] ^= byte(1 + random.IntN(255))
		r.write(m)
	case 5: // a second OPEN
		r.send(packet.NewBGPOpenMessage(uint16(r.asn), 90, r.id, nil))
	}
}

// update is one with many attributes.
func update(t *testing.T, r *router) frame {
	t.Helper()
	f, err := serialize(packet.NewBGPUpdateMessage([]*packet.IPAddrPrefix{packet.NewIPAddrPrefix(24, "203.0.113.0")}, []packet.PathAttributeInterface{
		packet.NewPathAttributeOrigin(0),
		packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAs4PathParam(2, []uint32{r.asn, 64999})}),
		packet.NewPathAttributeNextHop(r.id),
		packet.NewPathAttributeCommunities([]uint32{65535 << 16}),
		packet.NewPathAttributeMpReachNLRI("2001:db8::1", []packet.AddrPrefixInterface{packet.NewIPv6AddrPrefix(48, "2001:db8:1::")}),
	}, []*packet.IPAddrPrefix{packet.NewIPAddrPrefix(32, "192.0.2.10")}))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// mutate flips, cuts and repeats bytes behind the header.
func mutate(random *rand.Rand, valid frame) frame {
	m := slices.Clone(valid)
	for range 1 + random.IntN(8) {
		body := len(m) - packet.BGP_HEADER_LENGTH
		if body < 2 {
			break
		}
		at := packet.BGP_HEADER_LENGTH + random.IntN(body)
		switch random.IntN(4) {
		case 0:
			m[at] = byte(random.IntN(256))
		case 1:
			m[at] ^= 1 << random.IntN(8)
		case 2:
			m = slices.Delete(m, at, min(len(m), at+1+random.IntN(4)))
		case 3:
			if len(m) < 2048 {
				m = slices.Insert(m, at, m[at:min(len(m), at+1+random.IntN(32))]...)
			}
		}
	}
	return m
}

func checkHeap(t *testing.T, limit uint64) {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > limit {
		t.Errorf("%d MB are in use, want %d at most", m.HeapAlloc>>20, limit>>20)
	}
}
