package bgp

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// visitors are one more each time they are counted, while they come.
type visitors struct {
	come  atomic.Pointer[func() bool] // nil: not
	count atomic.Uint64
}

func (v *visitors) Arrived() uint64 {
	if come := v.come.Load(); come != nil && (*come)() {
		v.count.Add(1)
	}
	return v.count.Load()
}

func (v *visitors) while(come func() bool) { v.come.Store(&come) }

func always() bool { return true }

func never() bool { return false }

const adminShutdown = "notification code 6(cease) subcode 2(administrative shutdown)"

// heardLast reports what a router heard at last.
func heardLast(want string) func(*router) bool {
	return func(r *router) bool { return len(r.history) > 0 && r.history[len(r.history)-1] == want }
}

// TestLateVisitors has visitors go on coming after the withdrawal, as they do behind a
// router that has lost it: the sessions are ended in order, with all routers, and come
// back with the routes.
func TestLateVisitors(t *testing.T) {
	const withdrawn, ended = "withdraw 192.0.2.10/32", adminShutdown + ": withdrawn, and visitors still come"
	unready := func(_ *testing.T, e *edge) { e.SetHealth(false, "store") }
	ready := func(_ *testing.T, e *edge) { e.SetHealth(true, "") }
	for _, tt := range []struct {
		name        string
		keep, late  bool                    // late: visitors come when the withdrawal is long over
		leave, back func(*testing.T, *edge) // back: nil where another row has it: it takes 5 s
		want        string
	}{
		{name: "drain", leave: drain, want: "drained by the operator; the sessions are ended, as visitors came after the withdrawal"},
		{name: "drain, and later", late: true, leave: drain, want: "drained by the operator; the sessions are ended, as visitors came after the withdrawal"},
		{name: "not ready", leave: unready, back: ready, want: "store; the sessions are ended, as visitors came after the withdrawal"},
		{name: "by other routes", keep: true, leave: drain, back: undrain, want: "drained by the operator; visitors still come"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			one, two := newRouter(t, "127.0.0.2", 64512), newRouter(t, "127.0.0.3", 64513)
			o := example(one, two)
			v := new(visitors)
			o.Visitors, o.KeepSessions = v, tt.keep
			e := startEdge(t, o)
			e.SetHealth(true, "")
			one.wait("route", one.holds("192.0.2.10/32"))
			two.wait("route", two.holds("192.0.2.10/32"))
			untilEnd := func() bool { return !slices.Contains(one.heard(), ended) || !slices.Contains(two.heard(), ended) }
			if !tt.late {
				v.while(untilEnd)
			}
			tt.leave(t, e)
			if tt.late {
				if s := e.Status(); s.State != Drained || s.SessionsEnded {
					t.Errorf("drained: %+v", s)
				}
				v.while(untilEnd)
			}
			e.wait(tt.want, func(s Status) bool { return s.Reason == tt.want && s.SessionsEnded == !tt.keep })
			for _, r := range []*router{one, two} {
				last := ended
				if tt.keep {
					last = withdrawn
				}
				r.wait(last, heardLast(last))
				if h := r.heard(); !slices.Contains(h, withdrawn) {
					t.Errorf("the session ended without a withdrawal: %q", h)
				}
			}
			if tt.back == nil {
				return
			}
			tt.back(t, e)
			one.wait("route again", one.holds("192.0.2.10/32"))
			two.wait("route again", two.holds("192.0.2.10/32"))
			e.wait("announcing", func(s Status) bool { return established(s) && !s.SessionsEnded && s.State == Announcing })
		})
	}
}

// TestOtherRoute has visitors come although the sessions are ended: the drain ends, and
// the status says that another route leads here.
func TestOtherRoute(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	v := new(visitors)
	o.Visitors = v
	e := startEdge(t, o)
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	v.while(always)
	drain(t, e)
	e.wait("another route", func(s Status) bool {
		return s.State == Drained && strings.Contains(s.Reason, "another route leads here") && s.LateVisitors > 0
	})
}

func drain(t *testing.T, e *edge) {
	t.Helper()
	if err := e.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func undrain(t *testing.T, e *edge) {
	t.Helper()
	if err := e.Undrain(); err != nil {
		t.Error(err)
	}
}

// TestNoLateVisitors: sessions outlast a drain and a loss of readiness when visitors
// follow, and those before the edge first announced prove nothing.
func TestNoLateVisitors(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	v := new(visitors)
	v.while(always)
	o.Visitors = v
	e := startEdge(t, o)
	e.wait("session", established)
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	v.while(never)
	drain(t, e)
	undrain(t, e)
	r.wait("route again", r.holds("192.0.2.10/32"))
	e.SetHealth(false, "test")
	r.wait("withdrawal", r.holds())
	e.SetHealth(true, "")
	r.wait("route again", r.holds("192.0.2.10/32"))
	if s := e.Status(); s.Neighbors[0].Lost > 0 || !established(s) {
		t.Errorf("a session was ended: %+v", s)
	}
}

// TestUndrainWhileEnded takes a drain back while its sessions are being ended: they come back.
func TestUndrainWhileEnded(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	v := new(visitors)
	o.Visitors = v
	e := startEdge(t, o)
	e.SetHealth(true, "")
	v.while(always)
	r.wait("route", r.holds("192.0.2.10/32"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = e.Drain(ctx) // does not wait
	e.wait("ended", func(s Status) bool { return s.SessionsEnded && s.State == Withdrawing })
	undrain(t, e)
	r.wait("end of the session", r.holds())
	r.wait("route again", r.holds("192.0.2.10/32"))
	e.wait("announcing", func(s Status) bool { return established(s) && !s.SessionsEnded && s.State == Announcing })
}

// TestRefusedWhileEnded has a router connect to an edge that ended the session: it is told.
func TestRefusedWhileEnded(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	o.ListenPort = freePortNumber(t)
	v := new(visitors)
	o.Visitors = v
	e := startEdge(t, o)
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	v.while(always)
	drain(t, e)
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.2:0"))}
	conn, err := d.DialContext(t.Context(), "tcp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), o.ListenPort).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it was read
	m, err := readMessage(conn)
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := m.Body.(*packet.BGPNotification); !ok || n.ErrorCode != packet.BGP_ERROR_CEASE || n.ErrorSubcode != packet.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN {
		t.Errorf("the router got %+v", m.Body)
	}
}

// TestNoGracefulShutdown: one router gets the step before the withdrawal, another one that
// damps routes does not, and sees the same attributes until the withdrawal.
func TestNoGracefulShutdown(t *testing.T) {
	for _, communities := range [][]string{nil, {"64512:7"}} {
		t.Run(strings.Join(communities, " "), func(t *testing.T) {
			asked, damps := newRouter(t, "127.0.0.2", 64512), newRouter(t, "127.0.0.3", 65001) // iBGP has a local preference
			o := example(asked, damps)
			o.Neighbors[1].NoGracefulShutdown = true
			o.Neighbors[0].Communities, o.Neighbors[1].Communities = communities, communities
			e := startEdge(t, o)
			e.SetHealth(true, "")
			asked.wait("route", asked.holds("192.0.2.10/32"))
			damps.wait("route", damps.holds("192.0.2.10/32"))
			left := make(chan error, 1)
			go func() { left <- e.Drain(t.Context()) }()
			asked.wait("leaving", func(r *router) bool { return slices.Contains(r.history, "leaving 192.0.2.10/32") })
			damps.wait("withdrawal", func(r *router) bool { return slices.Contains(r.history, "withdraw 192.0.2.10/32") })
			if err := <-left; err != nil {
				t.Error(err)
			}
			damps.mu.Lock()
			defer damps.mu.Unlock()
			if damps.changes > 0 {
				t.Errorf("the router that damps saw attributes change: %q", damps.history)
			}
		})
	}
}

func freePortNumber(t *testing.T) uint16 {
	t.Helper()
	a, err := freePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a.Port()
}
