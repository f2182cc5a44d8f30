package regions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

const (
	maxTries  = 3
	maxReplay = 64 << 10 // bytes of a body that are kept to be sent again
	notThese  = "!"      // before each edge in a host that is not to be asked
)

// NotBegun is the header of a response by which an edge says that it had no room for the
// request, and has begun none of it.
const NotBegun = "Terrane-Not-Begun"

// Dialer reaches the edges of other regions.
type Dialer interface {
	// Dial connects to the nearest edge of a region, or to one that is none of those named.
	Dial(ctx context.Context, region string, not ...string) (net.Conn, error)
}

// Transport is an http.RoundTripper to the edges of the regions that a request's URL names
// (Host). Its caller closes the request's body.
type Transport struct{ http *http.Transport }

// New returns a Transport over the connections of d. limit bounds the wait for a response's
// header.
func New(d Dialer, limit time.Duration) *Transport {
	return &Transport{&http.Transport{
		DialContext:           func(ctx context.Context, _, addr string) (net.Conn, error) { return dialFirst(ctx, d, addr) },
		ResponseHeaderTimeout: limit,
		IdleConnTimeout:       30 * time.Second,
		MaxIdleConnsPerHost:   64,

		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true,
	}}
}

// Host is the host of a URL that leads to the first of the regions which has an edge.
func Host(regions []string) string { return strings.Join(regions, ",") }

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() { t.http.CloseIdleConnections() }

// dialFirst tries the regions in addr, "ams,fra!ams1!ams2:80", one after the other, but
// not the edges behind them.
func dialFirst(ctx context.Context, d Dialer, addr string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(addr)
	names := strings.Split(host, notThese)
	var errs []error
	for region := range strings.SplitSeq(names[0], ",") {
		conn, err := d.Dial(ctx, region, names[1:]...)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("region %s: %w", region, err))
	}
	return nil, errors.Join(errs...)
}

// peer is a connection that knows what its other end has not read, as package natsconn's.
type peer interface {
	Sent() uint32
	Unread(since uint32) bool
}

// RoundTrip implements http.RoundTripper. It sends a request again that no edge has begun:
// because the edge had no room for it, which another may have; or because the edge closed its
// connection before it had read any of it, as it does when it shuts down.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body *replay
	if r.Body != nil {
		body = &replay{from: r.Body}
	}
	host := r.URL.Host
	var busy *http.Response
	for try := 1; ; try++ {
		a := attempt{}
		resp, err := t.http.RoundTrip(a.of(r, host, body))
		if err != nil && busy != nil { // nobody else is there
			return busy, nil
		}
		if busy != nil {
			_ = busy.Body.Close()
			busy = nil
		}
		full := err == nil && resp.Header[NotBegun] != nil
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
	conn peer // nil: none, or one that does not know
	mark uint32
}

// of is the request as it is sent.
func (a *attempt) of(r *http.Request, host string, body *replay) *http.Request {
	out := r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if a.conn, _ = i.Conn.(peer); a.conn != nil {
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
