package hostcalls

import (
	"context"
	"net/http"
)

// validCode reports whether a response may have the status code. net/http panics
// beyond 999, and takes 1xx for an interim response.
func validCode(code uint32) bool { return 200 <= code && code <= 999 }

func respSetHeader(_ context.Context, x *Exchange, g Guest, a args) error {
	if a.Handle(0) != responseOutgoing || x.tooLate() {
		a.ReturnStatus(false)
		return nil
	}
	ok, err := setHeaderTo(x, g, a, x.resp.Header, &x.refused)
	x.answered = x.answered || ok
	a.ReturnStatus(ok)
	return err
}

// setHeaderTo sets the header whose name is at the arguments 1 and 2, its values
// at 3 and 4.
func setHeaderTo(x *Exchange, g Guest, a args, h http.Header, refused *refusals) (bool, error) {
	name, err := a.Bytes(g, 1, "name")
	if err != nil {
		return false, err
	}
	values, err := a.Slices(g, 3, "values")
	if err != nil {
		return false, err
	}
	return x.setHeader(h, refused, name, values)
}

func respSetBody(_ context.Context, x *Exchange, g Guest, a args) error {
	body, err := a.Bytes(g, 1, "body")
	if err != nil {
		return err
	}
	ok := a.Handle(0) == responseOutgoing && x.setBody(body)
	a.ReturnStatus(ok)
	return nil
}

// setBody replaces the response's body by a copy of b.
func (x *Exchange) setBody(b []byte) bool {
	if x.settled() {
		return len(b) > 0 && x.refuse(&x.refused, partBody, "a response body was set after parts of it were sent")
	}
	if limit := x.t.maxBody(); int64(len(b)) > limit {
		return x.refuse(&x.refused, partBody, "a response body of %d bytes exceeds the limit of %d", len(b), limit)
	}
	x.resp.Body = append(x.resp.Body[:0], b...)
	x.answered = true
	x.refused.accept(partBody)
	return true
}

func respSetResponseCode(_ context.Context, x *Exchange, _ Guest, a args) error {
	a.ReturnStatus(a.Handle(0) == responseOutgoing && x.setCode(a.U32(1)))
	return nil
}

func (x *Exchange) setCode(code uint32) bool {
	if x.settled() {
		return uint32(x.resp.Code) != code && x.refuse(&x.refused, partCode, "the status code %d was set after %d was sent", code, x.resp.Code)
	}
	if !validCode(code) {
		return x.refuse(&x.refused, partCode, "the status code %d is not from 200 to 999", code)
	}
	x.resp.Code = int(code)
	x.answered = true
	x.refused.accept(partCode)
	return true
}
