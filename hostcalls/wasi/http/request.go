package http

import (
	"context"
	"strings"

	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// incomingRequest is the resource incoming-request.
type incomingRequest struct {
	p        *part
	consumed bool
}

// Drop implements abi.Resource.
func (*incomingRequest) Drop() {}

// giveRequest gives the entry of a component its request.
func giveRequest(_ context.Context, c *abi.Call) error {
	p := partOf(c.State)
	p.given = true
	p.request = incomingRequest{p: p}
	return c.ReturnNew(&p.request, 0)
}

func incoming(c *abi.Call) (*incomingRequest, error) { return abi.Lent[*incomingRequest](c, 0) }

// methodCase is the case of variant method, which is the last one for all others.
func methodCase(method string) int {
	for i, m := range methods() {
		if m == method {
			return i
		}
	}
	return otherMethod
}

func methods() [otherMethod]string {
	return [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}
}

const otherMethod = 9

func putMethod(to abi.Place, method string) {
	i := methodCase(method)
	if payload := to.Case(i); i == otherMethod {
		payload.Text(abi.Valid(method))
	}
}

// The cases of scheme.
const (
	schemeHTTP = iota
	schemeHTTPS
	otherScheme
	schemes
)

func putScheme(to abi.Place, scheme string) {
	switch scheme {
	case "http":
		to.Case(schemeHTTP)
	case "https":
		to.Case(schemeHTTPS)
	default:
		to.Case(otherScheme).Text(abi.Valid(scheme))
	}
}

func requestMethod(_ context.Context, c *abi.Call) error {
	if _, err := incoming(c); err != nil {
		return err
	}
	putMethod(c.Result(), c.X.Request().Method)
	return nil
}

func requestPath(_ context.Context, c *abi.Call) error {
	if _, err := incoming(c); err != nil {
		return err
	}
	c.Result().Some().Text(abi.Valid(c.X.Request().Path))
	return nil
}

func requestScheme(_ context.Context, c *abi.Call) error {
	if _, err := incoming(c); err != nil {
		return err
	}
	putScheme(c.Result().Some(), strings.ToLower(c.X.Request().Scheme))
	return nil
}

func requestAuthority(_ context.Context, c *abi.Call) error {
	if _, err := incoming(c); err != nil {
		return err
	}
	c.Result().Some().Text(abi.Valid(c.X.Request().Host))
	return nil
}

func requestHeaders(_ context.Context, c *abi.Call) error {
	r, err := incoming(c)
	if err != nil {
		return err
	}
	f, err := r.p.incomingHeaders()
	if err != nil {
		return err
	}
	return c.ReturnNew(f, 0)
}

// incomingHeaders are the request's.
func (p *part) incomingHeaders() (*fields, error) {
	if p.headers != nil {
		return p.headers, nil
	}
	f := p.newFields()
	var err error
	p.exchange().ClientFields(func(name, value string) {
		if n := p.nameOf([]byte(name)); n != nil && !n.forbidden && err == nil {
			err = f.add(n, value)
		}
	})
	f.sort()
	f.immutable = true
	p.headers = f
	return f, err
}

func requestConsume(_ context.Context, c *abi.Call) error {
	r, err := incoming(c)
	if err != nil {
		return err
	}
	if r.consumed {
		c.Err()
		return nil
	}
	r.consumed = true
	b := r.p.received.next()
	b.whole.Reset(c.X.Request().Body)
	b.source = &b.whole
	if t := c.X.Request().Trailer; len(t) > 0 {
		b.trailers = func() (*fields, error) { return r.p.fieldsOf(t) }
	}
	return c.Ok().New(b, 0)
}
