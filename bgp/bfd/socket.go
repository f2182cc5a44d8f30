package bfd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// receiver reads datagrams with the TTL they came with.
type receiver struct {
	conn net.PacketConn
	v4   *ipv4.PacketConn
	v6   *ipv6.PacketConn
}

func listen(ctx context.Context, at netip.AddrPort) (*receiver, error) {
	network := "udp6"
	if at.Addr().Is4() {
		network = "udp4"
	}
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, network, at.String())
	if err != nil {
		return nil, fmt.Errorf("bfd: %w: stop the BFD daemon of this host, or switch bfd off", err)
	}
	r := &receiver{conn: conn}
	if at.Addr().Is4() {
		r.v4 = ipv4.NewPacketConn(conn)
		err = r.v4.SetControlMessage(ipv4.FlagTTL, true)
	} else {
		r.v6 = ipv6.NewPacketConn(conn)
		err = r.v6.SetControlMessage(ipv6.FlagHopLimit, true)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bfd: receive TTL: %w", err), conn.Close())
	}
	return r, nil
}

// read is one datagram, its source, and its TTL; 0 if that is not known.
func (r *receiver) read(b []byte) (int, netip.Addr, int, error) {
	var n, ttl int
	var src net.Addr
	var err error
	if r.v4 != nil {
		var cm *ipv4.ControlMessage
		if n, cm, src, err = r.v4.ReadFrom(b); cm != nil {
			ttl = cm.TTL
		}
	} else {
		var cm *ipv6.ControlMessage
		if n, cm, src, err = r.v6.ReadFrom(b); cm != nil {
			ttl = cm.HopLimit
		}
	}
	if err != nil {
		return 0, netip.Addr{}, 0, err
	}
	a, ok := src.(*net.UDPAddr)
	if !ok {
		return 0, netip.Addr{}, 0, nil
	}
	return n, a.AddrPort().Addr().WithZone(""), ttl, nil
}

// sendTTL makes datagrams leave with TTL 255.
func sendTTL(v4 bool) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) {
			if v4 {
				inner = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, 255)
			} else {
				inner = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_UNICAST_HOPS, 255)
			}
		})
		return errors.Join(err, inner)
	}
}
