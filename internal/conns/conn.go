package conns

import (
	"net"
	"sync/atomic"
	"time"
)

// Conn is an admitted connection. Its methods are safe for concurrent use.
type Conn struct {
	net.Conn
	limiter *Limiter

	of    *network // nil once it is closed, and for the edge's own; guarded by limiter.mu
	index int      // in of.conns; guarded by limiter.mu

	greeted atomic.Bool  // a request has arrived
	busy    atomic.Int32 // requests in flight
	began   atomic.Int64 // when busy became 1, as Limiter.since has it
	served  atomic.Int64 // when a request came to an end, or the connection began; likewise
	moved   atomic.Int64 // bytes read and written
	before  atomic.Int64 // moved when busy became 1
	writing atomic.Int64 // the limiter's tick when the write under way began; 0: none
	noise   atomic.Int64 // see maxNoise
	body    atomic.Bool  // what is read belongs to a request's body, and is no noise
}

// A connection may make this much noise between two requests that come to an end. What is
// read makes a little, a request that the visitor cancels much. It takes some ten thousand
// frames of HTTP/2 that ask for nothing, or a hundred cancelled requests.
const (
	maxNoise    = 128 << 10
	readNoise   = 8 // and 1 for 16 bytes
	cancelNoise = 1 << 10
)

// Of is the Conn below a connection of crypto/tls or of this package; nil if there is none.
func Of(c net.Conn) *Conn {
	for {
		switch outer := c.(type) {
		case *Conn:
			return outer
		case interface{ NetConn() net.Conn }: // crypto/tls
			c = outer.NetConn()
		case interface{ Raw() net.Conn }: // go-proxyproto
			c = outer.Raw()
		default:
			return nil
		}
	}
}

// Begin counts a request in flight.
func (c *Conn) Begin(now time.Time) {
	if !c.greeted.Load() && c.greeted.CompareAndSwap(false, true) {
		c.limiter.fresh.Add(-1)
	}
	if c.busy.Add(1) == 1 {
		c.began.Store(c.limiter.since(now))
		c.before.Store(c.moved.Load())
	}
}

// End is called once for each Begin. cancelled means that the visitor did not wait for the answer.
func (c *Conn) End(now time.Time, cancelled bool) {
	if cancelled {
		c.noise.Add(cancelNoise)
	} else {
		c.Progress()
		c.served.Store(c.limiter.since(now))
	}
	c.busy.Add(-1)
}

// Progress reports that a part of a request's body was used, or a part of an answer taken.
func (c *Conn) Progress() {
	if c.noise.Load() != 0 {
		c.noise.Store(0)
	}
}

// Stuck reports whether a write has been under way for about a second or longer.
func (c *Conn) Stuck() bool {
	began := c.writing.Load()
	return began != 0 && c.limiter.tick.Load()-began > 1
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.moved.Add(int64(n))
		if !c.body.Load() && c.noise.Add(readNoise+int64(n)/16) > maxNoise {
			c.limiter.drop(c, noisy)
			return 0, net.ErrClosed
		}
	}
	return n, err
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	c.writing.Store(c.limiter.tick.Load())
	defer c.writing.Store(0)
	n, err := c.Conn.Write(b)
	c.moved.Add(int64(n))
	return n, err
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.limiter.forget(c)
	return c.Conn.Close()
}

// Drop closes the connection at once and discards what the visitor has not taken yet.
// The reason is counted.
func (c *Conn) Drop() { c.limiter.drop(c, slow) }

// CloseWrite ends what the visitor reads, and lets what it still sends arrive: an
// answer to a request that was not read to its end would be lost otherwise.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// abort closes the socket without waiting for what is in its buffers.
func (c *Conn) abort() {
	if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		_ = tcp.SetLinger(0) // else the kernel keeps up to some MiB for a visitor who does not read
	}
	_ = c.Conn.Close()
}
