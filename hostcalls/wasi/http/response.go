package http

import (
	"context"
	"strconv"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// outparam is the resource response-outparam.
type outparam struct{ p *part }

// Drop implements abi.Resource.
func (*outparam) Drop() {}

// giveOutparam gives the entry of a component its response-outparam.
func giveOutparam(_ context.Context, c *abi.Call) error {
	p := partOf(c.State)
	p.given = true
	p.outparam = outparam{p}
	return c.ReturnNew(&p.outparam, 0)
}

// outgoingResponse is the resource of that name.
type outgoingResponse struct {
	p       *part
	status  int
	headers *fields
	body    *outgoingBody // nil until asked for
}

// Drop implements abi.Resource.
func (*outgoingResponse) Drop() {}

func (r *outgoingResponse) reset(p *part) { *r = outgoingResponse{p: p, status: 200} }

func outgoing(c *abi.Call) (*outgoingResponse, error) { return abi.Lent[*outgoingResponse](c, 0) }

func responseNew(_ context.Context, c *abi.Call) error {
	headers, err := abi.Taken[*fields](c, 0)
	if err != nil {
		return err
	}
	headers.immutable = true
	r := headers.p.responses.next()
	r.headers = headers
	return c.ReturnNew(r, 0)
}

func responseStatus(_ context.Context, c *abi.Call) error {
	r, err := outgoing(c)
	if err != nil {
		return err
	}
	return c.Return(uint64(r.status))
}

// responseSetStatus takes what can be the status of a final response.
func responseSetStatus(_ context.Context, c *abi.Call) error {
	r, err := outgoing(c)
	if err != nil {
		return err
	}
	status := int(uint16(c.U32(1)))
	if status < 200 || status > 999 {
		return c.ReturnBool(true)
	}
	r.status = status
	return c.ReturnBool(false)
}

func responseHeaders(_ context.Context, c *abi.Call) error {
	r, err := outgoing(c)
	if err != nil {
		return err
	}
	return c.ReturnNew(r.headers, 0)
}

func responseBody(_ context.Context, c *abi.Call) error {
	r, err := outgoing(c)
	if err != nil {
		return err
	}
	length, ok := r.headers.contentLength()
	if r.body != nil || !ok {
		c.Err()
		return nil
	}
	r.body = r.p.bodies.next()
	r.body.length, r.body.response = length, true
	return c.Ok().New(r.body, 0)
}

// contentLength is what the fields say of the body's length, -1 if nothing.
func (f *fields) contentLength() (int64, bool) {
	v, found := f.first("content-length")
	if !found {
		return -1, true
	}
	n, err := strconv.ParseUint(v, 10, 63)
	return int64(n), err == nil && v[0] != '+'
}

func outparamSet(_ context.Context, c *abi.Call) error {
	out, err := abi.Taken[*outparam](c, 0)
	if err != nil {
		return err
	}
	isError, err := c.Case(1, 2)
	if err != nil {
		return err
	}
	p, x := out.p, c.X
	p.set = true
	if isError == 1 {
		code, err := liftErrorCode(c, 2)
		if err != nil {
			return err
		}
		x.Reply().Code = 500
		x.Refuse("the component has answered with the error %v", code)
		return nil
	}
	r, err := abi.Taken[*outgoingResponse](c, 2)
	if err != nil {
		return err
	}
	reply := x.Reply()
	reply.Code = r.status
	if err := p.copyHeader(r.headers); err != nil {
		x.Refuse("%v", err)
		return nil
	}
	if p.body = r.body; p.body != nil {
		p.body.begun = true
		reply.Body, p.body.buf = p.body.buf, reply.Body[:0]
	}
	return nil
}

// copyHeader makes the fields those of the reply.
func (p *part) copyHeader(f *fields) error {
	h, size := p.exchange().Reply().Header, 0
	for i, first := range f.list {
		size += len(first.lower) + len(first.value) + lineCost
		if h[first.canonical] != nil || first.lower == "host" {
			continue
		}
		from := len(p.lines)
		for _, same := range f.list[i:] {
			if same.lower == first.lower {
				p.lines = append(p.lines, same.value)
			}
		}
		h[first.canonical] = p.lines[from:len(p.lines):len(p.lines)]
	}
	if size > maxHeader {
		clear(h)
		return errHeader
	}
	return nil
}

// send sends what was written of the response.
func (p *part) send() {
	x := p.exchange()
	if b := p.body; !x.Sent() && b.length < 0 && b.finished && b.trailers == nil {
		x.Reply().Header["Content-Length"] = []string{strconv.FormatInt(b.written, 10)}
	}
	x.SendChunk(nil)
}

func informational(_ context.Context, c *abi.Call) error {
	if _, err := abi.Lent[*outparam](c, 0); err != nil {
		return err
	}
	if _, err := abi.Taken[*fields](c, 2); err != nil {
		return err
	}
	internalError("informational responses are not sent").put(c.Err())
	return nil
}
