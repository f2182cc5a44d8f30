package natsconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
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

// conn is one end of a stream: its user's end of a pipe, whose other end a pump has.
type conn struct {
	net.Conn
	local, remote addr
	abort         context.CancelCauseFunc
	done          chan struct{}
	err           error // why the stream broke, set before the pump closes its end
}

// addr is a subject.
type addr string

// Network is "nats".
func (addr) Network() string { return "nats" }

func (a addr) String() string { return string(a) }

// LocalAddr is the subject that the peer sends to.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the peer's subject.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Read returns io.EOF only where the peer has closed.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, io.EOF) && c.err != nil {
		err = c.err
	}
	return n, err
}

// Close sends what was written, for linger at most, and waits for it.
func (c *conn) Close() error {
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
	taken   chan struct{} // one for each that the pipe took
	credit  chan struct{} // one for each frame that may be sent
}

// start runs a stream whose peer listens at to. It owns sub, whose messages come
// to in, and calls end when it is over.
func start(nc *nats.Conn, sub *nats.Subscription, in <-chan *nats.Msg, to string, end func()) *conn {
	user, pipe := net.Pipe()
	p := &pump{
		nc: nc, in: in, to: to, pipe: pipe,
		arrived: make(chan []byte, window), taken: make(chan struct{}, window), credit: make(chan struct{}, window),
	}
	for range window {
		p.credit <- struct{}{}
	}
	// The stream ends by its pipe, its peer or silence: no caller's context spans it.
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &conn{Conn: user, local: addr(sub.Subject), remote: addr(to), abort: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		defer end()
		var all sync.WaitGroup
		all.Go(func() { cancel(p.send(ctx)) })
		delivered := make(chan struct{})
		all.Go(func() { defer close(delivered); p.deliver(ctx) })
		if c.err = p.receive(ctx); c.err == nil {
			close(p.arrived)
			<-delivered // the peer is gone, but not what it sent
		}
		_ = pipe.Close()
		cancel(c.err)
		all.Wait()
		_ = sub.Unsubscribe() // fails only where there is no connection any more
	}()
	return c
}

// send sends what its user writes, until the user closes the pipe.
func (p *pump) send(ctx context.Context) error {
	buf, out := make([]byte, maxChunk), make([]byte, 0, maxChunk+8)
	for seq := uint32(0); ; seq++ {
		n, err := p.pipe.Read(buf)
		if err != nil {
			return errors.Join(net.ErrClosed, p.nc.Publish(p.to, frame{kind: kindEnd, n: seq}.append(nil)))
		}
		select {
		case <-p.credit:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := p.nc.Publish(p.to, frame{kind: kindData, n: seq, data: buf[:n]}.append(out)); err != nil {
			return err
		}
	}
}

// deliver gives the user what has arrived.
func (p *pump) deliver(ctx context.Context) {
	for {
		select {
		case data, ok := <-p.arrived:
			if !ok {
				return
			}
			if _, err := p.pipe.Write(data); err != nil {
				return
			}
			p.taken <- struct{}{} // has room for all that may be under way
		case <-ctx.Done():
			return
		}
	}
}

// receive takes what the peer sends, and answers for it.
func (p *pump) receive(ctx context.Context) error {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	next, held, heard := uint32(0), 0, time.Now()
	owed := uint32(0) // credit, given for several frames at a time
	for {
		var f frame
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-tick.C:
			if now.Sub(heard) > silence {
				return errSilent
			}
			f = frame{kind: kindPing}
		case <-p.taken:
			if owed++; owed < window/2 {
				continue
			}
			held -= int(owed)
			f, owed = frame{kind: kindCredit, n: owed}, 0
		case msg := <-p.in:
			heard = time.Now()
			end, err := p.take(msg.Data, &next, &held)
			if end || err != nil {
				return err
			}
			continue
		}
		if err := p.nc.Publish(p.to, f.append(nil)); err != nil {
			return err
		}
	}
}

// take handles one frame; end reports the peer's.
func (p *pump) take(b []byte, next *uint32, held *int) (end bool, err error) {
	f, err := parseFrame(b)
	if err != nil {
		return false, err
	}
	switch f.kind {
	case kindPing:
	case kindCredit:
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
		if *held == window {
			return false, fmt.Errorf("%w: more than %d frames under way", errFrame, window)
		}
		*next++
		*held++
		p.arrived <- f.data // has room for window
	}
	return false, nil
}
