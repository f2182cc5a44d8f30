package bgp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	apipb "github.com/osrg/gobgp/v3/api"
	gobgp "github.com/osrg/gobgp/v3/pkg/server"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// callTimeout bounds each call into GoBGP. Its main loop answers within
// milliseconds unless a neighbor floods it.
const callTimeout = 5 * time.Second

// speaker is one GoBGP server from start to stop, and a guard per neighbor
// before it. Only Run's goroutine uses it.
type speaker struct {
	srv    *gobgp.BgpServer
	opts   *Options
	guards []*guard
	listen *listener
	cancel context.CancelFunc // of the guards
	wg     sync.WaitGroup     // guards and listener
}

// startSpeaker binds the port, installs the policies and lets the neighbors in.
// Nothing is announced yet.
func startSpeaker(ctx context.Context, o *Options, changed func()) (*speaker, error) {
	// GoBGP's main loop can not be ended, so it is not started in vain.
	listen, err := bind(ctx, o)
	if err != nil {
		return nil, err
	}
	inner, err := freePort(ctx)
	if err != nil {
		listen.close()
		return nil, err
	}
	s := &speaker{srv: gobgp.NewBgpServer(gobgp.LoggerOption(&logger{o.Logger})), opts: o, listen: listen}
	go s.srv.Serve()
	// Sessions end in order, by stop, after ctx did.
	guarding, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	key := ""
	if canSign() {
		key = rand.Text() // so that no other program of this host can pose as a router
	}
	for i := range o.Neighbors {
		g := &guard{
			n: &o.Neighbors[i], opts: o, inner: inner, self: innerAddr(i), key: key,
			incoming: make(chan net.Conn), sess: newSession(&o.Neighbors[i], changed),
		}
		s.guards = append(s.guards, g)
		listen.guards[g.n.Address] = g
	}
	if err := s.configure(ctx, inner, key); err != nil {
		s.stop(ctx)
		return nil, err
	}
	for _, g := range s.guards {
		s.wg.Go(func() { g.run(guarding) })
	}
	s.wg.Go(listen.run)
	return s, nil
}

// innerAddr is the address by which GoBGP knows neighbor i.
func innerAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 84, byte(i >> 8), byte(i)}) }

// freePort finds a port on loopback for GoBGP, which cannot be told to take any.
func freePort(ctx context.Context) (netip.AddrPort, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("a port for the speaker: %w", err)
	}
	defer func() { _ = ln.Close() }()
	return netip.ParseAddrPort(ln.Addr().String())
}

func (s *speaker) configure(ctx context.Context, inner netip.AddrPort, key string) error {
	global := &apipb.Global{
		Asn: s.opts.ASN, RouterId: s.opts.RouterID.String(),
		ListenPort: int32(inner.Port()), ListenAddresses: []string{inner.Addr().String()},
	}
	if err := s.call(ctx, func() error { return s.srv.StartBgp(ctx, &apipb.StartBgpRequest{Global: global}) }); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := s.installPolicies(ctx); err != nil {
		return err
	}
	for _, g := range s.guards {
		peer := g.n.peer(s.opts, g.self, key)
		if err := s.call(ctx, func() error { return s.srv.AddPeer(ctx, &apipb.AddPeerRequest{Peer: peer}) }); err != nil {
			return fmt.Errorf("neighbor %v: %w", g.n.Address, err)
		}
	}
	return nil
}

// anyEstablished reports whether a router would hear a change.
func (s *speaker) anyEstablished() bool {
	return slices.ContainsFunc(s.guards, func(g *guard) bool {
		session, _ := g.sess.get()
		return session.established
	})
}

// peer is the neighbor as GoBGP knows it: passive, as the guard connects.
func (n *Neighbor) peer(o *Options, self netip.Addr, key string) *apipb.Peer {
	p := &apipb.Peer{
		Conf: &apipb.PeerConf{NeighborAddress: self.String(), PeerAsn: n.ASN, AuthPassword: key},
		Timers: &apipb.Timers{Config: &apipb.TimersConfig{
			HoldTime:               seconds(n.HoldTime),
			KeepaliveInterval:      seconds(n.Keepalive),
			IdleHoldTimeAfterReset: 1,
		}},
		Transport: &apipb.Transport{PassiveMode: true},
		GracefulRestart: &apipb.GracefulRestart{
			Enabled: n.GracefulRestart > 0, RestartTime: uint32(seconds(n.GracefulRestart)),
		},
	}
	for _, fam := range o.families(n) {
		p.AfiSafis = append(p.AfiSafis, &apipb.AfiSafi{
			Config:            &apipb.AfiSafiConfig{Family: fam.api(), Enabled: true},
			MpGracefulRestart: &apipb.MpGracefulRestart{Config: &apipb.MpGracefulRestartConfig{Enabled: n.GracefulRestart > 0}},
		})
	}
	return p
}

// families are those of which the neighbor gets prefixes.
func (o *Options) families(n *Neighbor) []family {
	var fams []family
	for _, fam := range []family{ipv4, ipv6} {
		for _, p := range o.Prefixes {
			if familyOf(p.Addr()) == fam && n.takes(fam) {
				fams = append(fams, fam)
				break
			}
		}
	}
	return fams
}

func seconds(d time.Duration) uint64 { return uint64(d / time.Second) }

// announce puts all prefixes into the RIB, with GRACEFUL_SHUTDOWN if leaving.
// It is idempotent.
func (s *speaker) announce(ctx context.Context, leaving bool) error {
	for _, p := range s.opts.Prefixes {
		path, err := route(p, leaving)
		if err != nil {
			return err
		}
		if err := s.call(ctx, func() error {
			_, err := s.srv.AddPath(ctx, &apipb.AddPathRequest{Path: path})
			return err
		}); err != nil {
			return fmt.Errorf("announce %v: %w", p, err)
		}
	}
	return nil
}

// withdraw removes all prefixes from the RIB. It is idempotent.
func (s *speaker) withdraw(ctx context.Context) error {
	for _, p := range s.opts.Prefixes {
		path, err := route(p, false)
		if err != nil {
			return err
		}
		if err := s.call(ctx, func() error {
			return s.srv.DeletePath(ctx, &apipb.DeletePathRequest{Path: path})
		}); err != nil {
			return fmt.Errorf("withdraw %v: %w", p, err)
		}
	}
	return nil
}

// route is a prefix as GoBGP takes it. The export policy sets the next hop.
func route(p netip.Prefix, leaving bool) (*apipb.Path, error) {
	nextHop := netip.IPv4Unspecified()
	if p.Addr().Is6() {
		nextHop = netip.IPv6Unspecified()
	}
	attrs := []proto.Message{&apipb.OriginAttribute{Origin: 0}, &apipb.NextHopAttribute{NextHop: nextHop.String()}}
	if leaving {
		attrs = append(attrs, &apipb.CommunitiesAttribute{Communities: []uint32{65535 << 16}}, &apipb.LocalPrefAttribute{LocalPref: 0})
	}
	path := &apipb.Path{Family: familyOf(p.Addr()).api()}
	nlri, err := anypb.New(&apipb.IPAddressPrefix{Prefix: p.Addr().String(), PrefixLen: uint32(p.Bits())})
	if err != nil {
		return nil, err
	}
	path.Nlri = nlri
	for _, attr := range attrs {
		a, err := anypb.New(attr)
		if err != nil {
			return nil, err
		}
		path.Pattrs = append(path.Pattrs, a)
	}
	return path, nil
}

// hangUp ends all sessions in order and allows none until connect.
func (s *speaker) hangUp(text string) {
	for _, g := range s.guards {
		g.gate.close(text)
	}
}

func (s *speaker) connect() {
	for _, g := range s.guards {
		g.gate.open()
	}
}

// finish is hangUp, and waits until the sessions are over.
func (s *speaker) finish(text string) {
	s.listen.close()
	s.hangUp(text)
	for _, g := range s.guards {
		<-g.gate.close(text)
	}
}

// stop ends all sessions. It waits for GoBGP at most callTimeout.
func (s *speaker) stop(ctx context.Context) {
	s.finish("the edge stops")
	if err := s.call(ctx, func() error { return s.srv.StopBgp(ctx, &apipb.StopBgpRequest{}) }); err != nil {
		s.opts.Logger.Error("bgp speaker does not stop", "err", err)
	}
	s.cancel()
	s.wg.Wait()
}

// abandon ends all sessions without GoBGP's help: routers withdraw by
// themselves, also those that would keep the routes of a session that broke. Should GoBGP ever answer again, it stops.
func (s *speaker) abandon(ctx context.Context) {
	s.finish("the speaker is restarted")
	s.cancel()
	s.wg.Wait()
	go func() { _ = s.srv.StopBgp(ctx, &apipb.StopBgpRequest{}) }()
}

var errStuck = errors.New("the speaker does not answer")

// call runs f, which ignores its context, and leaves it behind if it takes too long.
func (s *speaker) call(ctx context.Context, f func() error) error {
	timer := time.NewTimer(callTimeout)
	defer timer.Stop()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errStuck
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
