package natsconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	pingEvery = time.Second
	silence   = 4 * time.Second // of a peer that is given up
	linger    = 5 * time.Second // of a closed end that still has something to send
)

// errSilent is why a stream ended whose peer is gone.
var errSilent = errors.New("the other edge is silent")

// Conn is one end of a stream: its user's end of a pipe, whose other end a pump has.
type Conn struct {
	net.Conn
	pump          *pump
	tells         bool // the peer says what it has read before it ends
	local, remote addr
	abort         context.CancelCauseFunc
	over          chan struct{} // closed when the peer has ended, or the stream broke
	done          chan struct{}
	err           error // why the stream broke; read after over
}

// addr is a subject.
type addr string

// Network is "nats".
func (addr) Network() string { return "nats" }

func (a addr) String() string { return string(a) }

// LocalAddr is the subject that the peer sends to.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's subject.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read returns io.EOF only where the peer has closed.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, io.EOF) && c.err != nil {
		err = c.err
	}
	return n, err
}

// Sent counts what was sent so far, for Unread.
func (c *Conn) Sent() uint32 { return c.pump.sent.Load() }

// Unread reports that the peer has ended, and that its user has read nothing of what
// was sent since Sent was as given. False also means that it is not known.
func (c *Conn) Unread(since uint32) bool {
	select {
	case <-c.over:
		return c.tells && c.err == nil && int32(c.pump.theirs.Load()-since) <= 0
	default:
		return false
	}
}

// Close sends what was written, for linger at most, and waits for it.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	timer := time.AfterFunc(linger, func() { c.abort(errSilent) })
	defer timer.Stop()
	<-c.done
	return err
}

// pump moves frames between a pipe and a peer.
type pump struct {
	nc      *nats.Conn
	in      <-chan *nats.Msg
	to      string // the peer's subject
	pipe    net.Conn
	arrived chan []byte   // data for the pipe, in order
	credit  chan struct{} // one for each frame that may be sent
	closed  chan struct{} // by the user
	idle    chan struct{} // closed when the user is given nothing more

	sent   atomic.Uint32 // frames of data
	theirs atomic.Uint32 // how many of them the peer's user has read, as far as is known
	given  atomic.Uint32 // frames of the peer that it was told were read
}

// start runs a stream whose peer listens at to. It owns sub, whose messages come
// to in, and calls end when it is over.
func start(nc *nats.Conn, sub *nats.Subscription, in <-chan *nats.Msg, to string, tells bool, end func()) *Conn {
	user, pipe := net.Pipe()
	p := &pump{
		nc: nc, in: in, to: to, pipe: pipe, arrived: make(chan []byte, window), credit: make(chan struct{}, window),
		closed: make(chan struct{}), idle: make(chan struct{}),
	}
	for range window {
		p.credit <- struct{}{}
	}
	// The stream ends by its pipe, its peer or silence: no caller's context spans it.
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &Conn{
		Conn: user, pump: p, tells: tells, local: addr(sub.Subject), remote: addr(to), abort: cancel,
		over: make(chan struct{}), done: make(chan struct{}),
	}
	go func() {
		defer close(c.done)
		defer end()
		var all sync.WaitGroup
		all.Go(func() { cancel(p.send(ctx)) })
		all.Go(func() { defer close(p.idle); p.deliver(ctx) })
		c.err = p.receive(ctx)
		close(c.over)
		if c.err == nil {
			close(p.arrived)
			<-p.idle // the peer is gone, but not what it sent
		}
		_ = pipe.Close()
		cancel(c.err)
		all.Wait()
		_ = sub.Unsubscribe() // fails only where there is no connection any more
	}()
	return c
}

// send sends what its user writes, until the user closes the pipe; then what was read,
// and the end.
func (p *pump) send(ctx context.Context) error {
	buf, out := make([]byte, maxChunk), make([]byte, 0, maxChunk+8)
	for {
		n, err := p.pipe.Read(buf)
		if err != nil {
			close(p.closed)
			<-p.idle
			return errors.Join(net.ErrClosed, p.nc.Publish(p.to, frame{kind: kindEnd, n: p.sent.Load()}.append(nil)))
		}
		if n == 0 { // somebody wrote nothing
			continue
		}
		select {
		case <-p.credit:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		seq := p.sent.Add(1) - 1
		if err := p.nc.Publish(p.to, frame{kind: kindData, n: seq, data: buf[:n]}.append(out)); err != nil {
			return err
		}
	}
}

// deliver gives the user what has arrived, and the peer credit for it.
func (p *pump) deliver(ctx context.Context) {
	owed := uint32(0)
	give := func() {
		if owed > 0 {
			p.given.Add(owed)
			_ = p.nc.Publish(p.to, frame{kind: kindCredit, n: owed}.append(nil)) // send fails likewise
			owed = 0
		}
	}
	defer give()
	for {
		select {
		case data, ok := <-p.arrived:
			if !ok {
				return
			}
			n, err := p.pipe.Write(data)
			if n > 0 {
				owed++
			}
			if err != nil {
				return
			}
			if owed == window/2 {
				give()
			}
		case <-p.closed:
			return
		case <-ctx.Done():
			return
		}
	}
}

// receive takes what the peer sends, until its end, which is nil.
func (p *pump) receive(ctx context.Context) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	next, heard := uint32(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-tick.C:
			if now.Sub(heard) > silence {
				return errSilent
			}
			if err := p.nc.Publish(p.to, frame{kind: kindPing}.append(nil)); err != nil {
				return err
			}
		case msg := <-p.in:
			heard = time.Now()
			if end, err := p.take(msg.Data, &next); end || err != nil {
				return err
			}
		}
	}
}

// take handles one frame; end reports the peer's.
func (p *pump) take(b []byte, next *uint32) (end bool, err error) {
	f, err := parseFrame(b)
	if err != nil {
		return false, err
	}
	switch f.kind {
	case kindPing:
	case kindCredit:
		p.theirs.Add(f.n)
		for range f.n {
			select {
			case p.credit <- struct{}{}:
			default:
				return false, fmt.Errorf("%w: credit for what was not sent", errFrame)
			}
		}
	case kindEnd, kindData:
		if f.n != *next {
			return false, fmt.Errorf("%w: frame %d where %d was due", errFrame, f.n, *next)
		}
		if f.kind == kindEnd {
			return true, nil
		}
		if *next-p.given.Load() == window {
			return false, fmt.Errorf("%w: more than %d frames under way", errFrame, window)
		}
		*next++
		p.arrived <- f.data // has room for window
	}
	return false, nil
}
