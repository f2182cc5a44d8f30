package conns

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"syscall"
)

// DialSelf connects to a listener of this Limiter, at an address of this host. The
// connection is not counted and never closed for another: a flood must not make the edge
// believe that it does not serve.
func (l *Limiter) DialSelf(ctx context.Context, addr string) (net.Conn, error) {
	var port uint16
	d := net.Dialer{ControlContext: func(_ context.Context, _, to string, raw syscall.RawConn) error {
		// The port is needed before the listener sees the connection.
		var err error
		if e := raw.Control(func(fd uintptr) { port, err = bindAny(int(fd), to) }); e != nil {
			return e
		}
		if err == nil {
			l.expect(port)
		}
		return err
	}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		l.expectNoMore(port)
		return nil, err
	}
	return &selfConn{Conn: c, end: sync.OnceFunc(func() { l.expectNoMore(port) })}, nil
}

// bindAny gives a socket a free port of its family.
func bindAny(fd int, to string) (uint16, error) {
	var free syscall.Sockaddr = &syscall.SockaddrInet4{}
	if ap, err := netip.ParseAddrPort(to); err == nil && ap.Addr().Is6() {
		free = &syscall.SockaddrInet6{}
	}
	if err := syscall.Bind(fd, free); err != nil {
		return 0, err
	}
	name, err := syscall.Getsockname(fd)
	switch name := name.(type) {
	case *syscall.SockaddrInet4:
		return uint16(name.Port), err
	case *syscall.SockaddrInet6:
		return uint16(name.Port), err
	}
	return 0, err
}

func (l *Limiter) expect(port uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.self[port] = struct{}{}
}

func (l *Limiter) expectNoMore(port uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.self, port)
}

type selfConn struct {
	net.Conn
	end func()
}

// Close implements net.Conn.
func (c *selfConn) Close() error {
	c.end()
	return c.Conn.Close()
}
