package server

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// lazyListener makes the deadlines of its connections lazy. net/http sets and
// clears seven of them per request, nearly all of which nothing ever waits for; that
// is a fiftieth of a small request's time.
type lazyListener struct{ net.Listener }

// Accept implements net.Listener.
func (l lazyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	lazy := &lazyConn{Conn: c}
	lazy.reads.set, lazy.writes.set = c.SetReadDeadline, c.SetWriteDeadline
	return lazy, nil
}

// lazyConn hands a deadline to its connection only when that makes an operation end
// earlier. One that ends too early is taken up again.
type lazyConn struct {
	net.Conn
	reads, writes lazyDeadline
}

// lazyDeadline is that of one direction.
type lazyDeadline struct {
	set func(time.Time) error // hands it to the connection

	mu      sync.Mutex
	want    time.Time // zero: none
	has     time.Time // what the connection has; zero: none
	waiting int       // operations under way
}

// Read implements net.Conn.
func (c *lazyConn) Read(b []byte) (n int, err error) {
	if err := c.reads.begin(); err != nil {
		return 0, err
	}
	defer c.reads.end()
	for {
		n, err = c.Conn.Read(b)
		if err == nil || n > 0 || !c.reads.early(err) {
			return n, err
		}
	}
}

// Write implements net.Conn.
func (c *lazyConn) Write(b []byte) (n int, err error) {
	if err := c.writes.begin(); err != nil {
		return 0, err
	}
	defer c.writes.end()
	for {
		more, err := c.Conn.Write(b[n:])
		n += more
		if err == nil || !c.writes.early(err) {
			return n, err
		}
	}
}

// CloseWrite ends what the visitor reads, and lets what it still sends arrive: an
// answer to a request that was not read to its end would be lost otherwise.
func (c *lazyConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *lazyConn) SetReadDeadline(t time.Time) error { return c.reads.change(t) }

// SetWriteDeadline implements net.Conn.
func (c *lazyConn) SetWriteDeadline(t time.Time) error { return c.writes.change(t) }

// SetDeadline implements net.Conn.
func (c *lazyConn) SetDeadline(t time.Time) error {
	return errors.Join(c.reads.change(t), c.writes.change(t))
}

func (d *lazyDeadline) change(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.want = t
	if d.waiting == 0 {
		return nil
	}
	return d.hasten()
}

func (d *lazyDeadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting++
	if err := d.hasten(); err != nil {
		d.waiting--
		return err
	}
	return nil
}

func (d *lazyDeadline) end() {
	d.mu.Lock()
	d.waiting--
	d.mu.Unlock()
}

// hasten hands over a deadline that is earlier than the connection's. d.mu is held.
func (d *lazyDeadline) hasten() error {
	if d.want.IsZero() || !d.has.IsZero() && !d.want.Before(d.has) {
		return nil
	}
	d.has = d.want
	return d.set(d.want)
}

// early reports whether err is a deadline's that is not wanted any more, and hands
// over the one that is.
func (d *lazyDeadline) early(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.want.IsZero() && !time.Now().Before(d.want) {
		return false
	}
	d.has = d.want
	return d.set(d.want) == nil
}
