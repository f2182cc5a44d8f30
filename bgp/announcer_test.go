package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	const server = "github.com/osrg/gobgp/v3/pkg/server."
	goleak.VerifyTestMain(m,
		// GoBGP has no way to end the main loop of a stopped server ...
		goleak.IgnoreAnyFunction(server+"(*BgpServer).Serve"),
		// ... nor the queues it keeps: each has a goroutine.
		goleak.IgnoreAnyFunction("github.com/eapache/channels.(*InfiniteChannel).infiniteBuffer"),
	)
}

// edge is a running announcer and all it said of itself.
type edge struct {
	*Announcer
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	changed chan struct{}
}

func example(routers ...*router) Options {
	o := Options{
		ASN: 65001, RouterID: netip.MustParseAddr("198.51.100.7"),
		Prefixes:     []netip.Prefix{netip.MustParsePrefix("192.0.2.10/32")},
		ShutdownWait: 100 * time.Millisecond, WithdrawWait: 100 * time.Millisecond,
	}
	for _, r := range routers {
		o.Neighbors = append(o.Neighbors, r.neighbor())
	}
	return o
}

func startEdge(t *testing.T, o Options) *edge {
	t.Helper()
	e := &edge{t: t, done: make(chan struct{}), changed: make(chan struct{})}
	o.OnChange = func(Status) {
		e.mu.Lock()
		defer e.mu.Unlock()
		close(e.changed)
		e.changed = make(chan struct{})
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	e.Announcer = a
	ctx, cancel := context.WithCancel(t.Context())
	e.stop = cancel
	go func() {
		defer close(e.done)
		if err := a.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		a.SetHealth(false, "end of test") // waits for nothing
		cancel()
		<-e.done
	})
	return e
}

func (e *edge) wait(what string, ok func(Status) bool) Status {
	e.t.Helper()
	deadline := time.After(3 * time.Minute)
	tick := time.NewTicker(50 * time.Millisecond) // for Ignored, of which no change tells
	defer tick.Stop()
	for {
		e.mu.Lock()
		changed := e.changed
		e.mu.Unlock()
		s := e.Status()
		if ok(s) {
			return s
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-deadline:
			e.t.Fatalf("%s: never; the status is %+v", what, s)
		}
	}
}

func established(s Status) bool {
	return !slices.ContainsFunc(s.Neighbors, func(n NeighborStatus) bool { return !n.Established })
}

func TestAnnouncesOnlyWhileHealthy(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	reg := prometheus.NewPedanticRegistry()
	o.Metrics = reg
	e := startEdge(t, o)

	s := e.wait("session", established)
	if s.State != Unhealthy || s.Reason != "no word about its health yet" || len(s.Neighbors[0].Announced) != 0 {
		t.Errorf("before any word: %+v", s)
	}
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	s = e.wait("announcing", func(s Status) bool { return len(s.Neighbors[0].Announced) == 1 })
	if s.State != Announcing || s.Reason != "" || s.Neighbors[0].Reason != "" {
		t.Errorf("while healthy: %+v", s)
	}
	want := `
		# HELP terrane_bgp_neighbor_announced_prefixes Prefixes that the neighbor holds of this edge.
		# TYPE terrane_bgp_neighbor_announced_prefixes gauge
		terrane_bgp_neighbor_announced_prefixes{neighbor="127.0.0.2"} 1
	`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "terrane_bgp_neighbor_announced_prefixes"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}

	e.SetHealth(false, "store: not mirrored")
	r.wait("withdrawal", r.holds())
	s = e.wait("unhealthy", func(s Status) bool { return len(s.Neighbors[0].Announced) == 0 })
	if s.State != Unhealthy || s.Reason != "store: not mirrored" || !established(s) {
		t.Errorf("while unhealthy: %+v", s)
	}
	e.SetHealth(true, "")
	r.wait("route again", r.holds("192.0.2.10/32"))
	if got, want := r.heard(), []string{"announce 192.0.2.10/32", "withdraw 192.0.2.10/32", "announce 192.0.2.10/32"}; !slices.Equal(got, want) {
		t.Errorf("the router heard %q, want %q", got, want)
	}
}

func TestDrainOrder(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	e := startEdge(t, o)
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))

	begin := time.Now()
	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d < o.ShutdownWait+o.WithdrawWait {
		t.Errorf("drained after %v: the waits are %v and %v", d, o.ShutdownWait, o.WithdrawWait)
	}
	if s := e.Status(); s.State != Drained || s.Reason != "drained by the operator" {
		t.Errorf("drained: %+v", s)
	}
	want := []string{"announce 192.0.2.10/32", "leaving 192.0.2.10/32", "withdraw 192.0.2.10/32"}
	if got := r.heard(); !slices.Equal(got, want) {
		t.Errorf("the router heard %q, want %q", got, want)
	}
	e.SetHealth(false, "x")
	e.SetHealth(true, "") // changes nothing while drained
	if err := e.Drain(t.Context()); err != nil {
		t.Errorf("a second drain: %v", err)
	}
	if err := e.Undrain(); err != nil {
		t.Error(err)
	}
	r.wait("route after undrain", r.holds("192.0.2.10/32"))
	if got := r.heard(); !slices.Equal(got, append(want, "announce 192.0.2.10/32")) {
		t.Errorf("the router heard %q", got)
	}
}

func TestUndrainEndsDrain(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	o.ShutdownWait = time.Hour
	e := startEdge(t, o)
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	e.wait("announced", func(s Status) bool { return len(s.Neighbors[0].Announced) == 1 })

	drained := make(chan error)
	go func() { drained <- e.Drain(t.Context()) }()
	e.wait("draining", func(s Status) bool { return s.State == Draining })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a drain that nobody waits for: %v", err)
	}
	if err := e.Undrain(); err != nil {
		t.Error(err)
	}
	if err := <-drained; !errors.Is(err, errUndrained) {
		t.Errorf("drain: %v", err)
	}
	r.wait("route without the community", func(r *router) bool {
		return len(r.history) > 2 && r.history[len(r.history)-1] == "announce 192.0.2.10/32"
	})
}

func TestRunWithdrawsBeforeItReturns(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 64512)
	e := startEdge(t, example(r))
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	e.stop()
	<-e.done
	r.wait("end", func(r *router) bool { return len(r.history) == 4 })
	want := []string{"announce 192.0.2.10/32", "leaving 192.0.2.10/32", "withdraw 192.0.2.10/32", adminShutdown + ": the edge stops"}
	if got := r.heard(); !slices.Equal(got, want) {
		t.Errorf("the router heard %q, want %q", got, want)
	}
	if s := e.Status(); s.State != Stopped {
		t.Errorf("after Run: %+v", s)
	}
}

// TestNeverTransits has one router send what it likes, while another listens.
func TestNeverTransits(t *testing.T) {
	hostile, other := newRouter(t, "127.0.0.2", 64512), newRouter(t, "127.0.0.3", 64513)
	e := startEdge(t, example(hostile, other))
	e.wait("sessions", established)
	e.SetHealth(true, "")
	own := "192.0.2.10/32"
	for _, r := range []*router{hostile, other} {
		r.wait("route", r.holds(own))
	}
	hostile.say("203.0.113.0/24", "0.0.0.0/0", "192.0.2.0/24")
	hostile.say(own)
	hostile.unsay(own, "203.0.113.0/24")
	hostile.say("198.18.0.0/15")
	hostile.hangUp() // and the session breaks

	e.wait("session lost", func(s Status) bool { return s.Neighbors[0].Lost == 1 && s.Neighbors[0].Ignored == 4 })
	e.wait("session again", established)
	hostile.wait("route again", hostile.holds(own))
	if got := other.heard(); !slices.Equal(got, []string{"announce " + own}) {
		t.Errorf("the other router heard %q", got)
	}
}

func TestAttributes(t *testing.T) {
	r, internal := newRouter(t, "127.0.0.2", 4200000001), newRouter(t, "127.0.0.3", 65001)
	o := example(r, internal)
	o.Prefixes = append(o.Prefixes, netip.MustParsePrefix("2001:db8::10/128"), netip.MustParsePrefix("192.0.2.11/32"))
	med, pref := uint32(0), uint32(250)
	n := &o.Neighbors[0]
	n.NextHops = []netip.Addr{netip.MustParseAddr("198.51.100.9"), netip.MustParseAddr("2001:db8::9")}
	n.Communities = []string{"64512:7", "no-export", "64512:1:2"}
	n.MED, n.Prepend = &med, 2
	o.Neighbors[1].LocalPref = &pref
	e := startEdge(t, o)
	e.SetHealth(true, "")
	r.wait("routes", r.holds("192.0.2.10/32", "192.0.2.11/32", "2001:db8::10/128"))
	internal.wait("routes", internal.holds("192.0.2.10/32", "192.0.2.11/32"))

	check := func(r *router, prefix string, want ...string) {
		t.Helper()
		r.mu.Lock()
		defer r.mu.Unlock()
		got := fmt.Sprint(r.table[netip.MustParsePrefix(prefix)])
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is not in %s", prefix, w, got)
			}
		}
	}
	check(r, "192.0.2.10/32", "198.51.100.9", "65001 65001 65001", "64512:7", "no-export", "64512:1:2", "{Med: 0}")
	check(r, "2001:db8::10/128", "2001:db8::9", "64512:7")
	check(internal, "192.0.2.10/32", "{Nexthop: 127.0.0.1}", "{LocalPref: 250}")

	if err := e.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	internal.wait("withdrawal", internal.holds())
	if !slices.Contains(internal.heard(), "leaving 192.0.2.10/32") {
		t.Errorf("the router heard %q", internal.heard())
	}
}

func TestDrainLowersLocalPref(t *testing.T) {
	r := newRouter(t, "127.0.0.2", 65001)
	o := example(r)
	pref := uint32(250)
	o.Neighbors[0].LocalPref = &pref
	o.ShutdownWait = time.Hour
	e := startEdge(t, o)
	e.SetHealth(true, "")
	r.wait("route", r.holds("192.0.2.10/32"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = e.Drain(ctx)
	r.wait("local preference 0", func(r *router) bool {
		return strings.Contains(fmt.Sprint(r.table[netip.MustParsePrefix("192.0.2.10/32")]), "{LocalPref: 0}")
	})
}

func TestReasons(t *testing.T) {
	reason := func(want string) func(Status) bool {
		return func(s Status) bool { return strings.Contains(s.Neighbors[0].Reason, want) }
	}
	t.Run("wrong AS", func(t *testing.T) {
		o := example(newRouter(t, "127.0.0.2", 64512))
		o.Neighbors[0].ASN = 64513
		startEdge(t, o).wait("reason", reason("the router is in AS 64512, not AS 64513"))
	})
	t.Run("wrong AS of ours", func(t *testing.T) {
		r := newRouter(t, "127.0.0.2", 64512, func(r *router) {
			r.refuse = packet.NewBGPNotificationMessage(packet.BGP_ERROR_OPEN_MESSAGE_ERROR, packet.BGP_ERROR_SUB_BAD_PEER_AS, nil)
		})
		startEdge(t, example(r)).wait("reason", reason("the router refused the session, code 2(open) subcode 2(bad peer as): see that it expects AS 65001 from 127.0.0.1"))
	})
	t.Run("nobody there", func(t *testing.T) {
		r := newRouter(t, "127.0.0.2", 64512)
		_ = r.ln.Close()
		startEdge(t, example(r)).wait("reason", reason("connection refused"))
	})
	t.Run("same router id", func(t *testing.T) {
		r := newRouter(t, "127.0.0.2", 65001, func(r *router) { r.id = "198.51.100.7" })
		startEdge(t, example(r)).wait("reason", reason("the router has the router id 198.51.100.7, which is this edge's own"))
	})
	t.Run("shut down by the other side", func(t *testing.T) {
		r := newRouter(t, "127.0.0.2", 64512)
		e := startEdge(t, example(r))
		e.wait("session", established)
		r.send(packet.NewBGPNotificationMessage(packet.BGP_ERROR_CEASE, packet.BGP_ERROR_SUB_ADMINISTRATIVE_SHUTDOWN, append([]byte{11}, "maintenance"...)))
		e.wait("reason", reason(`administrative shutdown), "maintenance"`))
	})
	t.Run("silent router", func(t *testing.T) {
		r := newRouter(t, "127.0.0.2", 64512)
		e := startEdge(t, example(r))
		e.wait("session", established)
		r.mu.Lock() // sends nothing
		defer r.mu.Unlock()
		e.wait("reason", reason("fell silent"))
	})
	t.Run("family not taken", func(t *testing.T) {
		r := newRouter(t, "127.0.0.2", 64512, func(r *router) { r.caps = r.caps[:1] })
		o := example(r)
		o.Prefixes = append(o.Prefixes, netip.MustParsePrefix("2001:db8::10/128"))
		o.Neighbors[0].NextHops = []netip.Addr{netip.MustParseAddr("2001:db8::9")}
		e := startEdge(t, o)
		e.SetHealth(true, "")
		e.wait("reason", reason("does not take IPv6 routes"))
		r.wait("the other family", r.holds("192.0.2.10/32"))
	})
	t.Run("port taken", func(t *testing.T) {
		ln, err := net.Listen("tcp4", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ln.Close() }()
		o := example(newRouter(t, "127.0.0.2", 64512))
		o.ListenPort = netip.MustParseAddrPort(ln.Addr().String()).Port()
		startEdge(t, o).wait("reason", func(s Status) bool {
			return s.State == Starting && strings.Contains(s.Reason, "address already in use: free the port")
		})
	})
}

func TestPassive(t *testing.T) {
	ln, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	port := netip.MustParseAddrPort(ln.Addr().String()).Port()
	_ = ln.Close()
	r := newRouter(t, "127.0.0.2", 64512)
	o := example(r)
	o.Neighbors[0].Passive, o.ListenPort = true, port
	e := startEdge(t, o)
	e.SetHealth(true, "")
	e.wait("waiting", func(s Status) bool {
		return s.State == Announcing && s.Neighbors[0].Reason == "waiting for the router to connect"
	})
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wg.Go(func() {
		// The first ones may find the session still idle, and be closed.
		for ctx.Err() == nil {
			conn, err := dialer.DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			r.serve(conn)
			stop()
		}
	})
	r.wait("route", r.holds("192.0.2.10/32"))
}

func TestRunTwice(t *testing.T) {
	e := startEdge(t, example(newRouter(t, "127.0.0.2", 64512)))
	e.wait("running", func(s Status) bool { return s.State != Stopped })
	if err := e.Run(t.Context()); !errors.Is(err, errRunning) {
		t.Errorf("a second Run: %v", err)
	}
}
