package conns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// from is a pipe's end that seems to come from an address.
type from struct {
	net.Conn
	addr net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.addr }

func (c from) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

// host is a limiter under test, with its visitors' ends.
type host struct {
	*Limiter
	t      *testing.T
	others []net.Conn
}

func newHost(t *testing.T, o Options) *host {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{Limiter: l, t: t}
	t.Cleanup(func() {
		for _, c := range h.others {
			_ = c.Close()
		}
	})
	return h
}

func (h *host) visit(addr string) *Conn {
	a, b := net.Pipe()
	h.others = append(h.others, b)
	return h.admit(from{a, &net.TCPAddr{IP: net.ParseIP(addr), Port: 1000 + len(h.others)}})
}

// served is a connection that has had a request.
func (h *host) served(addr string) *Conn {
	c := h.visit(addr)
	c.Begin(time.Now())
	c.End(time.Now(), false)
	return c
}

func isOpen(c *Conn) bool {
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	return c.of != nil
}

func TestNetworkOf(t *testing.T) {
	for _, tt := range []struct{ name, addr, want string }{
		{"IPv4", "203.0.113.77", "203.0.113.0/24"},
		{"mapped", "::ffff:203.0.113.77", "203.0.113.0/24"},
		{"IPv6", "2001:db8:1:2:3::4", "2001:db8:1::/48"},
		{"zone", "fe80::1%eth0", "fe80::/48"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := NetworkOf(netip.MustParseAddr(tt.addr)).String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	if got := NetworkOf(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("of the zero Addr: %v", got)
	}
}

func TestRoomLeavesAReserve(t *testing.T) {
	for _, tt := range []struct{ descriptors, want int }{
		{64, 16}, {160, 64}, {1024, 768}, {20_000, 15_000}, {1 << 20, 3 << 18},
	} {
		t.Run(strconv.Itoa(tt.descriptors), func(t *testing.T) {
			if got := room(tt.descriptors); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// TestFullClosesTheIdlestOfTheLargestNetwork floods from one network and looks who is closed.
func TestFullClosesTheIdlestOfTheLargestNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{Max: 20, PerNetwork: 20})
		var good []*Conn
		for i := range 4 { // older than all others, but of networks of their own
			good = append(good, h.served(fmt.Sprintf("198.51.%d.1", i)))
		}
		var flood []*Conn
		for range 200 {
			time.Sleep(time.Millisecond)
			flood = append(flood, h.served("203.0.113.1"))
		}
		for i, c := range good {
			if !isOpen(c) {
				t.Errorf("visitor %d of another network was closed", i)
			}
		}
		for i, c := range flood {
			if want := i >= len(flood)-16; isOpen(c) != want {
				t.Errorf("connection %d of the flood: open is %v", i, !want)
			}
		}
		if got := testutil.ToFloat64(h.metrics.closed[full]); got != 184 {
			t.Errorf("%v closed, want 184", got)
		}
	})
}

func TestBusyConnectionsAreClosedLastAndTheSlowestOfThemFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{Max: 4, PerNetwork: 4})
		fast, slowly := h.visit("203.0.113.1"), h.visit("203.0.113.2")
		fast.Begin(time.Now())
		slowly.Begin(time.Now())
		fast.moved.Add(1 << 20)
		slowly.moved.Add(1 << 10)
		time.Sleep(10 * time.Second)
		older := h.served("203.0.113.3")
		time.Sleep(time.Second)
		newer := h.served("203.0.113.4")
		for i, want := range []*Conn{older, newer, slowly, fast} {
			if !isOpen(want) {
				t.Errorf("connection %d of the order was closed too early", i)
			}
			h.visit("203.0.113.5").Begin(time.Now())
			if isOpen(want) {
				t.Errorf("connection %d of the order is open after its turn", i)
			}
		}
	})
}

func TestNetworkLimit(t *testing.T) {
	h := newHost(t, Options{Max: 100, PerNetwork: 10})
	other := h.visit("2001:db8:2::1")
	var mine []*Conn
	for i := range 30 {
		mine = append(mine, h.visit(fmt.Sprintf("2001:db8:1:%x::1", i)))
	}
	open := 0
	for _, c := range mine {
		if isOpen(c) {
			open++
		}
	}
	if open != 10 || !isOpen(other) || !isOpen(mine[29]) {
		t.Errorf("%d of the network are open, want 10 with the newest; the other network's: %v", open, isOpen(other))
	}
}

// TestHandshakesAreBounded: connections without a request take at most half of the places.
func TestHandshakesAreBounded(t *testing.T) {
	h := newHost(t, Options{Max: 40, PerNetwork: 40})
	var served []*Conn
	for i := range 15 {
		c := h.visit(fmt.Sprintf("198.51.%d.1", i))
		c.Begin(time.Now())
		c.End(time.Now(), false)
		served = append(served, c)
	}
	for i := range 100 { // each from another network
		h.visit(fmt.Sprintf("203.0.%d.1", i))
	}
	if got := h.fresh.Load(); got != 20 {
		t.Errorf("%d connections without a request, want 20", got)
	}
	if i := slices.IndexFunc(served, func(c *Conn) bool { return !isOpen(c) }); i >= 0 {
		t.Errorf("connection %d, which had a request, was closed", i)
	}
}

func TestIdleAndStuckConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, Options{Max: 100, Idle: 10 * time.Second, Stall: 5 * time.Second})
		var run sync.WaitGroup
		run.Go(func() { _ = h.Run(t.Context()) })
		idler, busy, stuck := h.visit("203.0.113.1"), h.visit("203.0.113.2"), h.visit("203.0.113.3")
		busy.Begin(time.Now())
		stuck.Begin(time.Now())
		start := time.Now()
		if _, err := stuck.Write([]byte("nobody reads this")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("write: %v", err)
		}
		if took := time.Since(start); took < 5*time.Second || took > 8*time.Second {
			t.Errorf("a write that nobody reads took %v, want about 5 s", took)
		}
		time.Sleep(20 * time.Second)
		if isOpen(idler) || !isOpen(busy) {
			t.Errorf("after 20 s: idle open %v, busy open %v", isOpen(idler), isOpen(busy))
		}
	})
}

// TestNoiseEndsAConnection: what is read counts until a request ends.
func TestNoiseEndsAConnection(t *testing.T) {
	for _, tt := range []struct {
		name     string
		each     func(c *Conn)
		closedBy int // at most; 0: never
	}{
		{"frames that ask for nothing", func(*Conn) {}, maxNoise/readNoise + 1},
		{"cancelled requests", func(c *Conn) { c.Begin(time.Now()); c.End(time.Now(), true) }, maxNoise/cancelNoise + 1},
		{"requests", func(c *Conn) { c.Begin(time.Now()); c.End(time.Now(), false) }, 0},
		{"a long body", (*Conn).Progress, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, Options{Max: 10})
			c := h.visit("203.0.113.1")
			go func() {
				for { // until the connection is closed
					if _, err := h.others[0].Write([]byte("a ping")); err != nil {
						return
					}
				}
			}()
			buf := make([]byte, 64)
			for i := range 40_000 {
				if _, err := c.Read(buf); err != nil {
					if tt.closedBy == 0 || i > tt.closedBy {
						t.Errorf("closed after %d reads", i)
					}
					return
				}
				tt.each(c)
			}
			if tt.closedBy != 0 {
				t.Error("still open")
			}
		})
	}
}

// TestCountsAreRight opens and closes connections from many goroutines.
func TestCountsAreRight(t *testing.T) {
	h := newHost(t, Options{Max: 50, PerNetwork: 20})
	reg := prometheus.NewRegistry()
	reg.MustRegister(states{h.Limiter})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				a, b := net.Pipe()
				c := h.admit(from{a, &net.TCPAddr{IP: net.IPv4(203, 0, byte(i%7), byte(g)), Port: i}})
				if i%2 == 0 {
					c.Begin(time.Now())
					c.End(time.Now(), i%3 == 0)
				}
				if i%5 == 0 {
					h.moveTo(c, netip.AddrFrom4([4]byte{198, 51, byte(i), 1}))
				}
				if i%11 == 0 {
					c.Drop()
				}
				_, _ = c.Close(), b.Close()
			}
		})
	}
	wg.Wait()
	if h.total != 0 || h.fresh.Load() != 0 || len(h.byNet) != 0 {
		t.Errorf("%d connections, %d of them new, %d networks; want none", h.total, h.fresh.Load(), len(h.byNet))
	}
	if _, err := reg.Gather(); err != nil {
		t.Error(err)
	}
}

// TestSelfIsNeverClosed: the edge's own request passes a listener that is flooded from its own network.
func TestSelfIsNeverClosed(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			ln, err := net.Listen("tcp", addr)
			if err != nil {
				t.Skip(err)
			}
			h := newHost(t, Options{Max: 4, PerNetwork: 4})
			counted := h.Listen(ln)
			defer func() { _ = counted.Close() }()
			own, err := h.DialSelf(t.Context(), ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			served, err := counted.Accept()
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				c, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				h.others = append(h.others, c)
				if _, err := counted.Accept(); err != nil {
					t.Fatal(err)
				}
			}
			go func() { _, _ = own.Write([]byte("x")) }()
			if n, err := served.Read(make([]byte, 1)); n != 1 {
				t.Errorf("the edge's own connection: %v", err)
			}
			if h.total != 2 { // half of four, as none has had a request
				t.Errorf("%d connections counted, want 2", h.total)
			}
			_, _ = own.Close(), served.Close()
			if len(h.self) != 0 {
				t.Errorf("ports are still expected: %v", h.self)
			}
			for _, n := range h.byNet {
				for _, c := range slices.Clone(n.conns) {
					_ = c.Close()
				}
			}
		})
	}
}
