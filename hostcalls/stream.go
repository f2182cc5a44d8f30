package hostcalls

import (
	"context"
	"errors"
	"io"
	"math"
)

// stream is a body that is read by and by.
type stream struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close ends what is left of the request.
func (s *stream) Close() error {
	s.cancel()
	return s.ReadCloser.Close()
}

func reqSendStreaming(ctx context.Context, x *Exchange, _ Guest, a args) error {
	if r := x.at(a.Handle(0)).request; r != nil {
		r.streaming = true
	}
	return reqSend(ctx, x, nil, a)
}

// respRead reads what has arrived of a response's body, at least one byte, into
// the guest's buffer. It returns the number of bytes: 0 at the end.
func respRead(ctx context.Context, x *Exchange, g Guest, a args) error {
	buf, err := a.Bytes(g, 1, "buffer")
	if err != nil {
		return err
	}
	buf = buf[:min(len(buf), math.MaxInt32)]
	r := x.at(a.Handle(0)).response
	if r == nil || len(buf) == 0 {
		if r == nil {
			x.fail("no response has the handle %d", a.Handle(0))
		}
		a.Return(failed)
		return nil
	}
	n, err := r.read(buf)
	if err != nil && !errors.Is(err, io.EOF) {
		x.fail("read of a response: %v", err)
		n = failed
	}
	a.Return(int32(n))
	return ctx.Err()
}

// read takes from the stream, or from a body that is already whole.
func (r *response) read(buf []byte) (n int, err error) {
	if r.stream == nil {
		n = copy(buf, r.body[r.offset:])
		r.offset += n
		return n, nil
	}
	for n == 0 && err == nil {
		n, err = r.stream.Read(buf)
	}
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// respSendChunk sends a part of the body to the visitor at once, headers and
// status before the first; they are settled then.
func respSendChunk(ctx context.Context, x *Exchange, g Guest, a args) error {
	chunk, err := a.Bytes(g, 1, "chunk")
	if err != nil {
		return err
	}
	a.ReturnStatus(a.Handle(0) == responseOutgoing && x.sendChunk(chunk))
	return ctx.Err()
}

func (x *Exchange) sendChunk(chunk []byte) bool {
	x.answered = true
	if limit := x.t.maxBody(); x.refused[partBody] != "" || x.streamed+int64(len(x.resp.Body)+len(chunk)) > limit {
		return x.refuse(&x.refused, partBody, "a response body of more than the limit of %d bytes", limit)
	}
	if x.req.Stream == nil { // the server sends the whole body when the guest has returned
		x.resp.Body = append(x.resp.Body, chunk...)
		return true
	}
	if err := x.refused.err(); x.stream == nil && err != nil { // the visitor would get an answer that lacks a part
		return x.refuse(&x.refused, partBody, "no chunk is sent after a refused part of the response: %v", err)
	}
	if x.stream == nil {
		w, err := x.req.Stream(&x.resp)
		if err != nil {
			x.fail("the visitor cannot be sent to: %v", err)
			return false
		}
		x.stream = w
	}
	before := x.resp.Body
	x.resp.Body = before[:0]
	for _, part := range [...][]byte{before, chunk} {
		x.streamed += int64(len(part))
		if len(part) == 0 {
			continue
		}
		if _, err := x.stream.Write(part); err != nil {
			x.fail("the visitor cannot be sent to: %v", err)
			return false
		}
	}
	return true
}

// settled reports whether status and headers have been sent.
func (x *Exchange) settled() bool { return x.stream != nil }

// tooLate reports whether a header can no longer be set, and logs it. The response goes on: it
// is what it would be without the header.
func (x *Exchange) tooLate() bool {
	if x.settled() {
		x.fail("a response header was set after the header was sent")
	}
	return x.settled()
}
