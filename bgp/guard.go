package bgp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	packet "github.com/osrg/gobgp/v3/pkg/packet/bgp"
)

// guard holds the session with one router on the outside and one with GoBGP on
// loopback, and passes messages between them. GoBGP keeps routes it rejects,
// queues without bound, and panics on a message of unknown type; so of what
// a router says, only this passes: an OPEN of known capabilities, KEEPALIVE,
// NOTIFICATION, and ROUTE-REFRESH. Updates end here, in constant memory.
//
// It also knows what GoBGP does not tell: why a session failed, and what the
// router really holds.
type guard struct {
	n     *Neighbor
	opts  *Options
	inner netip.AddrPort // GoBGP's listener
	self  netip.Addr     // the neighbor, as GoBGP knows it
	key   string         // of the inner session

	incoming chan net.Conn // from the listener, if any
	gate     gate
	sess     *session
	tried    time.Time // last dialed
}

const (
	openTimeout  = 30 * time.Second // for the router's OPEN
	innerTimeout = 15 * time.Second // GoBGP refuses while it is idle after a failure: up to 5 s
	innerLife    = 3 * time.Minute  // GoBGP gives up after 4 without an OPEN
	innerRetry   = 100 * time.Millisecond
	writeTimeout = 10 * time.Second
	dialTimeout  = 5 * time.Second
	lastWords    = time.Second
	// What a router may make GoBGP do: it proves once per aliveEvery that it lives, and
	// one ROUTE-REFRESH is answered per refreshEvery. Then its messages are read later.
	aliveEvery   = time.Second / 2
	refreshEvery = 100 * time.Millisecond
)

// run holds sessions until the context ends. GoBGP comes first: a router that is
// connected while GoBGP is idle would give up for want of an OPEN, again and again.
func (g *guard) run(ctx context.Context) {
	for ctx.Err() == nil {
		session := g.gate.enter(ctx)
		if session == nil {
			return
		}
		g.once(session)
		g.gate.leave()
	}
}

// once is one session, or an attempt.
func (g *guard) once(ctx context.Context) {
	inner, open, err := g.dialInner(ctx)
	switch {
	case err == nil:
		if outer := g.reach(ctx); outer != nil {
			r := relay{guard: g, outer: outer, inner: inner}
			g.sess.fail(r.run(ctx, open))
		}
		_ = inner.Close()
	case ctx.Err() == nil:
		g.sess.fail(err.Error())
	}
	if s, ok := errors.AsType[*shutdown](context.Cause(ctx)); ok {
		g.sess.fail(s.Error())
	}
}

// reach tries to connect for as long as GoBGP waits.
func (g *guard) reach(ctx context.Context) net.Conn {
	ctx, cancel := context.WithTimeout(ctx, innerLife)
	defer cancel()
	for ctx.Err() == nil {
		wait := g.n.ConnectRetry - time.Since(g.tried)
		if conn := g.connect(ctx, wait); conn != nil {
			return conn
		}
	}
	return nil
}

// connect returns a connection with the router, made by either side, or nil
// after one attempt, which begins after the wait.
func (g *guard) connect(ctx context.Context, wait time.Duration) net.Conn {
	dialing, cancel := context.WithCancel(ctx)
	dialed := make(chan net.Conn, 1)
	go func() {
		defer close(dialed)
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-dialing.Done():
			return
		}
		if g.n.Passive {
			<-dialing.Done()
			return
		}
		g.tried = time.Now()
		conn, err := g.dial(dialing)
		switch {
		case err == nil:
			dialed <- conn
		case dialing.Err() == nil:
			g.sess.fail(connectReason(err))
		}
	}()
	defer cancel()
	select {
	case conn := <-dialed:
		return conn
	case conn := <-g.incoming:
		cancel()
		if late := <-dialed; late != nil {
			_ = late.Close()
		}
		return conn
	}
}

func (g *guard) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Control: control(g.n, g.opts, g.n.Address)}
	d.SetMultipathTCP(false)
	if g.n.LocalAddress.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(g.n.LocalAddress, 0))
	}
	return d.DialContext(ctx, "tcp", netip.AddrPortFrom(g.n.Address, g.n.Port).String())
}

// dialInner connects to GoBGP and returns its OPEN.
func (g *guard) dialInner(ctx context.Context) (net.Conn, frame, error) {
	ctx, cancel := context.WithTimeout(ctx, innerTimeout)
	defer cancel()
	inner := &Neighbor{Password: g.key}
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(g.self, 0)),
		Control:   control(inner, g.opts, g.inner.Addr()),
	}
	d.SetMultipathTCP(false)
	for {
		conn, err := d.DialContext(ctx, "tcp4", g.inner.String())
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			open, err := readFrame(conn)
			if err == nil && stop() {
				return conn, open, nil
			}
			_ = conn.Close()
		}
		retry := time.NewTimer(innerRetry)
		select {
		case <-ctx.Done():
			retry.Stop()
			return nil, nil, errors.New("this edge's speaker does not take the session")
		case <-retry.C:
		}
	}
}

// relay is one session.
type relay struct {
	*guard
	outer, inner net.Conn
	local        netip.Addr // of the outer connection

	mu     sync.Mutex
	reason string // the first
	ours   bool   // GoBGP has taken the router's OPEN
	theirs bool   // the router has taken ours
	over   bool   // a NOTIFICATION went to the router
}

// run passes messages until one side ends, and returns why.
func (r *relay) run(ctx context.Context, open frame) string {
	if a, ok := r.outer.LocalAddr().(*net.TCPAddr); ok {
		r.local = a.AddrPort().Addr().Unmap()
	}
	stop := context.AfterFunc(ctx, func() {
		// What GoBGP said at last still goes out.
		soon := time.Now().Add(lastWords)
		_ = r.inner.SetReadDeadline(soon)
		_ = r.outer.SetReadDeadline(soon)
		if s, ok := errors.AsType[*shutdown](context.Cause(ctx)); ok {
			r.because(s.Error())
			_ = r.outer.SetWriteDeadline(soon) // also of a write under way
			r.notify(s.notification())
		}
	})
	defer stop()
	defer r.outer.Close() //nolint:errcheck // what it says is of no use
	defer r.close()

	var wg sync.WaitGroup
	wg.Go(func() {
		defer r.close()
		r.because(r.speak(open))
	})
	wg.Go(func() {
		defer r.close()
		r.because(r.listen())
		r.discard()
	})
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason
}

// close ends both sides. The outer one is read for a little longer after a
// NOTIFICATION: a connection that is closed with data unread is reset, and the router
// might never read what it was sent.
func (r *relay) close() {
	_ = r.inner.Close()
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if !over {
		_ = r.outer.Close()
	}
}

// notify sends the router a NOTIFICATION, the last message of the session.
func (r *relay) notify(f frame) {
	r.mu.Lock()
	r.over = true
	_ = r.outer.SetReadDeadline(time.Now().Add(lastWords))
	r.mu.Unlock()
	_ = write(r.outer, f, lastWords)
	if c, ok := r.outer.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	_ = r.inner.Close()
}

// discard reads what a router still sends after the end, for a moment.
func (r *relay) discard() {
	r.mu.Lock()
	over := r.over
	r.mu.Unlock()
	if over {
		_, _ = io.Copy(io.Discard, r.outer) // notify has set the deadline
	}
}

// unhurried ends the deadline of the router's OPEN.
func (r *relay) unhurried() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		_ = r.outer.SetReadDeadline(time.Time{})
	}
}

// because keeps the first reason.
func (r *relay) because(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason == "" {
		r.reason = reason
	}
}

func (r *relay) accepted(ours, theirs bool) {
	r.mu.Lock()
	r.ours, r.theirs = r.ours || ours, r.theirs || theirs
	both := r.ours && r.theirs
	r.mu.Unlock()
	if both {
		r.sess.up()
	}
}

// speak passes on what GoBGP says.
func (r *relay) speak(f frame) string {
	for {
		if f.kind() == packet.BGP_MSG_UPDATE {
			f.setNextHop(r.local)
		}
		if f.kind() == packet.BGP_MSG_NOTIFICATION {
			r.because(r.sentReason(f))
			r.notify(f)
			return "session closed by this edge"
		}
		if err := write(r.outer, f, writeTimeout); err != nil {
			return "session lost: " + err.Error()
		}
		switch f.kind() {
		case packet.BGP_MSG_KEEPALIVE:
			r.accepted(true, false)
		case packet.BGP_MSG_UPDATE:
			r.sess.sentUpdate(f)
		}
		var err error
		if f, err = readFrame(r.inner); err != nil {
			return "session closed by this edge"
		}
	}
}

// listen passes on what GoBGP may hear of what the router says.
func (r *relay) listen() string {
	_ = r.outer.SetReadDeadline(time.Now().Add(openTimeout))
	first, err := readFrame(r.outer)
	if err != nil {
		return r.lost(err)
	}
	r.unhurried() // from here GoBGP's hold timer watches
	if first.kind() == packet.BGP_MSG_NOTIFICATION {
		return r.refusal(first)
	}
	clean, open, err := cleanOpen(first)
	if err != nil {
		return r.lost(err)
	}
	r.sess.opened(open)
	if err := write(r.inner, clean, writeTimeout); err != nil {
		return "session closed by this edge"
	}
	var alive, refreshed time.Time
	for {
		f, err := readFrame(r.outer)
		if err != nil {
			return r.lost(err)
		}
		switch f.kind() {
		case packet.BGP_MSG_KEEPALIVE:
			r.accepted(false, true)
			if time.Since(alive) < aliveEvery {
				continue
			}
		case packet.BGP_MSG_NOTIFICATION:
			r.because(r.refusal(f)) // before GoBGP ends the inner session for it
			_ = write(r.inner, f, writeTimeout)
			return ""
		case packet.BGP_MSG_UPDATE:
			r.sess.ignore()
			// It proves that the router lives, and may come in place of a KEEPALIVE.
			if time.Since(alive) < aliveEvery {
				continue
			}
			f = keepalive()
		case packet.BGP_MSG_ROUTE_REFRESH:
			if len(f) != routeRefresh || !r.sess.refreshable(f) {
				continue
			}
			<-time.After(refreshEvery - time.Since(refreshed))
			refreshed = time.Now()
		case packet.BGP_MSG_OPEN:
			return r.lost(&wireError{packet.BGP_ERROR_FSM_ERROR, 0, "a second OPEN"})
		default:
			return r.lost(&wireError{packet.BGP_ERROR_MESSAGE_HEADER_ERROR, packet.BGP_ERROR_SUB_BAD_MESSAGE_TYPE, fmt.Sprintf("a message of type %d", f.kind())})
		}
		alive = time.Now()
		if err := write(r.inner, f, writeTimeout); err != nil {
			return "session closed by this edge"
		}
	}
}

func write(conn net.Conn, f frame, timeout time.Duration) error {
	if err := conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, err := conn.Write(f)
	return err
}

func keepalive() frame {
	f, _ := serialize(packet.NewBGPKeepAliveMessage()) // has no part that can fail
	return f
}
