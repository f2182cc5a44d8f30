package terrane

import (
	"errors"
	"io"
	"strings"
	"time"
)

// Header has the values of each name. (net/http's would double the module's size.)
type Header map[string][]string

// Response is an upstream's answer, or that of a module.
type Response struct {
	Status int
	Header Header // names in lower case
	Body   []byte
}

// ErrFetch is the error of an outbound request, unless the host refuses what is to be sent.
var ErrFetch = errors.New("the upstream did not answer")

// Call is an outbound request to an absolute URL.
type Call struct {
	Method, URL string
	Header      Header
	Body        string
	Timeout     time.Duration // redirects and body included; 0: the host's own
}

// Fetch sends a request to an absolute URL and waits. A status such as 404 or 500
// is a Response, not an error.
func Fetch(method, url string, header Header, body string) (*Response, error) {
	return Call{Method: method, URL: url, Header: header, Body: body}.Do()
}

// Do sends the request and waits.
func (c Call) Do() (*Response, error) {
	req, err := c.create()
	if err != nil {
		return nil, err
	}
	return answered(reqSend(req))
}

// Start sends the request and returns at once.
func (c Call) Start() (*Pending, error) {
	req, err := c.create()
	if err != nil {
		return nil, err
	}
	handle := reqSendAsync(req)
	if handle < 0 {
		return nil, refusal()
	}
	return &Pending{handle}, nil
}

// Stream sends the request and returns once the header of the response has arrived. Its body is
// empty; the io.Reader gives it as it arrives.
func (c Call) Stream() (*Response, io.Reader, error) {
	req, err := c.create()
	if err != nil {
		return nil, nil, err
	}
	handle := reqSendStreaming(req)
	if handle < 0 {
		return nil, nil, ErrFetch
	}
	return head(handle), arriving(handle), nil
}

func (c Call) create() (int32, error) {
	req := reqCreate(c.Method, c.URL)
	if req < 0 {
		return 0, ErrFetch
	}
	for name, values := range c.Header {
		list := newList(values)
		status := reqSetHeader(req, name, list.ptr, list.len)
		list.free()
		if status != 0 {
			return 0, refusal()
		}
	}
	if reqSetBody(req, c.Body) != 0 {
		return 0, refusal()
	}
	if c.Timeout > 0 {
		reqSetTimeout(req, uint32(max(1, c.Timeout.Milliseconds())))
	}
	return req, nil
}

// Pending is an outbound request under way.
type Pending struct{ handle int32 }

// notReady is the host's answer to a poll of a request that has not ended.
const notReady = -2

// Wait waits for the response.
func (p *Pending) Wait() (*Response, error) { return answered(pendingReqWait(p.handle)) }

// Poll is Wait without waiting: ready is false while there is no response.
func (p *Pending) Poll() (resp *Response, ready bool, err error) {
	handle := pendingReqPoll(p.handle)
	if handle == notReady {
		return nil, false, nil
	}
	resp, err = answered(handle)
	return resp, true, err
}

// Select waits for the first of several requests, and returns its place in the list and its response.
func Select(list []*Pending) (int, *Response, error) {
	handles := make([]int32, len(list))
	for i, p := range list {
		handles[i] = p.handle
	}
	if len(list) == 0 {
		return -1, nil, errors.New("select of no request")
	}
	var done int32
	resp, err := answered(pendingReqSelect(&handles[0], uint32(len(handles)), &done))
	for i, handle := range handles {
		if handle == done {
			return i, resp, err
		}
	}
	return -1, resp, err
}

// answered reads the response of a handle.
func answered(handle int32) (*Response, error) {
	if handle < 0 {
		return nil, ErrFetch
	}
	resp := head(handle)
	var out slice
	respGetBody(&out.ptr, &out.len, handle)
	resp.Body = out.take()
	return resp, nil
}

// head reads status and header.
func head(handle int32) *Response {
	resp := &Response{Status: int(respGetResponseCode(handle)), Header: Header{}}
	var out slice
	respGetHeaders(&out.ptr, &out.len, handle)
	for _, name := range out.takeList() {
		respGetHeader(&out.ptr, &out.len, handle, name)
		resp.Header[strings.ToLower(name)] = out.takeList()
	}
	return resp
}

// arriving is the body of a response, by its handle.
type arriving int32

// Read implements io.Reader. It waits for at least one byte.
func (a arriving) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	switch n := respRead(int32(a), &b[0], uint32(len(b))); {
	case n < 0:
		return 0, refusal()
	case n == 0:
		return 0, io.EOF
	default:
		return int(n), nil
	}
}
