package http

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/hostcalls/wasi/abi"
)

// outgoingRequest is the resource of that name. Empty strings are options that are none.
type outgoingRequest struct {
	p         *part
	headers   *fields
	method    string
	path      string
	hasPath   bool
	scheme    string
	authority string
	hasHost   bool
	body      *outgoingBody
}

// Drop implements abi.Resource.
func (*outgoingRequest) Drop() {}

func outbound(c *abi.Call) (*outgoingRequest, error) { return abi.Lent[*outgoingRequest](c, 0) }

func outboundNew(_ context.Context, c *abi.Call) error {
	headers, err := abi.Taken[*fields](c, 0)
	if err != nil {
		return err
	}
	headers.immutable = true
	return c.ReturnNew(&outgoingRequest{p: headers.p, headers: headers, method: http.MethodGet}, 0)
}

func outboundBody(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	length, ok := r.headers.contentLength()
	if r.body != nil || !ok {
		c.Err()
		return nil
	}
	r.body = r.p.bodies.next()
	r.body.length = length
	return c.Ok().New(r.body, 0)
}

func outboundMethod(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	putMethod(c.Result(), r.method)
	return nil
}

// The bounds of a request's parts, in bytes.
const (
	maxMethod = 32
	maxPart   = 32 << 10
)

func outboundSetMethod(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	i, err := c.Case(1, otherMethod+1)
	if err != nil {
		return err
	}
	if i < otherMethod {
		r.method = methods()[i]
		return c.ReturnBool(false)
	}
	b, err := c.Text(2)
	if err != nil {
		return err
	}
	if !isToken(b) || len(b) > maxMethod {
		return c.ReturnBool(true)
	}
	r.method = string(b)
	return c.ReturnBool(false)
}

func putOption(to abi.Place, s string, has bool) {
	if !has {
		to.None()
		return
	}
	to.Some().Text(s)
}

func outboundPath(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	putOption(c.Result(), r.path, r.hasPath)
	return nil
}

// optionalText is the option<string> from core parameter i on.
func optionalText(c *abi.Call, i int) (b []byte, has bool, err error) {
	some, err := c.Case(i, 2)
	if err != nil || some == 0 {
		return nil, false, err
	}
	b, err = c.Text(i + 1)
	return b, true, err
}

func outboundSetPath(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	b, has, err := optionalText(c, 1)
	if err != nil {
		return err
	}
	if len(b) > maxPart || strings.ContainsFunc(string(b), func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return c.ReturnBool(true)
	}
	r.path, r.hasPath = string(b), has
	return c.ReturnBool(false)
}

func outboundScheme(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	if r.scheme == "" {
		c.Result().None()
		return nil
	}
	putScheme(c.Result().Some(), r.scheme)
	return nil
}

func outboundSetScheme(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	some, err := c.Case(1, 2)
	if err != nil {
		return err
	}
	if some == 0 {
		r.scheme = ""
		return c.ReturnBool(false)
	}
	i, err := c.Case(2, schemes)
	if err != nil {
		return err
	}
	switch i {
	case schemeHTTP:
		r.scheme = "http"
	case schemeHTTPS:
		r.scheme = "https"
	default:
		b, err := c.Text(3)
		if err != nil {
			return err
		}
		if !validScheme(b) {
			return c.ReturnBool(true)
		}
		r.scheme = strings.ToLower(string(b))
	}
	return c.ReturnBool(false)
}

// validScheme reports whether b is a scheme (RFC 3986 3.1).
func validScheme(b []byte) bool {
	for i, c := range b {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || !strings.ContainsRune("0123456789+-.", rune(c))) {
			return false
		}
	}
	return len(b) > 0 && len(b) <= maxMethod
}

func outboundAuthority(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	putOption(c.Result(), r.authority, r.hasHost)
	return nil
}

func outboundSetAuthority(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	b, has, err := optionalText(c, 1)
	if err != nil {
		return err
	}
	if has && !validAuthority(string(b)) {
		return c.ReturnBool(true)
	}
	r.authority, r.hasHost = string(b), has
	return c.ReturnBool(false)
}

// validAuthority reports whether s is a host with or without a port.
func validAuthority(s string) bool {
	u, err := url.Parse("http://" + s)
	if err != nil || u.Host != s || u.Hostname() == "" || len(s) > 300 {
		return false
	}
	if port := u.Port(); port != "" {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	_, addrErr := netip.ParseAddr(u.Hostname())
	plain := !strings.ContainsFunc(u.Hostname(), func(c rune) bool { return c <= ' ' || c == 0x7f })
	return err == nil && (addrErr == nil || plain)
}

func outboundHeaders(_ context.Context, c *abi.Call) error {
	r, err := outbound(c)
	if err != nil {
		return err
	}
	return c.ReturnNew(r.headers, 0)
}

// requestOptions is the resource of that name: three durations.
type requestOptions [3]option

type option struct {
	has bool
	d   uint64 // nanoseconds
}

const (
	connectTimeout = iota
	firstByteTimeout
	betweenBytesTimeout
)

// Drop implements abi.Resource.
func (*requestOptions) Drop() {}

func optionsNew(_ context.Context, c *abi.Call) error { return c.ReturnNew(&requestOptions{}, 0) }

func optionsGet(i int) func(context.Context, *abi.Call) error {
	return func(_ context.Context, c *abi.Call) error {
		o, err := abi.Lent[*requestOptions](c, 0)
		if err != nil {
			return err
		}
		if !o[i].has {
			c.Result().None()
			return nil
		}
		c.Result().Some().Put(o[i].d)
		return nil
	}
}

func optionsSet(i int) func(context.Context, *abi.Call) error {
	return func(_ context.Context, c *abi.Call) error {
		o, err := abi.Lent[*requestOptions](c, 0)
		if err != nil {
			return err
		}
		some, err := c.Case(1, 2)
		if err != nil {
			return err
		}
		o[i] = option{some == 1, c.U64(2)}
		return c.ReturnBool(false)
	}
}

// duration is an option, or 0.
func (o *requestOptions) duration(i int) time.Duration {
	if o == nil || !o[i].has {
		return 0
	}
	return time.Duration(max(1, min(o[i].d, 1<<62)))
}

// url is where the request goes.
func (r *outgoingRequest) url() (*url.URL, error) {
	scheme := r.scheme
	switch scheme {
	case "":
		scheme = "https"
	case "http", "https":
	default:
		return nil, ErrorCode{kind: protocolError}
	}
	path := r.path
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if r.method == http.MethodConnect {
		return nil, ErrorCode{kind: requestMethodInvalid}
	}
	u, err := url.Parse(scheme + "://" + r.authority + path)
	if err != nil || u.Hostname() == "" {
		return nil, ErrorCode{kind: requestURIInvalid}
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// fetchRequest is the request for a Fetcher.
func (r *outgoingRequest) fetchRequest() (*hostcalls.FetchRequest, error) {
	u, err := r.url()
	if err != nil {
		return nil, err
	}
	f := &hostcalls.FetchRequest{Method: r.method, URL: u, Header: r.headers.header(), NoRedirects: true}
	for _, name := range [...]string{"Content-Length", "Te", "Trailer", "Host"} {
		delete(f.Header, name)
	}
	// A guest that passes on the headers of its own request means the host that it has named.
	if host, ok := r.headers.first("host"); ok && host != r.p.exchange().Request().Host {
		f.Host = host
	}
	b := r.body
	switch {
	case b == nil:
	case b.broken != nil:
		return nil, b.broken
	case b.finished:
		f.Body = b.buf
		b.begun = true
	default:
		b.upload = newUpload(r.p.s, b.buf)
		b.begun, b.buf = true, nil
		f.Stream, f.Length = b.upload, b.length
	}
	if b != nil && b.finished && b.trailers != nil {
		f.Trailer = b.trailers.header
	} else if b != nil && !b.finished {
		f.Trailer = func() http.Header {
			if b.trailers == nil {
				return nil
			}
			return b.trailers.header()
		}
	}
	return f, nil
}
