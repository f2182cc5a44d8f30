package hostcalls

import (
	"context"
	"errors"
	"fmt"

	"github.com/terrane/terrane/tenant"
)

// Messages carries messages to other modules of the same tenant. It is safe for
// concurrent use.
type Messages interface {
	// Publish returns once the message is kept: it is then handled at least once. The error
	// wraps ErrUnavailable if it may be kept in a moment.
	Publish(ctx context.Context, m *Message) error
	// Request returns what the module answered that subscribes to the message. The
	// text of an error is shown to the guest.
	Request(ctx context.Context, m *Message) (*Response, error)
}

// Message is what a guest sends. Messages only read it.
type Message struct {
	Subject tenant.Subject // without wildcards
	Body    []byte
	Hops    int // how many messages led to this one, itself included
}

// MessageMax bounds a message in bytes.
const MessageMax = 512 << 10

var errNoMessages = errors.New("there are no messages here")

// message reads a subject and a body, at the first four arguments. It counts as a
// subrequest.
func (x *Exchange) message(g Guest, a args) (*Message, error) {
	name, err := a.Bytes(g, 0, "subject")
	if err != nil {
		return nil, err
	}
	body, err := a.Bytes(g, 2, "message")
	if err != nil {
		return nil, err
	}
	m, err := x.newMessage(string(name), body)
	if err != nil {
		x.fail("message to %.200q: %v", name, err)
		return nil, nil
	}
	return m, nil
}

func (x *Exchange) newMessage(name string, body []byte) (*Message, error) {
	if x.t.Messages == nil {
		return nil, errNoMessages
	}
	subject, err := tenant.ParseSubject(name, false)
	if err != nil {
		return nil, err
	}
	if len(body) > MessageMax {
		return nil, fmt.Errorf("%d bytes: a message may have %d", len(body), MessageMax)
	}
	if err := x.spend(); err != nil {
		return nil, err
	}
	return &Message{Subject: subject, Body: append([]byte(nil), body...), Hops: x.req.Hops + 1}, nil
}

func publish(ctx context.Context, x *Exchange, g Guest, a args) error {
	m, err := x.message(g, a)
	if err != nil {
		return err
	}
	a.Return(failed)
	if m == nil {
		return nil
	}
	if err := x.t.Messages.Publish(ctx, m); err != nil {
		if errors.Is(err, ErrUnavailable) {
			x.unavailable = err
		}
		x.fail("publish %q: %v", m.Subject, err)
		return ctx.Err()
	}
	a.Return(0)
	return nil
}

// ask is hostcall_request: its answer is a response as of an outbound request.
func ask(ctx context.Context, x *Exchange, g Guest, a args) error {
	m, err := x.message(g, a)
	if err != nil {
		return err
	}
	a.Return(failed)
	if m == nil {
		return nil
	}
	resp, err := x.t.Messages.Request(ctx, m)
	if err == nil {
		err = x.hold(int64(len(resp.Body)) + headerSize(resp.Header))
	}
	if err != nil {
		x.fail("request %q: %v", m.Subject, err)
		return ctx.Err()
	}
	a.Return(x.newHandle(handle{response: &response{code: resp.Code, header: resp.Header, body: resp.Body}}))
	return nil
}
