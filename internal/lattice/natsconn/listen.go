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

	tells = "1" // an answer to a call: before its end comes credit for all that was read
)

// ErrNoListener is Dial's where nobody listens.
var ErrNoListener = errors.New("no edge listens")

// ErrRefused is Dial's where the listener has just been closed: another may take the call.
var ErrRefused = errors.New("the edge has stopped listening")

// Listener is a net.Listener on subjects. Its connections outlive it.
type Listener struct {
	nc      *nats.Conn
	subs    []*nats.Subscription
	calls   chan *nats.Msg
	closed  chan struct{}
	close   sync.Once
	streams chan struct{} // one for each open connection
}

// Listen takes the connections made to any of the subjects. Of the listeners on one
// subject and queue the nearest gets each one, which is how NATS spreads messages in a
// queue group.
func Listen(nc *nats.Conn, queue string, subjects ...string) (*Listener, error) {
	l := &Listener{
		nc: nc, calls: make(chan *nats.Msg, 64), closed: make(chan struct{}), streams: make(chan struct{}, maxConns),
	}
	fail := func(err error) (*Listener, error) {
		for _, sub := range l.subs {
			err = errors.Join(err, sub.Unsubscribe())
		}
		return nil, fmt.Errorf("listen on %s: %w", subjects, err)
	}
	for _, subject := range subjects {
		sub, err := nc.ChanQueueSubscribe(subject, queue, l.calls)
		if err != nil {
			return fail(err)
		}
		l.subs = append(l.subs, sub)
	}
	// Whoever dials after Listen has returned is heard.
	if err := nc.Flush(); err != nil {
		return fail(err)
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
	if err := l.nc.PublishRequest(call.Reply, sub.Subject, []byte(tells)); err != nil {
		return nil, errors.Join(err, sub.Unsubscribe())
	}
	return start(l.nc, sub, in, call.Reply, false, func() { <-l.streams }), nil
}

// Close stops listening, and refuses the calls that nobody has accepted. Connections stay.
func (l *Listener) Close() (err error) {
	l.close.Do(func() {
		close(l.closed)
		late := time.After(closing) // cut off: nobody can call
		for _, sub := range l.subs {
			gone := sub.StatusChanged(nats.SubscriptionClosed)
			failed := sub.Drain()
			if err = errors.Join(err, failed); failed == nil {
				select {
				case <-gone:
				case <-late:
				}
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

// Addr is the first subject.
func (l *Listener) Addr() net.Addr { return addr(l.subs[0].Subject) }

// Dial connects to a listener on subject. ctx bounds the wait for it alone.
func Dial(ctx context.Context, nc *nats.Conn, subject string) (*Conn, error) {
	sub, in, err := inbox(nc)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*Conn, error) {
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
		return start(nc, sub, in, msg.Reply, string(msg.Data) == tells, func() {}), nil //nolint:contextcheck // ctx bounds the dialing alone
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
