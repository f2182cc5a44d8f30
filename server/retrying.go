package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
)

const (
	maxTries  = 3
	maxReplay = 64 << 10 // bytes of a body that are kept to be sent again
	notThese  = "!"      // before each edge in a host that is not to be asked
)

// retrying is a transport to other edges that sends a request again which none has
// begun: because the edge had no room for it, which another may have; or closed its
// connection before it had read any of it, as it does when it shuts down. Nothing is
// sent twice that an edge may have begun, whatever its method.
type retrying struct{ *http.Transport }

// telling is a connection that knows what its peer has not read, as package natsconn's.
type telling interface {
	Sent() uint32
	Unread(since uint32) bool
}

// RoundTrip implements http.RoundTripper, but that the caller closes the body.
func (t retrying) RoundTrip(r *http.Request) (*http.Response, error) {
	var body *replay
	if r.Body != nil {
		body = &replay{from: r.Body}
	}
	host := r.URL.Host
	var busy *http.Response
	for try := 1; ; try++ {
		a := attempt{}
		resp, err := t.Transport.RoundTrip(a.of(r, host, body))
		if err != nil && busy != nil { // nobody else is there
			return busy, nil
		}
		if busy != nil {
			_ = busy.Body.Close()
			busy = nil
		}
		full := err == nil && resp.Header[notBegun] != nil
		if try == maxTries || !full && (err == nil || !a.unread()) || !body.again(r.Context()) {
			return resp, err
		}
		if full {
			busy = resp
			host += notThese + resp.Header.Get("Terrane-Edge")
		}
	}
}

// attempt is one sending of a request.
type attempt struct {
	conn telling // nil: none, or it does not tell
	mark uint32
}

// of is the request as it is sent.
func (a *attempt) of(r *http.Request, host string, body *replay) *http.Request {
	out := r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if a.conn, _ = i.Conn.(telling); a.conn != nil {
			a.mark = a.conn.Sent()
		}
	}}))
	u := *r.URL
	u.Host = host
	out.URL = &u
	if body != nil {
		out.Body = body.begin()
	}
	return out
}

func (a *attempt) unread() bool { return a.conn != nil && a.conn.Unread(a.mark) }

// replay is a body whose beginning can be read again.
type replay struct {
	from io.Reader
	kept []byte
	lost bool          // more was read than is kept
	done chan struct{} // closed when the newest reading of it has ended
}

// reading is a reading of a replay, by one goroutine at a time.
type reading struct {
	*replay
	at   int
	done chan struct{}
}

func (b *replay) begin() io.ReadCloser {
	b.done = make(chan struct{})
	return &reading{replay: b, done: b.done}
}

// again waits for the end of the last reading, and reports whether there can be another. A
// request without a body can always be sent again.
func (b *replay) again(ctx context.Context) bool {
	if b == nil {
		return true
	}
	select {
	case <-b.done:
		return !b.lost
	case <-ctx.Done():
		return false
	}
}

// Read implements io.Reader.
func (r *reading) Read(p []byte) (int, error) {
	if r.at < len(r.kept) {
		n := copy(p, r.kept[r.at:])
		r.at += n
		return n, nil
	}
	n, err := r.from.Read(p)
	if r.lost = r.lost || len(r.kept)+n > maxReplay; !r.lost {
		r.kept = append(r.kept, p[:n]...)
		r.at = len(r.kept)
	}
	return n, err
}

// Close lets there be another reading.
func (r *reading) Close() error {
	select {
	case <-r.done:
		return net.ErrClosed
	default:
		close(r.done)
		return nil
	}
}
