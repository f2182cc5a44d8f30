package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"time"

	"github.com/terrane/terrane/server/internal/regions"
	"github.com/terrane/terrane/server/internal/share"
)

// Elsewhere reaches the edges of other regions, for sites whose manifest keeps them
// there: Dial leads to their ServeForwarded.
type Elsewhere = regions.Dialer

// What one edge tells another of a request that it forwards. Visitors cannot: edges
// hear each other on a listener of their own.
const (
	forwardedFor  = "Terrane-Forwarded-For"  // the visitor's address and port
	forwardedOver = "Terrane-Forwarded-Over" // "https" or "http"
	forwardedID   = "Terrane-Request-Id"
)

// theirs are header fields that a reverse proxy takes away, and guests want.
//
//nolint:gochecknoglobals // a constant table
var theirs = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// newForwarder returns what sends a visit to the regions of its release.
func newForwarder(e Elsewhere, limit time.Duration) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     regions.New(e, limit),
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // the access log has it
		Rewrite: func(p *httputil.ProxyRequest) {
			v := p.In.Context().Value(visitKey{}).(*visit)
			p.Out.URL = &url.URL{
				Scheme: "http", Host: regions.Host(v.place.release.manifest.Regions),
				Path: v.r.URL.Path, RawPath: v.r.URL.RawPath, RawQuery: v.r.URL.RawQuery,
			}
			p.Out.Host = p.In.Host
			for _, name := range theirs {
				if values := p.In.Header[name]; values != nil {
					p.Out.Header[name] = values
				}
			}
			p.Out.Header[forwardedFor] = []string{v.r.RemoteAddr}
			p.Out.Header[forwardedOver] = []string{v.scheme()}
			p.Out.Header[forwardedID] = []string{v.id}
		},
		ModifyResponse: func(resp *http.Response) error {
			v := resp.Request.Context().Value(visitKey{}).(*visit)
			v.elsewhere = true
			resp.Header.Del(regions.NotBegun)
			v.srv.metrics.forwarded.Inc()
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			v := r.Context().Value(visitKey{}).(*visit)
			v.note = err.Error()
			if r.Context().Err() != nil {
				v.cutOff(r.Context())
				return
			}
			v.srv.metrics.unreached.Inc()
			v.retryLater(http.StatusServiceUnavailable, "region", "no edge of the regions this site lives in can be reached")
		},
	}
}

// visitKey finds the visit in a forwarded request's context.
type visitKey struct{}

// forward has an edge of another region answer. The visit counts against the tenant's
// limits here as well as there.
func (v *visit) forward(ctx context.Context) {
	r, s := v.place.release, v.srv
	if s.forwarder == nil || v.forwarded {
		v.retryLater(http.StatusServiceUnavailable, "region", "this site lives in other regions, and this edge cannot reach them")
		return
	}
	if !v.takePlace(ctx, r.limits.Concurrency) {
		return
	}
	v.register(s.bodies)
	if v.r.Body != nil && v.r.Body != http.NoBody {
		up := s.bodies.Hold(v.owner(), v.abandon)
		up.SetPlaced()
		defer up.End()
		v.r.Body = upload{v.r.Body, up}
	}
	v.writeDeadline(max(r.limits.ResponseBody, keepBuffer+1))
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, visitKey{}, v), s.bodyTime(v.r.ContentLength)+r.wall()+s.opts.WriteTimeout)
	defer cancel()
	s.forwarder.ServeHTTP(v, v.r.WithContext(ctx))
}

// upload is a request's body on its way to another edge.
type upload struct {
	io.ReadCloser
	share *share.Hold
}

// Read implements io.Reader.
func (u upload) Read(p []byte) (int, error) {
	u.share.Begin(share.Reading)
	n, err := u.ReadCloser.Read(p)
	u.share.Done(n)
	return n, err
}

// ServeForwarded answers what other edges forward, on ln, until ctx ends; it then
// lets requests in flight end as Run does. It closes ln. What ln accepts is trusted to
// tell the visitor's address.
func (s *Server) ServeForwarded(ctx context.Context, ln net.Listener) error {
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	srv := s.newHTTPServer(base, http.HandlerFunc(s.serveForwarded))
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve other edges: %w", err)
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeoutCause(base, s.opts.Drain, errShutDown)
	defer cancel()
	if srv.Shutdown(limit) != nil {
		cut(errShutDown)
		_ = srv.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) serveForwarded(w http.ResponseWriter, r *http.Request) {
	h := r.Header
	secure := h.Get(forwardedOver) == "https"
	if secure {
		r.TLS = &tls.ConnectionState{ServerName: r.Host} // which the other edge has compared
	}
	r.RemoteAddr = h.Get(forwardedFor)
	id := h.Get(forwardedID)
	for _, name := range []string{forwardedFor, forwardedOver, forwardedID} {
		delete(h, name)
	}
	s.visit(w, r, func(ctx context.Context, v *visit) {
		v.forwarded = true
		if validRequestID(id) {
			v.id = id
		}
		v.route(ctx, secure)
	})
}

// livesHere reports whether this edge may answer for the release itself.
func (v *visit) livesHere() bool { return v.place.release.manifest.At(v.srv.opts.Region) }

// validRequestID bounds what another edge calls a request.
func validRequestID(id string) bool {
	return 0 < len(id) && len(id) <= 64 && !slices.ContainsFunc([]byte(id), func(c byte) bool { return c <= ' ' || c > '~' })
}
