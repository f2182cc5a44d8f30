package http

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
	"github.com/terrane/terrane/hostcalls/wasi/stream"
)

// The bounds of a response's header, as in package hostcalls.
const (
	maxHeader = 256 << 10
	lineCost  = 32
)

var errHeader = errors.New("the header of the response has more than 256 KiB")

// budget is how much a guest may write at once.
const budget = 64 << 10

// sendAt is how much of a response is held back at most until the guest waits or ends.
const sendAt = 64 << 10

// outgoingBody is the resource of that name, and its stream.
type outgoingBody struct {
	p        *part
	length   int64 // what the header says; -1: nothing
	written  int64
	response bool // and not a request's
	taken    bool // the stream
	begun    bool // the message it belongs to is sent
	finished bool
	broken   error // why the stream takes no more
	trailers *fields
	buf      []byte // what was written before it has begun
	stream   stream.Output

	upload *upload // of a request
}

func (b *outgoingBody) reset(p *part) {
	buf := b.buf[:0]
	if cap(buf) > sendAt {
		buf = nil
	}
	*b = outgoingBody{p: p, length: -1, buf: buf}
}

// Drop implements abi.Resource: a body that is not finished is broken.
func (b *outgoingBody) Drop() { b.abort(errUnfinished) }

func (b *outgoingBody) abort(err error) {
	if !b.finished && b.broken == nil {
		b.broken = err
		if b.upload != nil {
			b.upload.end(err)
		}
	}
}

// bodyStream is the stream of an outgoing body.
type bodyStream struct{ *outgoingBody }

// Close implements stream.Sink.
func (bodyStream) Close() {}

// Ready implements stream.Waiter.
func (s bodyStream) Ready() bool {
	n, err := s.Budget()
	return n > 0 || err != nil
}

// Budget implements stream.Sink.
func (s bodyStream) Budget() (int, error) {
	switch {
	case s.broken != nil:
		return 0, s.broken
	case s.upload != nil:
		return s.upload.budget()
	}
	return budget, nil
}

// Flush implements stream.Sink. What is written is sent when the guest waits: guests flush each few KiB.
func (bodyStream) Flush() error { return nil }

// Write implements stream.Sink.
func (s bodyStream) Write(b []byte) error {
	if s.length >= 0 && s.written+int64(len(b)) > s.length {
		s.broken = s.sizeError(s.written + int64(len(b)))
		return s.broken
	}
	s.written += int64(len(b))
	switch {
	case s.upload != nil:
		return s.upload.write(b)
	case !s.begun:
		return s.keep(b)
	}
	return s.reply(b)
}

// keep adds to what is kept until the message begins.
func (s bodyStream) keep(b []byte) error {
	x := s.p.exchange()
	if limit := x.MaxBody(); s.response && s.written > limit {
		s.broken = fmt.Errorf("a body of more than the limit of %d bytes", limit)
	} else if !s.response {
		s.broken = x.Hold(int64(len(b)))
	}
	if s.broken == nil {
		s.buf = append(s.buf, b...)
	}
	return s.broken
}

var errLost = errors.New("the response cannot be sent")

// reply adds to the response's body.
func (s bodyStream) reply(b []byte) error {
	x := s.p.exchange()
	r := x.Reply()
	if limit := x.MaxBody(); s.written > limit {
		s.broken = fmt.Errorf("a response body of more than the limit of %d bytes", limit)
		x.Refuse("%v", s.broken)
		return s.broken
	}
	r.Body = append(r.Body, b...)
	if len(r.Body) >= sendAt && !x.SendChunk(nil) {
		s.broken = errLost
		return s.broken
	}
	return nil
}

func (b *outgoingBody) sizeError(n int64) error {
	kind := requestBodySize
	if b.response {
		kind = responseBodySize
	}
	return ErrorCode{kind: kind, n: uint64(n), hasN: true}
}

func bodyWrite(_ context.Context, c *abi.Call) error {
	b, err := abi.Lent[*outgoingBody](c, 0)
	if err != nil {
		return err
	}
	if b.taken {
		c.Err()
		return nil
	}
	b.taken = true
	b.stream.Sink = bodyStream{b}
	return c.Ok().New(&b.stream, c.U32(0))
}

func bodyFinish(_ context.Context, c *abi.Call) error {
	b, err := abi.Taken[*outgoingBody](c, 0)
	if err != nil {
		return err
	}
	has, err := c.Case(1, 2)
	if err != nil {
		return err
	}
	var trailers *fields
	if has == 1 {
		if trailers, err = abi.Taken[*fields](c, 2); err != nil {
			return err
		}
	}
	if b.broken == nil && b.length > b.written {
		b.abort(b.sizeError(b.written))
	}
	if b.broken != nil {
		codeOf(b.broken).put(c.Err())
		return nil
	}
	b.finished, b.trailers = true, trailers
	if b.upload != nil {
		b.upload.end(nil)
	}
	c.Ok()
	return nil
}

// incomingBody is the resource of that name, of a request or a response.
type incomingBody struct {
	p        *part
	source   stream.Source
	whole    stream.Bytes // the source, if the body is whole
	taken    bool         // the stream
	trailers func() (*fields, error)
	failed   error // of the source
	stream   stream.Input
}

func (b *incomingBody) reset(p *part) { *b = incomingBody{p: p} }

// Drop implements abi.Resource.
func (b *incomingBody) Drop() { b.source.Close() }

// bodySource notes how the stream of an incoming body ends.
type bodySource struct{ *incomingBody }

// Ready implements stream.Waiter.
func (s bodySource) Ready() bool { return s.source.Ready() }

// Read implements stream.Source.
func (s bodySource) Read(n int) ([]byte, error) {
	b, err := s.source.Read(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return b, err
}

// Close implements stream.Source: the source ends with the body.
func (bodySource) Close() {}

func incomingBodyStream(_ context.Context, c *abi.Call) error {
	b, err := abi.Lent[*incomingBody](c, 0)
	if err != nil {
		return err
	}
	if b.taken {
		c.Err()
		return nil
	}
	b.taken = true
	b.stream.Source = bodySource{b}
	return c.Ok().New(&b.stream, c.U32(0))
}

func incomingBodyFinish(_ context.Context, c *abi.Call) error {
	b, err := abi.Taken[*incomingBody](c, 0)
	if err != nil {
		return err
	}
	return c.ReturnNew(&futureTrailers{body: b}, 0)
}

// futureTrailers is the resource future-trailers. It reads what the guest has left of the body.
type futureTrailers struct {
	body  *incomingBody
	ended bool
	given bool
}

// Drop implements abi.Resource.
func (f *futureTrailers) Drop() { f.body.Drop() }

// maxSkip is how much of a body is read at a time for what comes after it.
const maxSkip = 64 << 10

// Ready implements stream.Waiter.
func (f *futureTrailers) Ready() bool {
	for !f.ended {
		b, err := bodySource{f.body}.Read(maxSkip)
		if err == nil && len(b) == 0 {
			return false
		}
		f.ended = err != nil
	}
	return true
}

func trailersSubscribe(_ context.Context, c *abi.Call) error {
	f, err := abi.Lent[*futureTrailers](c, 0)
	if err != nil {
		return err
	}
	return stream.Subscribe(c, f)
}

func trailersGet(_ context.Context, c *abi.Call) error {
	f, err := abi.Lent[*futureTrailers](c, 0)
	if err != nil {
		return err
	}
	r := c.Result()
	if !f.Ready() {
		r.None()
		return nil
	}
	if f.given {
		r.Some().Err()
		return nil
	}
	f.given = true
	inner := r.Some().Ok()
	if f.body.failed != nil {
		codeOf(f.body.failed).put(inner.Err())
		return nil
	}
	var trailers *fields
	if f.body.trailers != nil {
		if trailers, err = f.body.trailers(); err != nil {
			return err
		}
	}
	if trailers == nil {
		inner.Ok().None()
		return nil
	}
	return inner.Ok().Some().New(trailers, 0)
}
