package zone

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
)

// Options are what a Server needs.
type Options struct {
	Addr string        // HOST:PORT with an address; empty: 127.0.0.1 and any port
	TTL  time.Duration // of records that set none, and of absence; whole seconds; 0: 1 s

	// Wrap puts something before the zone, for tests that need a server that misbehaves.
	Wrap func(dns.Handler) dns.Handler
}

// Server answers from its records. All methods are safe for concurrent use.
type Server struct {
	ttl time.Duration
	udp net.PacketConn
	tcp net.Listener
	h   dns.Handler

	mu      sync.Mutex // held while records change; who reads takes no lock
	current atomic.Pointer[records]
}

// bindAttempts is how often a free UDP port is looked for that is free for TCP too.
const bindAttempts = 20

// New binds the address for UDP and TCP, so that Addr is known; Run serves it.
// Whoever does not call Run calls Close.
func New(o Options) (*Server, error) {
	addr, err := netip.ParseAddrPort(cmp.Or(o.Addr, "127.0.0.1:0"))
	if err != nil {
		return nil, fmt.Errorf("zone: address %q: want IP:PORT", o.Addr)
	}
	s := &Server{ttl: cmp.Or(o.TTL, time.Second)}
	if err := s.Update(nil); err != nil {
		return nil, err
	}
	if s.h = s; o.Wrap != nil {
		s.h = o.Wrap(s)
	}
	for range bindAttempts {
		if err = s.bind(addr); err == nil || addr.Port() != 0 {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	return s, nil
}

func (s *Server) bind(addr netip.AddrPort) (err error) {
	var lc net.ListenConfig
	if s.udp, err = lc.ListenPacket(context.Background(), "udp", addr.String()); err != nil {
		return err
	}
	port := s.udp.LocalAddr().(*net.UDPAddr).Port
	s.tcp, err = lc.Listen(context.Background(), "tcp", net.JoinHostPort(addr.Addr().String(), strconv.Itoa(port)))
	if err != nil {
		_ = s.udp.Close()
	}
	return err
}

// Addr is the address for both UDP and TCP.
func (s *Server) Addr() netip.AddrPort {
	return s.udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Close gives up the sockets of a Server whose Run is not called.
func (s *Server) Close() error { return errors.Join(s.udp.Close(), s.tcp.Close()) }

// Run serves until ctx ends, and then returns nil with the sockets closed. It can run once.
func (s *Server) Run(ctx context.Context) error {
	g, stop := errgroup.WithContext(ctx)
	for _, srv := range []*dns.Server{{PacketConn: s.udp, Handler: s.h}, {Listener: s.tcp, Handler: s.h}} {
		up := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(up) }
		g.Go(func() error {
			if err := srv.ActivateAndServe(); ctx.Err() == nil {
				return err
			}
			return nil
		})
		g.Go(func() error {
			<-stop.Done()
			select {
			case <-up:
				_ = srv.Shutdown() // fails when it has ended by itself
			default: // before it is up it can only be starved
				_ = s.Close()
			}
			return nil
		})
	}
	return g.Wait()
}
