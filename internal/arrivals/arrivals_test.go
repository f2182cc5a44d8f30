package arrivals

import (
	"net"
	"net/netip"
	"testing"
)

// conn is a connection between two addresses.
type conn struct {
	net.Conn
	local, remote string
}

func (c conn) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.local))
}

func (c conn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.remote))
}

// queue accepts the connection that is in it.
type queue struct {
	net.Listener
	conn net.Conn
}

func (q queue) Accept() (net.Conn, error) { return q.conn, nil }

func TestArrived(t *testing.T) {
	for _, tt := range []struct {
		name, local, remote string
		want                uint64
	}{
		{"a visitor", "192.0.2.10:443", "203.0.113.7:40000", 1},
		{"over IPv6", "[2001:db8::10]:443", "[2001:db8:1::7]:40000", 1},
		{"at a socket of both families", "[::ffff:192.0.2.10]:443", "[::ffff:203.0.113.7]:40000", 1},
		{"at the edge's own address", "198.51.100.7:443", "203.0.113.7:40000", 0},
		{"a self-request over loopback", "127.0.0.1:443", "127.0.0.1:40000", 0},
		{"a self-request to the address", "192.0.2.10:443", "192.0.2.10:40000", 0},
		{"from loopback to the address", "192.0.2.10:443", "127.0.0.1:40000", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := New([]netip.Prefix{netip.MustParsePrefix("192.0.2.10/32"), netip.MustParsePrefix("2001:db8::10/128")})
			ln := c.Listener(queue{conn: conn{local: tt.local, remote: tt.remote}})
			if _, err := ln.Accept(); err != nil {
				t.Fatal(err)
			}
			if got := c.Arrived(); got != tt.want {
				t.Errorf("counted %d, want %d", got, tt.want)
			}
		})
	}
}
