package bgp

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// router is the other end of a session on loopback. It speaks the packets, has no
// policy, and remembers what it was told; a test may make it say anything.
type router struct {
	t    *testing.T
	ln   net.Listener
	asn  uint32
	id   string
	caps []packet.ParameterCapabilityInterface

	// refuse is sent in place of the OPEN, if set.
	refuse *packet.BGPMessage

	mu      sync.Mutex
	conn    net.Conn
	table   map[netip.Prefix][]packet.PathAttributeInterface
	history []string // "announce P", "leaving P", "withdraw P", "notification C: TEXT"
	changes int      // of attributes of a route that it held
	changed chan struct{}
}

func newRouter(t *testing.T, address string, asn uint32, opts ...func(*router)) *router {
	t.Helper()
	ln, err := net.Listen("tcp4", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	r := &router{
		t: t, ln: ln, asn: asn, id: address,
		caps: []packet.ParameterCapabilityInterface{
			packet.NewCapMultiProtocol(packet.RF_IPv4_UC), packet.NewCapMultiProtocol(packet.RF_IPv6_UC), packet.NewCapFourOctetASNumber(asn),
		},
		table: make(map[netip.Prefix][]packet.PathAttributeInterface), changed: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(r)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			r.serve(conn)
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		r.mu.Lock()
		if r.conn != nil {
			_ = r.conn.Close()
		}
		r.mu.Unlock()
		wg.Wait()
	})
	return r
}

// neighbor is the router as an edge on 127.0.0.1 sees it.
func (r *router) neighbor() Neighbor {
	a := netip.MustParseAddrPort(r.ln.Addr().String())
	return Neighbor{Address: a.Addr(), Port: a.Port(), ASN: r.asn, LocalAddress: netip.MustParseAddr("127.0.0.1")}
}

func (r *router) serve(conn net.Conn) {
	r.note(func() { r.conn = conn })
	as := uint16(packet.AS_TRANS)
	if r.asn < 1<<16 {
		as = uint16(r.asn)
	}
	open := packet.NewBGPOpenMessage(as, 90, r.id, []packet.OptionParameterInterface{packet.NewOptionParameterCapability(r.caps)})
	if r.refuse != nil {
		open = r.refuse
	}
	r.send(open)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer func() {
		cancel()
		_ = conn.Close()
		wg.Wait()
		r.note(func() { clear(r.table) })
	}()
	for {
		m, err := readMessage(conn)
		if err != nil {
			return
		}
		switch body := m.Body.(type) {
		case *packet.BGPOpen:
			wg.Go(func() { r.keepalive(ctx) })
		case *packet.BGPUpdate:
			r.note(func() { r.update(body) })
		case *packet.BGPNotification:
			r.note(func() {
				text := "notification " + packet.NewNotificationErrorCode(body.ErrorCode, body.ErrorSubcode).String()
				if len(body.Data) > 1 && int(body.Data[0]) == len(body.Data)-1 { // RFC 9003
					text += ": " + string(body.Data[1:])
				}
				r.history = append(r.history, text)
			})
		}
	}
}

func (r *router) keepalive(ctx context.Context) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		r.send(packet.NewBGPKeepAliveMessage())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// send writes a message on the current session; a session that ended is no fault.
func (r *router) send(m *packet.BGPMessage) {
	b, err := m.Serialize()
	if err != nil {
		r.t.Error(err)
		return
	}
	r.write(b)
}

func (r *router) write(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		_, _ = r.conn.Write(b)
	}
}

// say announces prefixes as if this router had learned them.
func (r *router) say(prefixes ...string) {
	var nlri []*packet.IPAddrPrefix
	for _, p := range prefixes {
		p := netip.MustParsePrefix(p)
		nlri = append(nlri, packet.NewIPAddrPrefix(uint8(p.Bits()), p.Addr().String()))
	}
	r.send(packet.NewBGPUpdateMessage(nil, []packet.PathAttributeInterface{
		packet.NewPathAttributeOrigin(0),
		packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAs4PathParam(2, []uint32{r.asn, 64999})}),
		packet.NewPathAttributeNextHop(r.id),
	}, nlri))
}

// unsay withdraws them.
func (r *router) unsay(prefixes ...string) {
	var nlri []*packet.IPAddrPrefix
	for _, p := range prefixes {
		p := netip.MustParsePrefix(p)
		nlri = append(nlri, packet.NewIPAddrPrefix(uint8(p.Bits()), p.Addr().String()))
	}
	r.send(packet.NewBGPUpdateMessage(nlri, nil, nil))
}

// hangUp ends the session, and what was learned by it.
func (r *router) hangUp() {
	r.note(func() {
		_ = r.conn.Close()
		clear(r.table)
	})
}

func (r *router) note(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *router) update(u *packet.BGPUpdate) {
	verb := "announce "
	for _, a := range u.PathAttributes {
		if c, ok := a.(*packet.PathAttributeCommunities); ok {
			for _, v := range c.Value {
				if v == 65535<<16 {
					verb = "leaving "
				}
			}
		}
	}
	add := func(nlri packet.AddrPrefixInterface) {
		p := netip.MustParsePrefix(nlri.String())
		if had, ok := r.table[p]; ok && !reflect.DeepEqual(had, u.PathAttributes) {
			r.changes++
		}
		r.table[p] = u.PathAttributes
		r.history = append(r.history, verb+nlri.String())
	}
	del := func(nlri packet.AddrPrefixInterface) {
		delete(r.table, netip.MustParsePrefix(nlri.String()))
		r.history = append(r.history, "withdraw "+nlri.String())
	}
	for _, p := range u.WithdrawnRoutes {
		del(p)
	}
	for _, p := range u.NLRI {
		add(p)
	}
	for _, a := range u.PathAttributes {
		switch a := a.(type) {
		case *packet.PathAttributeMpReachNLRI:
			for _, p := range a.Value {
				add(p)
			}
		case *packet.PathAttributeMpUnreachNLRI:
			for _, p := range a.Value {
				del(p)
			}
		}
	}
}

// wait returns when ok does, which is asked after each thing the router hears.
func (r *router) wait(what string, ok func(*router) bool) {
	r.t.Helper()
	deadline := time.After(3 * time.Minute)
	for {
		r.mu.Lock()
		met, changed := ok(r), r.changed
		r.mu.Unlock()
		if met {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.t.Fatalf("%s: never; the router heard %q", what, r.history)
		}
	}
}

func (r *router) holds(prefixes ...string) func(*router) bool {
	return func(r *router) bool {
		for _, p := range prefixes {
			if _, ok := r.table[netip.MustParsePrefix(p)]; !ok {
				return false
			}
		}
		return len(r.table) == len(prefixes)
	}
}

func (r *router) heard() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.history...)
}

func readMessage(conn net.Conn) (*packet.BGPMessage, error) {
	head := make([]byte, packet.BGP_HEADER_LENGTH)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	b := append(head, make([]byte, int(binary.BigEndian.Uint16(head[16:]))-len(head))...)
	if _, err := io.ReadFull(conn, b[len(head):]); err != nil {
		return nil, err
	}
	return packet.ParseBGPMessage(b)
}
