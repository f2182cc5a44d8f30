package hostcalls

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/terrane/terrane/hostcalls/guestmem"
	"github.com/terrane/terrane/hostcalls/preview1"
	"github.com/terrane/terrane/tenant"
)

// Tenant is what all requests to one release share. Its fields do not change
// after the first NewExchange. It must not be copied.
type Tenant struct {
	ID       tenant.ID
	Env      map[string]string
	Limits   tenant.Limits // Memory, ResponseBody and Subrequests are held here; zero is the default below
	Allow    []string      // the manifest's list of hosts to fetch from; nil: the operator's alone
	KV       KV            // nil: the kv functions trap
	Fetcher  Fetcher       // nil: nothing can be fetched
	Resolver Resolver      // nil: no name resolves
	Messages Messages      // nil: no message can be sent
	Logger   Logger        // nil discards
	Files    fs.FS         // what a WASI program finds at "/"; nil: nothing
	Edge     string
	Region   string

	pool sync.Pool // of *Exchange: buffers never pass from one tenant to another
}

const (
	defaultMemory       = 128 << 20
	defaultResponseBody = 10 << 20
	defaultSubrequests  = 16
)

// Request is the inbound request, whole. The Exchange only reads it.
type Request struct {
	ID     string // for log lines
	Method string
	Path   string      // origin form: path and ?query as received, escapes intact
	Header http.Header // canonical names, without Host
	Host   string      // as the client sent it
	Body   []byte
	Client netip.Addr // the visitor's address
	Scheme string     // "https" or "http"
	// Module is the file that runs, Info the path's rest behind it (RFC 3875 PATH_INFO).
	Module, Info string
	// Hops counts the messages between guests that led to this request.
	Hops int
	// Trailer is what followed the body; nil if nothing did.
	Trailer http.Header

	// Stream is called if the guest sends its response in chunks: it sends status and
	// header, and returns where the body goes; each Write must reach the visitor before
	// long. Nil collects the chunks in Response.Body.
	Stream func(*Response) (io.Writer, error)
}

// Response is what the guest answered. It is whole once the guest has returned,
// and void after Exchange.Close.
type Response struct {
	Code   int         // 200-999; 200 unless the guest set another
	Header http.Header // canonical names, valid values, no hop-by-hop fields; Content-Length where a part is sent before the whole is known
	Body   []byte
	// Trailer is what follows the body, once the guest has returned; nil if nothing does.
	Trailer http.Header
}

// Exchange is the state of one request in the ABI: the request, the response
// being built, handles of outbound requests, the guest's allocator. It belongs to
// one request, one instance and one goroutine; engines pass it through.
type Exchange struct {
	t    *Tenant
	req  *Request
	resp Response
	mm   guestmem.Allocator

	client   string   // the visitor's address, once asked for
	list     []string // what a list function is about to return
	values   []string // backs the values of headers the guest sets
	answered bool     // a part of the response was set
	refused  refusals // of the response

	unavailable error // see Unavailable
	spent       int   // bytes of headers set, replaced ones included
	logged      int   // bytes
	panic       string
	reason      string // why the last call that failed did

	handles   []handle
	sent      int            // subrequests
	order     int            // of those that have finished
	finished  chan *pending  // room for each subrequest, so that none waits
	fetches   sync.WaitGroup // asynchronous ones
	random    [8]byte
	stream    io.Writer         // of the response, once a chunk was sent
	streamed  int64             // bytes
	wasi      *preview1.Program // nil until the guest uses it
	cgi       bool
	stdout    []byte       // of a CGI program
	extended  extended     // by an ABI of another package
	stdoutCut bool         // stdout lacks what was over the limit
	held      atomic.Int64 // bytes of bodies of outbound requests and their responses
}

// NewExchange begins a request. Its caller calls Close when the response has
// been sent.
func NewExchange(t *Tenant, req *Request) *Exchange {
	x, _ := t.pool.Get().(*Exchange)
	if x == nil {
		x = &Exchange{resp: Response{Header: http.Header{}}}
	}
	x.t, x.req, x.resp.Code = t, req, http.StatusOK
	return x
}

// Tenant is whose module runs.
func (x *Exchange) Tenant() tenant.ID { return x.t.ID }

// Response returns the answer. It is called once the guest has returned.
func (x *Exchange) Response() *Response {
	if x.cgi {
		x.answerCGI()
		x.cgi = false
	}
	x.extended.answer()
	return &x.resp
}

// Refused is why the response must not be sent: the host refused a part of it, and
// guests ignore that. It is nil if nothing was refused. It is called after Response.
func (x *Exchange) Refused() error { return x.refused.err() }

// Request returns the request.
func (x *Exchange) Request() *Request { return x.req }

// Unavailable is why state, or messages, could not be reached, nil if they could: a guest that
// failed may succeed in a moment. What was written then may have been done.
func (x *Exchange) Unavailable() error { return x.unavailable }

// Panic is the last message that the guest gave to hostcall_panic_hook, which it
// calls before it traps.
func (x *Exchange) Panic() string { return x.panic }

// Close ends the outbound requests still pending, waits for them, and makes x
// and its Response void.
func (x *Exchange) Close() {
	for _, h := range x.handles {
		h.end()
	}
	x.fetches.Wait()
	x.extended.close()
	if x.wasi != nil {
		x.wasi.Close()
	}
	clear(x.resp.Header)
	clear(x.list)
	clear(x.values)
	clear(x.handles)
	body := x.resp.Body[:0]
	if cap(body) > keepBody {
		body = nil
	}
	t := x.t
	*x = Exchange{
		resp:    Response{Header: x.resp.Header, Body: body},
		list:    x.list[:0],
		values:  x.values[:0],
		handles: x.handles[:0],

		extended: extended{extension: x.extended.extension},
	}
	t.pool.Put(x)
}

// keepBody is the largest response buffer that is kept for the next request.
const keepBody = 256 << 10

// fail records why a call failed, for hostcall_last_error and the tenant's log.
func (x *Exchange) fail(format string, a ...any) {
	x.reason = fmt.Sprintf(format, a...)
	x.log(slog.LevelWarn, x.reason)
}

// logs reports whether there is still something to log to.
func (x *Exchange) logs() bool { return x.t.Logger != nil && x.logged < LogMax }

// log writes a line to the tenant's log, within the bounds of Logger.
func (x *Exchange) log(level slog.Level, text string) {
	if !x.logs() {
		return
	}
	text = strings.ToValidUTF8(text[:min(len(text), LogLineMax, LogMax-x.logged)], "\uFFFD")
	x.logged += max(len(text), 1)
	x.t.Logger.Log(x.req, level, text)
}
