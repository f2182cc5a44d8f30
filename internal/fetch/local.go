package fetch

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
)

// local answers requests to sites of this process without a connection.
type local struct {
	handler func(*url.URL) http.Handler // nil: there are none
	from    netip.Addr
}

// find returns the handler of a request, nil if it goes over the network. A request to a
// site of this process may name another one as its host, but nothing else: the server
// answers to more names than those of sites.
func (l *local) find(req *http.Request) (http.Handler, error) {
	if l.handler == nil {
		return nil, nil
	}
	h := l.handler(req.URL)
	if h != nil && req.Host != "" && req.Host != req.URL.Host && l.handler(&url.URL{Scheme: req.URL.Scheme, Host: req.Host}) == nil {
		return nil, refuse("the host %.100q is not a site of this edge, to which the request goes", req.Host)
	}
	return h, nil
}

// serve has the handler answer a request.
func (l *local) serve(h http.Handler, req *http.Request) (*http.Response, error) {
	inbound := req.Clone(req.Context())
	inbound.RequestURI = req.URL.RequestURI()
	inbound.RemoteAddr = netip.AddrPortFrom(l.from, 0).String()
	inbound.Proto, inbound.ProtoMajor, inbound.ProtoMinor = "HTTP/1.1", 1, 1
	if inbound.Host == "" {
		inbound.Host = req.URL.Host
	}
	if inbound.Body == nil {
		inbound.Body = http.NoBody
	}
	if req.URL.Scheme == "https" {
		inbound.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true, ServerName: req.URL.Hostname()}
	}
	r, w := io.Pipe()
	p := &passage{header: http.Header{}, body: w, begun: make(chan struct{}), done: make(chan struct{})}
	go p.serve(h, inbound)
	select {
	case <-p.begun:
	case <-req.Context().Done():
		_ = r.CloseWithError(req.Context().Err())
		<-p.done
		return nil, req.Context().Err()
	}
	return &http.Response{
		StatusCode: p.code, Header: p.sent, ContentLength: -1, Request: req,
		Proto: inbound.Proto, ProtoMajor: 1, ProtoMinor: 1,
		Body: &passageBody{r, p.done},
	}, nil
}

// passage is the http.ResponseWriter of a handler that a guest's request goes to.
type passage struct {
	header, sent http.Header
	code         int
	body         *io.PipeWriter
	begun, done  chan struct{}
}

var errAborted = errors.New("the handler gave up")

// serve runs the handler, until it returns or its reader has gone.
func (p *passage) serve(h http.Handler, r *http.Request) {
	defer close(p.done)
	err := errAborted
	defer func() {
		if recover() == nil {
			p.WriteHeader(http.StatusOK)
		} else if p.sent == nil {
			p.WriteHeader(http.StatusInternalServerError)
		}
		_ = p.body.CloseWithError(err)
	}()
	h.ServeHTTP(p, r)
	err = io.EOF
}

// Header implements http.ResponseWriter.
func (p *passage) Header() http.Header { return p.header }

// WriteHeader implements http.ResponseWriter. Interim responses are not passed on.
func (p *passage) WriteHeader(code int) {
	if p.sent == nil && code >= http.StatusOK {
		p.code, p.sent = code, p.header.Clone()
		close(p.begun)
	}
}

// Write implements http.ResponseWriter.
func (p *passage) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	return p.body.Write(b)
}

// Flush implements http.Flusher: nothing is held back.
func (p *passage) Flush() { p.WriteHeader(http.StatusOK) }

type passageBody struct {
	*io.PipeReader
	done <-chan struct{}
}

// Close ends the handler, and waits for it.
func (b *passageBody) Close() error {
	err := b.PipeReader.Close()
	<-b.done
	return err
}
