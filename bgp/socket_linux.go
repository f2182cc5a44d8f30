package bgp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const ipv6MinHopCount = 73 // of linux/in6.h

// control prepares a socket that connects to the address.
func control(n *Neighbor, o *Options, to netip.Addr) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		return onSocket(c, func(fd int) error {
			return errors.Join(setKey(fd, n.Password, to), setTTL(fd, n, o, to.Is4()))
		})
	}
}

// controlListener prepares a listening socket for the neighbors that have passwords.
func controlListener(keyed []*Neighbor) func(string, string, syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		return onSocket(c, func(fd int) error {
			// A neighbor with TTL security answers only packets that come with 255.
			var err error
			if network == "tcp4" {
				err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 255)
			} else {
				err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255)
			}
			for _, n := range keyed {
				err = errors.Join(err, setKey(fd, n.Password, n.Address))
			}
			return err
		})
	}
}

// limitTTL prepares an accepted connection.
func limitTTL(conn net.Conn, n *Neighbor, o *Options) error {
	c, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	return onSocket(c, func(fd int) error { return setTTL(fd, n, o, n.Address.Is4()) })
}

func onSocket(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := c.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// setKey signs segments with the neighbor by TCP MD5 (RFC 2385).
func setKey(fd int, key string, with netip.Addr) error {
	if key == "" {
		return nil
	}
	sig := &unix.TCPMD5Sig{Keylen: uint16(len(key))}
	copy(sig.Key[:], key)
	if with.Is4() {
		sig.Addr.Family = unix.AF_INET
		copy(sig.Addr.Data[2:], with.AsSlice()) // after the port of a sockaddr_in
	} else {
		sig.Addr.Family = unix.AF_INET6
		copy(sig.Addr.Data[6:], with.AsSlice()) // after port and flow label
	}
	if err := unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG, sig); err != nil {
		return fmt.Errorf("the kernel refuses the password: %w", os.NewSyscallError("setsockopt TCP_MD5SIG", err))
	}
	return nil
}

// setTTL bounds how far packets go, and from where they may come (RFC 5082).
func setTTL(fd int, n *Neighbor, o *Options, v4 bool) error {
	if n.ASN == 0 {
		return nil // the session with GoBGP
	}
	level, ttlOpt, minOpt := unix.IPPROTO_IP, unix.IP_TTL, unix.IP_MINTTL
	if !v4 {
		level, ttlOpt, minOpt = unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ipv6MinHopCount
	}
	switch {
	case n.TTLSecurity:
		if err := unix.SetsockoptInt(fd, level, minOpt, 256-int(n.Multihop)); err != nil {
			return os.NewSyscallError("setsockopt TTL security", err)
		}
		return os.NewSyscallError("setsockopt TTL", unix.SetsockoptInt(fd, level, ttlOpt, 255))
	case n.ASN == o.ASN:
		return nil // within an AS any distance is fine
	}
	return os.NewSyscallError("setsockopt TTL", unix.SetsockoptInt(fd, level, ttlOpt, int(n.Multihop)))
}

// canSign reports whether the kernel knows TCP MD5.
func canSign() bool {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(fd) }()
	return setKey(fd, "probe", netip.AddrFrom4([4]byte{127, 0, 0, 1})) == nil
}
