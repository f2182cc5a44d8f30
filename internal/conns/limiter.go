package conns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what New takes.
type Options struct {
	// Max bounds the connections of all listeners. Default: Room, but at most 65,536.
	Max int
	// PerNetwork bounds those of a client network. Default: a quarter of Max.
	PerNetwork int
	// Idle is how long a connection may have no request in flight, and none that came to an
	// end. Default 2 min 30 s.
	Idle time.Duration
	// Stall is how long one write of at most a TLS record may take. Default 30 s. It falls to
	// a tenth as the connections approach Max.
	Stall   time.Duration
	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil registers nothing
}

// Limiter bounds the connections of its listeners. Its methods are safe for concurrent use.
type Limiter struct {
	start   time.Time // connections are timed from here
	opts    Options
	log     *slog.Logger
	metrics *metrics
	tick    atomic.Int64 // seconds that Run has counted, from 1 on
	fresh   atomic.Int64 // connections without a request so far

	mu      sync.Mutex
	total   int                       // guarded by mu
	byNet   map[netip.Prefix]*network // guarded by mu
	self    map[uint16]struct{}       // ports of the edge's own requests; guarded by mu
	warned  time.Time                 // when the log was told of a lack of room; guarded by mu
	proxies warnings
}

// network is a client network and its connections.
type network struct {
	of    netip.Prefix
	conns []*Conn
}

// New returns a Limiter. It starts nothing.
func New(o Options) (*Limiter, error) {
	if o.Max <= 0 {
		o.Max = min(Room(), 1<<16)
	}
	if o.PerNetwork <= 0 {
		o.PerNetwork = max(8, o.Max/4)
	}
	o.PerNetwork = min(o.PerNetwork, o.Max)
	if o.Idle <= 0 {
		o.Idle = 150 * time.Second
	}
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	l := &Limiter{start: time.Now(), opts: o, log: o.Logger, byNet: make(map[netip.Prefix]*network), self: make(map[uint16]struct{})}
	l.tick.Store(1)
	l.proxies.log = o.Logger
	var err error
	l.metrics, err = newMetrics(o.Metrics, l)
	return l, err
}

// since is a time in nanoseconds since the start: the system's clock may jump.
func (l *Limiter) since(now time.Time) int64 { return int64(now.Sub(l.start)) }

// Max is how many connections there may be.
func (l *Limiter) Max() int { return l.opts.Max }

// Descriptors is how many files this process may have open. Go raises the soft limit to the
// hard one when a process starts.
func Descriptors() int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil || r.Cur > 1<<20 {
		return 1 << 20
	}
	return int(r.Cur)
}

// Room is how many connections the limit on open files has room for: a quarter of it, at
// least 96, is for everything else.
func Room() int { return room(Descriptors()) }

func room(n int) int { return max(16, n-max(96, n/4)) }

// NetworkOf is the network that an address counts for. That of an invalid one is the zero Prefix.
func NetworkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, _ := a.WithZone("").Prefix(bits) // of the zero Addr: zero
	return p
}

// Listen counts the connections that ln accepts. Their type is *Conn.
func (l *Limiter) Listen(ln net.Listener) net.Listener { return &listener{ln, l} }

type listener struct {
	net.Listener
	limiter *Limiter
}

// Accept implements net.Listener. A process that has no descriptor left closes connections
// and tries again, whatever took the descriptors.
func (ln *listener) Accept() (net.Conn, error) {
	for {
		c, err := ln.Listener.Accept()
		if err == nil {
			return ln.limiter.admit(c), nil
		}
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) || !ln.limiter.shed() {
			return nil, err
		}
	}
}

// admit adds a connection, and closes others if there are too many.
func (l *Limiter) admit(raw net.Conn) *Conn {
	c := &Conn{Conn: raw, limiter: l}
	c.served.Store(l.since(time.Now()))
	from := addrOf(raw.RemoteAddr())
	l.mu.Lock()
	if _, own := l.self[from.Port()]; own && from.Addr() == addrOf(raw.LocalAddr()).Addr() {
		l.mu.Unlock()
		c.greeted.Store(true) // it is not counted
		return c
	}
	victims, why := l.makeRoom(NetworkOf(from.Addr()))
	l.attach(c, NetworkOf(from.Addr()))
	l.fresh.Add(1)
	l.mu.Unlock()
	l.end(victims, why)
	return c
}

// moveTo counts a connection for the network of the visitor whom a balancer has named.
func (l *Limiter) moveTo(c *Conn, from netip.Addr) {
	to := NetworkOf(from)
	l.mu.Lock()
	if c.of == nil || c.of.of == to {
		l.mu.Unlock()
		return
	}
	l.detach(c)
	victims, why := l.makeRoom(to)
	l.attach(c, to)
	l.mu.Unlock()
	l.end(victims, why)
}

// attach adds c to a network. l.mu is held.
func (l *Limiter) attach(c *Conn, to netip.Prefix) {
	n := l.byNet[to]
	if n == nil {
		n = &network{of: to}
		l.byNet[to] = n
	}
	c.of, c.index = n, len(n.conns)
	n.conns = append(n.conns, c)
	l.total++
}

// detach takes c out of its network. l.mu is held.
func (l *Limiter) detach(c *Conn) bool {
	n := c.of
	if n == nil {
		return false
	}
	last := n.conns[len(n.conns)-1]
	n.conns[c.index], last.index = last, c.index
	n.conns[len(n.conns)-1] = nil
	n.conns = n.conns[:len(n.conns)-1]
	if len(n.conns) == 0 {
		delete(l.byNet, n.of)
	}
	c.of = nil
	l.total--
	return true
}

// forget ends the counting of c, once.
func (l *Limiter) forget(c *Conn) {
	l.mu.Lock()
	l.detach(c)
	l.mu.Unlock()
	if c.greeted.CompareAndSwap(false, true) {
		l.fresh.Add(-1)
	}
}

// drop closes a connection that misbehaves.
func (l *Limiter) drop(c *Conn, why reason) {
	l.mu.Lock()
	counted := l.detach(c)
	l.mu.Unlock()
	if counted {
		l.end([]*Conn{c}, why)
	}
}

// end closes connections that were taken out of their networks. l.mu is not held.
func (l *Limiter) end(victims []*Conn, why reason) {
	for _, c := range victims {
		l.metrics.closed[why].Inc()
		l.forget(c)
		c.abort()
	}
}

// Run looks after the connections once a second until ctx ends.
func (l *Limiter) Run(ctx context.Context) error {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-every.C:
			l.tick.Add(1)
			l.sweep(now)
		}
	}
}

// sweep closes connections that have been without a request for too long, or whose
// visitor does not read.
func (l *Limiter) sweep(now time.Time) {
	var idlers, stuck []*Conn
	l.mu.Lock()
	stall := l.opts.Stall
	if spare := l.opts.Max - l.total; spare < l.opts.Max/4 { // a tenth when there is no room at all
		stall = stall/10 + stall*9/10*time.Duration(max(0, spare))/time.Duration(max(1, l.opts.Max/4))
	}
	ticks := max(2, int64(stall/time.Second))
	for _, n := range l.byNet {
		for _, c := range n.conns {
			if began := c.writing.Load(); began != 0 && l.tick.Load()-began > ticks {
				stuck = append(stuck, c)
			} else if c.busy.Load() == 0 && l.since(now)-c.served.Load() > int64(l.opts.Idle) {
				idlers = append(idlers, c)
			}
		}
	}
	for _, c := range idlers {
		l.detach(c)
	}
	for _, c := range stuck {
		l.detach(c)
	}
	l.mu.Unlock()
	l.end(idlers, idle)
	l.end(stuck, slow)
}

func addrOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
