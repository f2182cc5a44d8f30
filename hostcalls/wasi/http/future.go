package http

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// handle is outgoing-handler: it sends a request.
func handle(ctx context.Context, c *abi.Call) error {
	r, err := abi.Taken[*outgoingRequest](c, 0)
	if err != nil {
		return err
	}
	some, err := c.Case(1, 2)
	if err != nil {
		return err
	}
	var options *requestOptions
	if some == 1 {
		if options, err = abi.Taken[*requestOptions](c, 2); err != nil {
			return err
		}
	}
	p := r.p
	f, err := r.fetchRequest()
	if err != nil {
		codeOf(err).put(c.Err())
		return nil
	}
	if err := c.X.Spend(); err != nil {
		c.X.Fail("fetch %s: %v", f.URL.Redacted(), err)
		ErrorCode{kind: connectionLimitReached}.put(c.Err())
		return nil
	}
	future := &futureResponse{p: p, between: options.duration(betweenBytesTimeout)}
	future.start(ctx, f, options)
	return c.Ok().New(future, 0)
}

// futureResponse is the resource future-incoming-response.
type futureResponse struct {
	p       *part
	cancel  context.CancelCauseFunc
	between time.Duration
	given   bool

	mu      sync.Mutex
	done    bool
	dropped bool
	resp    *hostcalls.FetchResponse
	err     error
}

var errDropped = errors.New("the guest has dropped the request")

// start sends the request in a goroutine, for which Close of the part waits.
func (f *futureResponse) start(ctx context.Context, r *hostcalls.FetchRequest, o *requestOptions) {
	ctx, f.cancel = context.WithCancelCause(ctx)
	if d := o.duration(connectTimeout); d > 0 {
		t := time.AfterFunc(d, func() { f.cancel(ErrorCode{kind: connectionTimeout}) })
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { t.Stop() }})
	}
	var first *time.Timer
	if d := o.duration(firstByteTimeout); d > 0 {
		first = time.AfterFunc(d, func() { f.cancel(ErrorCode{kind: responseTimeout}) })
	}
	x, s := f.p.exchange(), f.p.s
	f.p.background.Go(func() {
		resp, err := x.Fetch(ctx, r)
		if first != nil {
			first.Stop()
		}
		if err == nil {
			if err = x.Hold(size(resp.Header)); err != nil {
				_ = resp.Body.Close() // of no use
				err = ErrorCode{kind: responseHeaderSectionSize}
			}
		} else if cause, ok := errors.AsType[ErrorCode](context.Cause(ctx)); ok {
			err = cause
		}
		f.mu.Lock()
		f.resp, f.err, f.done = resp, err, true
		if f.dropped && err == nil {
			_ = resp.Body.Close() // nobody reads it
		}
		f.mu.Unlock()
		s.Wake()
	})
}

// size is about what a header takes in memory.
func size(h http.Header) (n int64) {
	for name, values := range h {
		for _, v := range values {
			n += int64(len(name)+len(v)) + fieldCost
		}
	}
	return n
}

// Ready implements stream.Waiter.
func (f *futureResponse) Ready() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done
}

// Drop implements abi.Resource.
func (f *futureResponse) Drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.given && f.err == nil {
		return // the response lives on
	}
	f.dropped = true
	f.cancel(errDropped)
	if f.done && f.err == nil {
		_ = f.resp.Body.Close() // nobody reads it
	}
}

func futureSubscribe(_ context.Context, c *abi.Call) error {
	f, err := abi.Lent[*futureResponse](c, 0)
	if err != nil {
		return err
	}
	return stream.Subscribe(c, f)
}

func futureGet(_ context.Context, c *abi.Call) error {
	f, err := abi.Lent[*futureResponse](c, 0)
	if err != nil {
		return err
	}
	r := c.Result()
	switch {
	case !f.Ready():
		r.None()
		return nil
	case f.given:
		r.Some().Err()
		return nil
	}
	f.given = true
	inner := r.Some().Ok()
	if f.err != nil {
		c.X.Fail("fetch: %v", f.err)
		codeOf(f.err).put(inner.Err())
		return nil
	}
	return inner.Ok().New(&incomingResponse{p: f.p, resp: f.resp, cancel: f.cancel, between: f.between}, 0)
}

// incomingResponse is the resource of that name.
type incomingResponse struct {
	p        *part
	resp     *hostcalls.FetchResponse
	cancel   context.CancelCauseFunc
	between  time.Duration
	headers  *fields
	consumed bool
}

// Drop implements abi.Resource.
func (r *incomingResponse) Drop() {
	if !r.consumed {
		r.cancel(errDropped)
		_ = r.resp.Body.Close() // nobody reads it
	}
}

func response(c *abi.Call) (*incomingResponse, error) { return abi.Lent[*incomingResponse](c, 0) }

func incomingStatus(_ context.Context, c *abi.Call) error {
	r, err := response(c)
	if err != nil {
		return err
	}
	return c.Return(uint64(r.resp.Code))
}

func incomingResponseHeaders(_ context.Context, c *abi.Call) error {
	r, err := response(c)
	if err != nil {
		return err
	}
	if r.headers == nil {
		if r.headers, err = r.p.fieldsOf(r.resp.Header); err != nil {
			return err
		}
	}
	return c.ReturnNew(r.headers, 0)
}

// fieldsOf are the fields of a message that came from elsewhere.
func (p *part) fieldsOf(h http.Header) (*fields, error) {
	f := p.newFields()
	for name, values := range h {
		n := p.nameOf([]byte(name))
		if n == nil || n.forbidden {
			continue
		}
		for _, v := range values {
			if err := f.add(n, v); err != nil {
				return nil, err
			}
		}
	}
	f.sort()
	f.immutable = true
	return f, nil
}

func incomingConsume(_ context.Context, c *abi.Call) error {
	r, err := response(c)
	if err != nil {
		return err
	}
	if r.consumed {
		c.Err()
		return nil
	}
	r.consumed = true
	b := r.p.received.next()
	b.source = newDownload(r)
	if r.resp.Trailer != nil {
		b.trailers = func() (*fields, error) {
			if h := r.resp.Trailer(); len(h) > 0 {
				return r.p.fieldsOf(h)
			}
			return nil, nil
		}
	}
	return c.Ok().New(b, 0)
}
