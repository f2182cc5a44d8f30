package bgp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	apipb "github.com/osrg/gobgp/v3/api"
	gobgp "github.com/osrg/gobgp/v3/pkg/server"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// callTimeout bounds each call into GoBGP. Its main loop answers within
// milliseconds unless a neighbor floods it.
const callTimeout = 10 * time.Second

// speaker is one GoBGP server from start to stop. Only Run's goroutine uses it.
type speaker struct {
	srv  *gobgp.BgpServer
	opts *Options
	sess *sessions
}

// startSpeaker binds the port, installs the policies and adds the neighbors.
// Nothing is announced yet.
func startSpeaker(ctx context.Context, o *Options, changed func()) (*speaker, error) {
	// GoBGP's main loop can not be ended, so it is not started in vain.
	listen, err := probeListen(ctx, o)
	if err != nil {
		return nil, err
	}
	sess := newSessions(o, changed)
	s := &speaker{srv: gobgp.NewBgpServer(gobgp.LoggerOption(sess)), opts: o, sess: sess}
	go s.srv.Serve()
	if err := s.configure(ctx, listen); err != nil {
		s.stop(ctx)
		return nil, err
	}
	return s, nil
}

func (s *speaker) configure(ctx context.Context, listen []string) error {
	global := &apipb.Global{
		Asn: s.opts.ASN, RouterId: s.opts.RouterID.String(),
		ListenPort: int32(s.opts.ListenPort), ListenAddresses: listen,
	}
	if len(listen) == 0 {
		global.ListenPort = -1
	}
	if err := s.call(ctx, func() error { return s.srv.StartBgp(ctx, &apipb.StartBgpRequest{Global: global}) }); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := s.installPolicies(ctx, s.opts); err != nil {
		return err
	}
	for _, n := range s.opts.Neighbors {
		peer := n.peer(s.opts)
		if err := s.call(ctx, func() error { return s.srv.AddPeer(ctx, &apipb.AddPeerRequest{Peer: peer}) }); err != nil {
			return fmt.Errorf("neighbor %v: %w", n.Address, err)
		}
	}
	return nil
}

// probeListen binds and releases the addresses to listen on, those of the
// families that have neighbors.
func probeListen(ctx context.Context, o *Options) ([]string, error) {
	if o.ListenPort == 0 {
		return nil, nil
	}
	networks := make(map[string]string)
	for _, n := range o.Neighbors {
		if n.Address.Is4() {
			networks["tcp4"] = "0.0.0.0"
		} else {
			networks["tcp6"] = "::"
		}
	}
	var addrs []string
	for network, addr := range networks {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, network, net.JoinHostPort(addr, strconv.Itoa(int(o.ListenPort))))
		if err != nil {
			return nil, fmt.Errorf("%w: free the port, or set bgp.listen_port = 0 to only connect", err)
		}
		_ = l.Close()
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

func (n *Neighbor) peer(o *Options) *apipb.Peer {
	p := &apipb.Peer{
		Conf: &apipb.PeerConf{NeighborAddress: n.Address.String(), PeerAsn: n.ASN, AuthPassword: n.Password},
		Timers: &apipb.Timers{Config: &apipb.TimersConfig{
			HoldTime:               seconds(n.HoldTime),
			KeepaliveInterval:      seconds(n.Keepalive),
			ConnectRetry:           seconds(n.ConnectRetry),
			IdleHoldTimeAfterReset: seconds(n.ConnectRetry),
		}},
		Transport: &apipb.Transport{RemotePort: uint32(n.Port), PassiveMode: n.Passive},
		GracefulRestart: &apipb.GracefulRestart{
			Enabled: n.GracefulRestart > 0, RestartTime: uint32(seconds(n.GracefulRestart)),
		},
	}
	if n.LocalAddress.IsValid() {
		p.Transport.LocalAddress = n.LocalAddress.String()
	}
	switch {
	case n.TTLSecurity:
		p.TtlSecurity = &apipb.TtlSecurity{Enabled: true, TtlMin: 256 - uint32(n.Multihop)}
	case n.Multihop > 1:
		p.EbgpMultihop = &apipb.EbgpMultihop{Enabled: true, MultihopTtl: uint32(n.Multihop)}
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

// route is a prefix as GoBGP takes it. The unspecified next hop becomes the
// session's local address unless a policy sets one.
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

// stop ends all sessions with a NOTIFICATION. It waits for GoBGP at most callTimeout.
func (s *speaker) stop(ctx context.Context) {
	if err := s.call(ctx, func() error { return s.srv.StopBgp(ctx, &apipb.StopBgpRequest{}) }); err != nil {
		s.opts.Logger.Error("bgp speaker does not stop", "err", err)
	}
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
