package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/server/internal/regions"
	"github.com/terrane/terrane/server/internal/share"
)

// Server answers HTTP and HTTPS. Run may be called once.
type Server struct {
	opts      Options
	log       *slog.Logger
	access    *accessLog // nil: none
	metrics   *metrics
	ids       *requestIDs
	bodies    *share.Pool // of bytes
	files     *share.Pool // of descriptors of large files
	conns     *conns.Limiter
	visits    sync.Pool              // *visit
	edge      []string               // value of a header, shared by all responses; nobody writes to it
	hsts      []string               // likewise; nil: not sent
	forwarder *httputil.ReverseProxy // nil: no other region can be reached
	inFlight  atomic.Int64
	closing   atomic.Bool
	idle      chan struct{} // one token when closing and nothing is in flight

	ready       chan struct{}
	http, https []net.Addr // set before ready is closed
	httpsPort   string     // with ":", empty for 443
}

// New checks the options. It binds nothing.
func New(o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.setDefaults()
	s := &Server{
		opts: o, log: o.Logger, ids: newRequestIDs(), edge: []string{o.Edge},
		bodies: share.NewPool(o.BufferBytes), files: share.NewPool(int64(o.OpenFiles)),
		idle: make(chan struct{}, 1), ready: make(chan struct{}),
	}
	s.visits.New = func() any {
		v := &visit{srv: s}
		v.stream = v.beginStream
		return v
	}
	if o.HSTS > 0 {
		s.hsts = []string{"max-age=" + strconv.FormatInt(int64(o.HSTS/time.Second), 10)}
	}
	if o.AccessLog != nil {
		s.access = newAccessLog(o.AccessLog)
	}
	if o.Elsewhere != nil {
		s.forwarder = newForwarder(o.Elsewhere, o.Sites.wall()+o.BodyTimeout)
	}
	var err error
	s.conns, err = conns.New(conns.Options{
		Max: o.Connections, PerNetwork: o.NetworkConnections, Idle: o.IdleTimeout + o.HeaderTimeout, Stall: o.WriteTimeout,
		Logger: o.Logger, Metrics: o.Metrics,
	})
	if err != nil {
		return nil, err
	}
	s.metrics, err = newMetrics(o.Metrics, s)
	return s, err
}

// Ready is closed when all listeners are up.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Addrs are the addresses bound, in the order of the options. They are known once
// Ready is closed.
func (s *Server) Addrs() (http, https []net.Addr) { return s.http, s.https }

// DialSelf connects to an address of a listener, on this host. The connection counts
// against no limit, so that a flood does not make the edge believe that it serves nobody.
func (s *Server) DialSelf(ctx context.Context, addr string) (net.Conn, error) {
	return s.conns.DialSelf(ctx, addr)
}

// Handler answers as the listeners do, for requests that this process makes to its own
// sites. It must not be used after Run has returned.
func (s *Server) Handler(secure bool) http.Handler {
	if secure {
		return http.HandlerFunc(s.serveSecure)
	}
	return http.HandlerFunc(s.servePlain)
}

// Run binds, serves until ctx ends or a listener fails, and then drains: nothing
// new is accepted, idle connections are closed, busy ones are told to (Connection:
// close, GOAWAY), and requests in flight have Options.Drain to end before they are
// cut off. It returns when the last handler has; nil if ctx ended it.
func (s *Server) Run(ctx context.Context) error {
	plain, secure, err := s.bind(ctx)
	if err != nil {
		return err
	}
	base, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	http1 := s.Handler(false)
	if s.opts.Challenges != nil {
		http1 = s.opts.Challenges(http1)
	}
	servers := []*http.Server{s.newHTTPServer(base, http1), s.newHTTPServer(base, s.Handler(true))}
	g, failed := errgroup.WithContext(base)
	for i, listeners := range [][]net.Listener{plain, secure} {
		for _, ln := range listeners {
			g.Go(func() error {
				if err := servers[i].Serve(ln); !errors.Is(err, http.ErrServerClosed) {
					return fmt.Errorf("serve %s: %w", ln.Addr(), err)
				}
				return nil
			})
		}
	}
	var helpers errgroup.Group
	helping, stopHelpers := context.WithCancel(base)
	helpers.Go(func() error { s.access.run(helping, s.log); return nil })
	helpers.Go(func() error { return s.conns.Run(helping) })
	helpers.Go(func() error { s.sweep(helping); return nil })
	close(s.ready)

	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	s.drain(base, servers, cut)
	if s.forwarder != nil {
		s.forwarder.Transport.(*regions.Transport).CloseIdleConnections()
	}
	stopHelpers()
	return errors.Join(helpers.Wait(), g.Wait())
}

func (s *Server) bind(ctx context.Context) (plain, secure []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, ln := range append(plain, secure...) {
				err = errors.Join(err, ln.Close())
			}
		}
	}()
	for _, addr := range s.opts.HTTP {
		ln, err := listen(ctx, addr)
		if err != nil {
			return plain, secure, err
		}
		s.http = append(s.http, ln.Addr())
		plain = append(plain, s.visitors(ln))
	}
	for _, addr := range s.opts.HTTPS {
		ln, err := listen(ctx, addr)
		if err != nil {
			return plain, secure, err
		}
		s.https = append(s.https, ln.Addr())
		// Not ServeTLS: it clones the configuration, and so loses later session-ticket keys.
		secure = append(secure, tls.NewListener(s.visitors(ln), s.opts.TLS))
	}
	port := s.opts.HTTPSPort
	if port == 0 && len(s.https) > 0 {
		port = s.https[0].(*net.TCPAddr).Port
	}
	if port != 443 {
		s.httpsPort = ":" + strconv.Itoa(port)
	}
	return plain, secure, nil
}

// visitors bounds the connections of ln, and reads balancers' PROXY headers.
func (s *Server) visitors(ln net.Listener) net.Listener {
	return s.conns.BehindProxies(s.conns.Listen(s.opts.Listener(ln)), s.opts.ProxyProtocol, s.opts.HeaderTimeout)
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: another program has this port: stop it (ss -ltnp shows it) or choose another port: %w", addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("listen on %s: ports below 1024 need CAP_NET_BIND_SERVICE: grant it, or choose a higher port: %w", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("listen on %s: no interface of this machine has the address: add it, or listen on another: %w", addr, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return ln, nil
}

func (s *Server) newHTTPServer(base context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       conns.Context,
		ReadHeaderTimeout: s.opts.HeaderTimeout,
		// Bodies have a deadline of their own (visit.begin): ReadTimeout would also end
		// the wait for a guest. Requests with a body, and large answers, extend this one.
		WriteTimeout:   s.opts.HeaderTimeout + s.answerTime(),
		IdleTimeout:    s.opts.IdleTimeout,
		MaxHeaderBytes: s.opts.HeaderBytes,
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		// What a broken client does is no news for the operator.
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// maxStreams bounds the requests in flight of an HTTP/2 connection, as RFC 9113 (6.5.2) recommends.
const maxStreams = 100

// answerTime is how long a small answer may take from the end of the request.
func (s *Server) answerTime() time.Duration { return s.opts.Sites.wall() + s.opts.WriteTimeout }

// errShutDown is the cause that ends requests which outlast the drain.
var errShutDown = errors.New("this edge is shutting down")

// drain ends what servers serve; cut ends the contexts of requests.
func (s *Server) drain(ctx context.Context, servers []*http.Server, cut context.CancelCauseFunc) {
	limit, cancel := context.WithTimeout(ctx, s.opts.Drain)
	defer cancel()
	var g errgroup.Group
	for _, srv := range servers {
		g.Go(func() error { return srv.Shutdown(limit) })
	}
	if err := g.Wait(); err != nil {
		s.log.Warn("requests cut off", "in_flight", s.inFlight.Load(), "drain", s.opts.Drain, "err", err)
	}
	cut(errShutDown)
	for _, srv := range servers {
		if err := srv.Close(); err != nil {
			s.log.Warn("close listeners", "err", err)
		}
	}
	s.closing.Store(true)
	if s.inFlight.Load() > 0 {
		<-s.idle
	}
}

// InFlight is how many requests are being answered.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// enter counts a request in flight; false once Run waits for the last one.
func (s *Server) enter() bool {
	s.inFlight.Add(1)
	return !s.closing.Load()
}

func (s *Server) leave() {
	if s.inFlight.Add(-1) == 0 && s.closing.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// defaultWall bounds a request where neither operator nor tenant does.
const defaultWall = 10 * time.Second

func (s *Sites) wall() time.Duration {
	if w := s.opts.Limits.Wall; w > 0 {
		return w
	}
	return defaultWall
}
