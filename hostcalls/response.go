package hostcalls

import "context"

// validCode reports whether a response may have the status code. net/http panics
// beyond 999, and takes 1xx for an interim response.
func validCode(code uint32) bool { return 200 <= code && code <= 999 }

func respSetHeader(_ context.Context, x *Exchange, g Guest, a args) error {
	if a.handle(0) != responseOutgoing {
		a.returnsStatus(false)
		return nil
	}
	ok, err := x.setHeader(g, a, 1, x.resp.Header)
	a.returnsStatus(ok)
	return err
}

func respSetBody(_ context.Context, x *Exchange, g Guest, a args) error {
	body, err := a.bytes(g, 1, "body")
	if err != nil {
		return err
	}
	ok := a.handle(0) == responseOutgoing && x.setBody(body)
	a.returnsStatus(ok)
	return nil
}

// setBody replaces the response's body by a copy of b.
func (x *Exchange) setBody(b []byte) bool {
	if limit := x.t.maxBody(); int64(len(b)) > limit {
		x.fail("a response body of %d bytes exceeds the limit of %d", len(b), limit)
		return false
	}
	x.resp.Body = append(x.resp.Body[:0], b...)
	return true
}

func respSetResponseCode(_ context.Context, x *Exchange, _ Guest, a args) error {
	ok := a.handle(0) == responseOutgoing && validCode(a.u32(1))
	if ok {
		x.resp.Code = int(a.u32(1))
	}
	a.returnsStatus(ok)
	return nil
}
