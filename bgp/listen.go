package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// listener accepts sessions that routers open.
type listener struct {
	lns    []net.Listener
	guards map[netip.Addr]*guard
	opts   *Options
}

// acceptPause is how long a listener rests when the kernel gives it no connection.
const acceptPause = 100 * time.Millisecond

// bind listens on the families that have neighbors; without a ListenPort on none.
func bind(ctx context.Context, o *Options) (*listener, error) {
	l := &listener{opts: o, guards: make(map[netip.Addr]*guard)}
	if o.ListenPort == 0 {
		return l, nil
	}
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // refuses MD5
	for _, network := range []string{"tcp4", "tcp6"} {
		var keyed []*Neighbor
		used := false
		for i := range o.Neighbors {
			n := &o.Neighbors[i]
			if n.Address.Is4() != (network == "tcp4") {
				continue
			}
			used = true
			if n.Password != "" {
				keyed = append(keyed, n)
			}
		}
		if !used {
			continue
		}
		lc.Control = controlListener(keyed)
		ln, err := lc.Listen(ctx, network, ":"+strconv.Itoa(int(o.ListenPort)))
		if err != nil {
			l.close()
			return nil, fmt.Errorf("%w: free the port, or set bgp.listen_port = 0 to only connect", err)
		}
		l.lns = append(l.lns, ln)
	}
	return l, nil
}

// run hands connections to the guards until close.
func (l *listener) run() {
	var wg sync.WaitGroup
	for _, ln := range l.lns {
		wg.Go(func() {
			for {
				conn, err := ln.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil { // no descriptor is left, for example
					<-time.After(acceptPause)
					continue
				}
				l.take(conn)
			}
		})
	}
	wg.Wait()
}

// take gives the connection to its guard if that has none, and closes it otherwise.
func (l *listener) take(conn net.Conn) {
	a, _ := conn.RemoteAddr().(*net.TCPAddr)
	g := l.guards[a.AddrPort().Addr().Unmap()]
	if g == nil || limitTTL(conn, g.n, l.opts) != nil {
		_ = conn.Close()
		return
	}
	if closed := g.gate.why(); closed != nil {
		_ = write(conn, closed.notification(), lastWords)
		_ = conn.Close()
		return
	}
	if state, _ := g.sess.get(); !state.established {
		select {
		case g.incoming <- conn:
			return
		default:
		}
	}
	_ = conn.Close()
}

func (l *listener) close() {
	for _, ln := range l.lns {
		_ = ln.Close()
	}
}
