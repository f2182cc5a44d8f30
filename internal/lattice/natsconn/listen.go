package natsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	maxConns = 1024         // of one listener
	inboxCap = 2*window + 8 // messages of one stream that wait to be handled

	closing = time.Second // in which Close hears of the last calls

	statusHeader, noResponders = "Status", "503"
)

// ErrNoListener is Dial's where nobody listens.
var ErrNoListener = errors.New("no edge listens")

// ErrRefused is Dial's where the listener has just been closed: another may take the call.
var ErrRefused = errors.New("the edge has stopped listening")

// Listener is a net.Listener on a subject. Its connections outlive it.
type Listener struct {
	nc      *nats.Conn
	sub     *nats.Subscription
	calls   chan *nats.Msg
	closed  chan struct{}
	close   sync.Once
	streams chan struct{} // one for each open connection
}

// Listen takes the connections made to subject. Of the listeners on one subject and
// queue the nearest gets each one, which is how NATS spreads messages in a queue group.
func Listen(nc *nats.Conn, subject, queue string) (*Listener, error) {
	l := &Listener{
		nc: nc, calls: make(chan *nats.Msg, 64), closed: make(chan struct{}), streams: make(chan struct{}, maxConns),
	}
	var err error
	if l.sub, err = nc.ChanQueueSubscribe(subject, queue, l.calls); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", subject, err)
	}
	// Whoever dials after Listen has returned is heard.
	if err := nc.Flush(); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", subject, err), l.sub.Unsubscribe())
	}
	return l, nil
}

// Accept waits for a connection, and fails with net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		select {
		case <-l.closed:
			return nil, net.ErrClosed
		case l.streams <- struct{}{}:
		}
		c, err := l.accept()
		if err == nil {
			return c, nil
		}
		<-l.streams
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
	}
}

// accept answers the next call, whose caller may be gone by now.
func (l *Listener) accept() (net.Conn, error) {
	var call *nats.Msg
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case call = <-l.calls:
	}
	if !isInbox(call.Reply) {
		return nil, fmt.Errorf("a call from %.80q, which is no inbox", call.Reply)
	}
	sub, in, err := inbox(l.nc)
	if err != nil {
		return nil, err
	}
	if err := l.nc.PublishRequest(call.Reply, sub.Subject, nil); err != nil {
		return nil, errors.Join(err, sub.Unsubscribe())
	}
	return start(l.nc, sub, in, call.Reply, func() { <-l.streams }), nil
}

// Close stops listening, and refuses the calls that nobody has accepted. Connections stay.
func (l *Listener) Close() (err error) {
	l.close.Do(func() {
		close(l.closed)
		gone := l.sub.StatusChanged(nats.SubscriptionClosed)
		if err = l.sub.Drain(); err == nil {
			select {
			case <-gone:
			case <-time.After(closing): // cut off: nobody can call
			}
		}
		for {
			select {
			case call := <-l.calls:
				if !isInbox(call.Reply) {
					continue
				}
				_ = l.nc.Publish(call.Reply, nil) // else the caller hears nothing
			default:
				return
			}
		}
	})
	return err
}

// Addr is the subject.
func (l *Listener) Addr() net.Addr { return addr(l.sub.Subject) }

// Dial connects to a listener on subject. ctx bounds the wait for it alone.
func Dial(ctx context.Context, nc *nats.Conn, subject string) (net.Conn, error) {
	sub, in, err := inbox(nc)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (net.Conn, error) {
		return nil, errors.Join(fmt.Errorf("dial %s: %w", subject, err), sub.Unsubscribe())
	}
	if err := nc.PublishRequest(subject, sub.Subject, nil); err != nil {
		return fail(err)
	}
	select {
	case <-ctx.Done():
		return fail(context.Cause(ctx))
	case msg := <-in:
		switch {
		case msg.Header.Get(statusHeader) == noResponders:
			return fail(ErrNoListener)
		case !isInbox(msg.Reply):
			return fail(ErrRefused)
		}
		return start(nc, sub, in, msg.Reply, func() {}), nil //nolint:contextcheck // ctx bounds the dialing alone
	}
}

// inbox subscribes to a subject that nobody else can guess.
func inbox(nc *nats.Conn) (*nats.Subscription, chan *nats.Msg, error) {
	in := make(chan *nats.Msg, inboxCap)
	sub, err := nc.ChanSubscribe(nc.NewInbox(), in)
	return sub, in, err
}

// isInbox reports whether a peer may have this end publish to the subject.
func isInbox(subject string) bool { return strings.HasPrefix(subject, nats.InboxPrefix) }
