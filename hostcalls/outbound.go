package hostcalls

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/terrane/terrane/hostcalls/field"
	"github.com/terrane/terrane/hostcalls/guestmem"
)

// Answers of functions that give a handle.
const (
	failed   = -1
	notReady = -2
)

const (
	maxHandles = 1024 // requests, pending requests and responses of one Exchange
	maxMethod  = 32
	maxURL     = 32 << 10
)

// handle is what one handle stands for: one of the three, or none once consumed.
type handle struct {
	request  *request
	pending  *pending
	response *response
}

// request is an outbound request that the guest is building.
type request struct {
	method string
	url    *url.URL
	header http.Header
	host   string
	body   []byte

	refused   refusals
	timeout   time.Duration // 0: the fetcher's own
	streaming bool
}

// response is the answer to an outbound request.
type response struct {
	code   int
	header http.Header
	body   []byte
	offset int           // of body, for resp_read
	stream io.ReadCloser // instead of body, while it lasts
}

// end stops what still goes on behind a handle.
func (h handle) end() {
	if h.pending != nil {
		h.pending.cancel()
	}
	if h.response != nil && h.response.stream != nil {
		_ = h.response.stream.Close() // nobody will know
	}
}

// newHandle gives h a handle, or failed when there are too many.
func (x *Exchange) newHandle(h handle) int32 {
	if len(x.handles) == maxHandles {
		x.fail("more than %d handles", maxHandles)
		h.end()
		return failed
	}
	x.handles = append(x.handles, h)
	return int32(len(x.handles))
}

// at returns what n stands for, the empty handle if nothing.
func (x *Exchange) at(n int32) *handle {
	if n < 1 || int(n) > len(x.handles) {
		return &handle{}
	}
	return &x.handles[n-1]
}

// limits that have a default.
func (t *Tenant) maxBody() int64 { return cmp.Or(t.Limits.ResponseBody, defaultResponseBody) }
func (t *Tenant) maxHeld() int64 { return cmp.Or(t.Limits.Memory, defaultMemory) }
func (t *Tenant) maxSent() int   { return cmp.Or(t.Limits.Subrequests, defaultSubrequests) }

// hold reserves n bytes of host memory for fetches. What the host holds for a
// guest is bounded by what the guest may hold itself.
func (x *Exchange) hold(n int64) error {
	if limit := x.t.maxHeld(); x.held.Add(n) > limit {
		x.held.Add(-n)
		return fmt.Errorf("the headers and bodies of the request's fetches exceed %d bytes", limit)
	}
	return nil
}

func (x *Exchange) newRequest(method, rawURL []byte) (*request, error) {
	if !field.Token(method) || len(method) > maxMethod || string(method) == http.MethodConnect {
		return nil, fmt.Errorf("%.40q is no method to fetch with", method)
	}
	if len(rawURL) > maxURL {
		return nil, fmt.Errorf("a URL of %d bytes, more than %d", len(rawURL), maxURL)
	}
	u, err := url.Parse(string(rawURL))
	if err != nil {
		return nil, err
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" {
		return nil, fmt.Errorf("%.200q is no absolute URL of http or https", rawURL)
	}
	u.Fragment, u.RawFragment = "", ""
	if err := x.hold(int64(len(rawURL))); err != nil {
		return nil, err
	}
	return &request{method: string(method), url: u, header: http.Header{}}, nil
}

func reqCreate(_ context.Context, x *Exchange, g Guest, a args) error {
	method, err := a.Bytes(g, 0, "method")
	if err != nil {
		return err
	}
	rawURL, err := a.Bytes(g, 2, "url")
	if err != nil {
		return err
	}
	a.Return(x.createRequest(method, rawURL))
	return nil
}

func (x *Exchange) createRequest(method, rawURL []byte) int32 {
	r, err := x.newRequest(method, rawURL)
	if err != nil {
		x.fail("request: %v", err)
		return failed
	}
	return x.newHandle(handle{request: r})
}

func reqSetHeader(_ context.Context, x *Exchange, g Guest, a args) error {
	r := x.at(a.Handle(0)).request
	if r == nil {
		a.ReturnStatus(false)
		return nil
	}
	ok, err := setHeaderTo(x, g, a, r.header, &r.refused)
	a.ReturnStatus(ok && x.takeHost(r))
	return err
}

// takeHost moves a Host header to where net/http wants it.
func (x *Exchange) takeHost(r *request) bool {
	host := r.header[hostHeader]
	delete(r.header, hostHeader)
	if len(host) == 0 {
		return true
	}
	if len(host) > 1 || !validHost(host[0]) {
		return x.refuse(&r.refused, hostHeader, "%.100q is not one host", host)
	}
	r.host = host[0]
	return true
}

// validHost reports whether s is a name, or address, with or without a port, as
// far as that no byte of it can end the header or mean something in a URL.
func validHost(s string) bool {
	return s != "" && len(s) <= 300 && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`/\?#@"<>^{|}`+"`", c)
	})
}

func reqSetBody(_ context.Context, x *Exchange, g Guest, a args) error {
	body, err := a.Bytes(g, 1, "body")
	if err != nil {
		return err
	}
	a.ReturnStatus(x.setRequestBody(a.Handle(0), body))
	return nil
}

func (x *Exchange) setRequestBody(n int32, body []byte) bool {
	r := x.at(n).request
	if r == nil {
		return false
	}
	if err := x.hold(int64(len(body)) - int64(len(r.body))); err != nil {
		return x.refuse(&r.refused, partBody, "request body: %v", err)
	}
	r.refused.accept(partBody)
	r.body = bytes.Clone(body)
	return true
}

func reqSetTimeout(_ context.Context, x *Exchange, _ Guest, a args) error {
	r := x.at(a.Handle(0)).request
	if r != nil {
		r.timeout = time.Duration(a.U32(1)) * time.Millisecond
	}
	a.ReturnStatus(r != nil)
	return nil
}

func reqSend(ctx context.Context, x *Exchange, _ Guest, a args) error {
	n, err := x.send(ctx, a.Handle(0))
	a.Return(n)
	return err
}

// send sends a request, waits for its response, and returns that one's handle.
func (x *Exchange) send(ctx context.Context, n int32) (int32, error) {
	r := x.consume(n)
	if r == nil {
		return failed, nil
	}
	resp, err := x.fetch(ctx, r)
	return x.arrived(ctx, r, resp, err)
}

// consume takes the request from its handle to be sent. It returns nil if there
// is none or the request has sent enough.
func (x *Exchange) consume(n int32) *request {
	h := x.at(n)
	r := h.request
	if r == nil {
		x.fail("no request has the handle %d", n)
		return nil
	}
	h.request = nil
	err := r.refused.err()
	if err == nil {
		err = x.spend()
	}
	if err != nil {
		x.fail("fetch %s: %v", r.url.Redacted(), err)
		return nil
	}
	return r
}

// spend takes one of the request's subrequests.
func (x *Exchange) spend() error {
	if x.sent >= x.t.maxSent() {
		return fmt.Errorf("more than %d subrequests", x.t.maxSent())
	}
	x.sent++
	return nil
}

// arrived gives a response its handle.
func (x *Exchange) arrived(ctx context.Context, r *request, resp *response, err error) (int32, error) {
	x.held.Add(-int64(len(r.body)))
	if ctx.Err() != nil {
		handle{response: resp}.end()
		return failed, ctx.Err()
	}
	if err != nil {
		x.fail("fetch %s: %v", r.url.Redacted(), err)
		return failed, nil
	}
	return x.newHandle(handle{response: resp}), nil
}

var errNoFetcher = errors.New("fetching is not possible here")

// loopHeader tells of each CDN that a request has passed (RFC 8586): a guest that
// fetches itself, by whatever detour, must not do so for ever.
const (
	loopHeader = "Cdn-Loop"
	loopName   = "terrane"
	maxLoops   = 4
)

// loopError says that a request has passed this host too often.
type loopError struct{}

// Error tells how often.
func (loopError) Error() string {
	return fmt.Sprintf("a loop: the request has come through terrane %d times", maxLoops)
}

// Fault implements FetchError.
func (loopError) Fault() Fault { return FaultLoop }

func (x *Exchange) markLoop(h http.Header) error {
	passed := strings.Join(x.req.Header[loopHeader], ", ")
	if strings.Count(strings.ToLower(passed), loopName) >= maxLoops {
		return loopError{}
	}
	if passed != "" {
		passed += ", "
	}
	h[loopHeader] = []string{passed + loopName}
	return nil
}

// fieldCost is what one line of a response's header takes in memory in addition to its text.
const fieldCost = 128

func headerSize(h http.Header) (n int64) {
	for name, values := range h {
		n += int64(len(name))
		for _, v := range values {
			n += int64(len(v)) + fieldCost
		}
	}
	return n
}

// fetch runs in a goroutine of its own for asynchronous requests.
func (x *Exchange) fetch(ctx context.Context, r *request) (*response, error) {
	if x.t.Fetcher == nil {
		return nil, errNoFetcher
	}
	if err := x.markLoop(r.header); err != nil {
		return nil, err
	}
	cancel := context.CancelFunc(func() {})
	if r.timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
	}
	got, err := x.t.Fetcher.Fetch(ctx, &FetchRequest{
		Tenant: x.t.ID, Method: r.method, URL: r.url, Header: r.header, Host: r.host, Body: r.body, Allow: x.t.Allow,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	if err := x.hold(headerSize(got.Header)); err != nil {
		cancel()
		return nil, errors.Join(err, got.Body.Close())
	}
	resp := &response{code: got.Code, header: got.Header}
	if r.streaming {
		resp.stream = &stream{got.Body, cancel}
		return resp, nil
	}
	defer cancel()
	resp.body, err = x.readBody(got)
	return resp, err
}

// readBody reads and closes a response's body, within the limits.
func (x *Exchange) readBody(got *FetchResponse) (_ []byte, err error) {
	defer func() { err = errors.Join(err, got.Body.Close()) }()
	limit := x.t.maxBody()
	if got.Length > limit {
		return nil, fmt.Errorf("a body of %d bytes exceeds the limit of %d", got.Length, limit)
	}
	held := max(got.Length, 0) + bytes.MinRead
	if err := x.hold(held); err != nil {
		return nil, err
	}
	buf := make([]byte, 0, held)
	for {
		if grown := int64(cap(buf)) - held; grown > 0 {
			if err := x.hold(grown); err != nil {
				return nil, err
			}
			held += grown
		}
		n, err := got.Body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, fmt.Errorf("a body exceeds the limit of %d bytes", limit)
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, err
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

func respGetHeaders(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	return guestmem.GiveList(ctx, &x.mm, g, o, x.responseNames(a.Handle(2)), true)
}

func respGetHeader(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	name, err := a.Bytes(g, 3, "name")
	if err != nil {
		return err
	}
	return guestmem.GiveList(ctx, &x.mm, g, o, x.responseValues(a.Handle(2), name), false)
}

func respGetBody(ctx context.Context, x *Exchange, g Guest, a args) error {
	o, err := a.Out(g)
	if err != nil {
		return err
	}
	return guestmem.Give(ctx, &x.mm, g, o, x.responseBody(a.Handle(2)))
}

// What a handle that is no response has: nothing.

func (x *Exchange) responseNames(n int32) []string {
	if r := x.at(n).response; r != nil {
		return x.names(r.header)
	}
	return nil
}

func (x *Exchange) responseValues(n int32, name []byte) []string {
	if r := x.at(n).response; r != nil {
		return field.Lookup(r.header, name)
	}
	return nil
}

// responseBody is all of a body, and of a stream what is left.
func (x *Exchange) responseBody(n int32) []byte {
	r := x.at(n).response
	if r == nil {
		return nil
	}
	if r.stream != nil {
		body, err := x.readBody(&FetchResponse{Body: r.stream, Length: -1})
		if err != nil {
			x.fail("read of a response: %v", err)
		}
		r.body, r.stream = body, nil
	}
	return r.body
}

func respGetResponseCode(_ context.Context, x *Exchange, _ Guest, a args) error {
	a.Return(x.responseCode(a.Handle(0)))
	return nil
}

// responseCode is 0 for what is no response: guests take no more than 16 bits.
func (x *Exchange) responseCode(n int32) int32 {
	if r := x.at(n).response; r != nil {
		return int32(r.code)
	}
	return 0
}
