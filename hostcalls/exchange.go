package hostcalls

import (
	"errors"
	"net/http"
	"net/netip"
)

// ErrNoFunction is a Guest's answer when it has no function of that index, name or type.
var ErrNoFunction = errors.New("no such function in the guest")

// Request is the inbound request, whole. The Exchange only reads it.
type Request struct {
	Method string
	Path   string      // origin form: path and ?query as received, escapes intact
	Header http.Header // without Host
	Host   string      // as the client sent it
	Body   []byte
	Client netip.Addr // the visitor's address
	Scheme string     // "https" or "http"
	// Module is the file that runs, Info the path's rest behind it (RFC 3875 PATH_INFO).
	Module, Info string
}

// Response is what the guest answered. It is whole once the guest has returned.
type Response struct {
	Code   int // 200 unless the guest set another
	Header http.Header
	Body   []byte
}

// Exchange is the state of one request in the ABI: the request, the response
// being built, handles of outbound requests, the guest's allocator. It belongs to
// one request and one goroutine; engines pass it through.
type Exchange struct {
	req  *Request
	resp Response
}

// Response returns the answer so far.
func (x *Exchange) Response() *Response { return &x.resp }
