package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/internal/lattice"
	"github.com/terrane/terrane/internal/lattice/logtail"
	"github.com/terrane/terrane/internal/statemove"
	"github.com/terrane/terrane/tenant"
)

// Options are what New takes.
type Options struct {
	Listen string // "host:port"; port 0 takes a free one
	// Token must be given when Listen is not on loopback. If it is given, each
	// request but /healthz must bear it: "Authorization: Bearer TOKEN".
	Token    string
	Gatherer prometheus.Gatherer // nil: no /metrics
	// Ready tells whether the edge is fit to serve, and if not, why.
	Ready func() (bool, []string)
	// Status has the sections of /status, and of /status/NAME: each value is made per
	// request and encoded as JSON. It must not block.
	Status map[string]func() any
	// Logs yields the last lines of a tenant's log, and with follow those to come until ctx ends. Nil: no /logs.
	Logs func(ctx context.Context, id tenant.ID, lines int, follow bool) iter.Seq[logtail.Line]
	// Doctor examines a host, for /doctor. Nil: no /doctor.
	Doctor func(ctx context.Context, h tenant.Host) *Examination
	// Lattice examines what connects this edge to the others, for /doctor without a host.
	Lattice func(ctx context.Context) []lattice.Finding
	// Progress tells how far a revision has come at each edge, for /progress. Nil: no
	// /progress.
	Progress func(ctx context.Context, rev tenant.Revision) []Progress
	// Releases lists what a tenant can be rolled back to, for /releases, and Rollback does
	// it, for /rollback: by is who asks, as the client says, else its address. Nil: neither.
	Releases func(id tenant.ID) ([]Release, error)
	Rollback func(ctx context.Context, id tenant.ID, rev tenant.Revision, by, reason string) error
	Routes   Routes                                           // for /drain and /undrain; nil: neither
	Members  Members                                          // for /lattice/forget; nil: no such path
	Repair   func(ctx context.Context, acceptLoss bool) error // for RepairPath and AcceptLossPath; nil: neither
	State    *statemove.Store                                 // of tenants, for /kv; nil: no /kv
	Logger   *slog.Logger                                     // nil discards
}

// Routes are what leads visitors to the edge.
type Routes interface {
	Drain(ctx context.Context) error
	Undrain() error
}

// The paths of repairs of damaged state.
const (
	RepairPath     = "/lattice/repair"
	AcceptLossPath = "/lattice/repair/accept-loss"
)

// Server is the admin listener. Run may be called once.
type Server struct {
	opts    Options
	log     *slog.Logger
	token   [sha256.Size]byte
	limiter *conns.Limiter // its Run is not needed: net/http ends idle connections
	ready   chan struct{}
	addr    net.Addr // set before ready is closed
}

// maxConns bounds the connections. A further one closes the one that does least.
const maxConns = 64

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of
// the table [admin].
func (o Options) Check() error {
	var f fault.List
	host, port, err := net.SplitHostPort(o.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	ip, notIP := netip.ParseAddr(host)
	switch {
	case err != nil:
		f.Add("listen", "%q: want an address and a port, such as \"127.0.0.1:9180\"", o.Listen)
	case o.Token == "" && (notIP != nil || !ip.IsLoopback()):
		f.Add("token", "want a token (\"file:PATH\" or \"env:NAME\"): listen = %q is not on loopback", o.Listen)
	}
	return f.Err()
}

// New returns a Server. It binds nothing; call Run. Its error joins every fault of the
// options (Options.Check).
func New(o Options) (*Server, error) {
	if o.Ready == nil {
		return nil, errors.New("admin: no readiness to show")
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	limiter, err := conns.New(conns.Options{Max: maxConns, PerNetwork: maxConns, Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	return &Server{opts: o, log: o.Logger, token: sha256.Sum256([]byte(o.Token)), limiter: limiter, ready: make(chan struct{})}, nil
}

// Bound is closed when the listener is up.
func (s *Server) Bound() <-chan struct{} { return s.ready }

// Addr is the address bound, known once Bound is closed.
func (s *Server) Addr() net.Addr { return s.addr }

// Run binds and serves until ctx ends, then lets requests in flight end for up to
// 5 s. It returns nil if ctx ended it.
func (s *Server) Run(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.opts.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("admin: listen on %s: another program has this port: stop it or choose another port: %w", s.opts.Listen, err)
	}
	if err != nil {
		return fmt.Errorf("admin: listen on %s: %w", s.opts.Listen, err)
	}
	base, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	srv := &http.Server{
		Handler:           conns.Handler(s.handler()),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       conns.Context,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.addr = ln.Addr()
	close(s.ready)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.limiter.Listen(ln)) }()
	select {
	case err := <-served:
		return fmt.Errorf("admin: serve %s: %w", s.addr, err)
	case <-ctx.Done():
	}
	endStreams()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(limit); err != nil {
		s.log.Warn("requests cut off", "err", errors.Join(err, srv.Close()))
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: serve %s: %w", s.addr, err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.Handle("GET /readyz", s.guarded(http.HandlerFunc(s.readyz)))
	mux.Handle("GET /status", s.guarded(http.HandlerFunc(s.status)))
	for name, section := range s.opts.Status {
		mux.Handle("GET /status/"+name, s.guarded(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			s.json(w, http.StatusOK, section())
		})))
	}
	if s.opts.Logs != nil {
		mux.Handle("GET /logs", s.guarded(ofTenant(s.logs)))
	}
	if s.opts.Doctor != nil {
		mux.Handle("GET /doctor", s.guarded(http.HandlerFunc(s.doctor)))
	}
	if s.opts.Progress != nil {
		mux.Handle("GET /progress", s.guarded(http.HandlerFunc(s.progress)))
	}
	if s.opts.Releases != nil && s.opts.Rollback != nil {
		mux.Handle("GET /releases", s.guarded(ofTenant(s.releases)))
		mux.Handle("POST /rollback", s.guarded(ofTenant(s.rollback)))
	}
	if s.opts.State != nil {
		kv := s.guarded(kvHandler(s.opts.State))
		mux.Handle("/kv", kv)
		mux.Handle("/kv/", kv)
	}
	if s.opts.Members != nil {
		mux.Handle("POST /lattice/forget", s.guarded(http.HandlerFunc(s.forget)))
	}
	for path, act := range s.actions() {
		mux.Handle("POST "+path, s.guarded(s.action(path, act)))
	}
	if s.opts.Gatherer != nil {
		mux.Handle("GET /metrics", s.guarded(promhttp.HandlerFor(s.opts.Gatherer, promhttp.HandlerOpts{
			ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError), MaxRequestsInFlight: 4,
		})))
	}
	return mux
}

// guarded asks for the token. Hashes of equal length are compared, so that the
// time taken tells nothing of it.
func (s *Server) guarded(next http.Handler) http.Handler {
	if s.opts.Token == "" {
		return onlyHere(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
		if subtle.ConstantTimeCompare(sum[:], s.token[:]) != 1 || !strings.EqualFold(scheme, "bearer") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="terrane"`)
			text(w, http.StatusUnauthorized, "this listener wants the header \"Authorization: Bearer TOKEN\"")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onlyHere refuses what a browser on this host was made to send by a page from
// elsewhere, be it under a name that was made to resolve to loopback.
func onlyHere(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil && host != "localhost" {
			text(w, http.StatusForbidden, "without a token this listener is asked by its address, not by a name")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	ok, unmet := s.opts.Ready()
	code := http.StatusOK
	if !ok {
		code = http.StatusServiceUnavailable
	}
	switch {
	case strings.Contains(r.Header.Get("Accept"), "application/json"):
		s.json(w, code, map[string]any{"ready": ok, "unmet": append([]string{}, unmet...)})
	case ok:
		text(w, code, "ready")
	default:
		text(w, code, "not ready\n"+strings.Join(unmet, "\n"))
	}
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	ok, unmet := s.opts.Ready()
	all := map[string]any{"ready": ok}
	if len(unmet) > 0 {
		all["unmet"] = unmet
	}
	for name, section := range s.opts.Status {
		all[name] = section()
	}
	s.json(w, http.StatusOK, all)
}

func (s *Server) doctor(w http.ResponseWriter, r *http.Request) {
	host := r.URL.Query().Get("host")
	if host == "" && s.opts.Lattice != nil {
		s.json(w, http.StatusOK, s.opts.Lattice(r.Context()))
		return
	}
	h, err := tenant.ParseHost(host)
	if err != nil {
		text(w, http.StatusBadRequest, err.Error())
		return
	}
	s.json(w, http.StatusOK, s.opts.Doctor(r.Context(), h))
}

// actions are what a POST to a path has the edge do.
func (s *Server) actions() map[string]func(context.Context) error {
	all := map[string]func(context.Context) error{}
	if r := s.opts.Routes; r != nil {
		all["/drain"] = r.Drain
		all["/undrain"] = func(context.Context) error { return r.Undrain() }
	}
	if repair := s.opts.Repair; repair != nil {
		all[RepairPath] = func(ctx context.Context) error { return repair(ctx, false) }
		all[AcceptLossPath] = func(ctx context.Context) error { return repair(ctx, true) }
	}
	return all
}

func (s *Server) action(path string, act func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.log.Info("asked to act", "action", strings.TrimPrefix(path, "/"), "from", r.RemoteAddr)
		if err := act(r.Context()); err != nil {
			text(w, http.StatusConflict, err.Error())
			return
		}
		text(w, http.StatusOK, "done")
	})
}

// ofTenant reads which tenant a request is about.
func ofTenant(next func(w http.ResponseWriter, r *http.Request, id tenant.ID)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := tenant.ParseIDOrPreview(r.URL.Query().Get("tenant"))
		if err != nil {
			text(w, http.StatusBadRequest, "tenant: "+err.Error())
			return
		}
		next(w, r, id)
	})
}

// logs streams JSON lines.
func (s *Server) logs(w http.ResponseWriter, r *http.Request, id tenant.ID) {
	q := r.URL.Query()
	lines := 100
	if n := q.Get("lines"); n != "" {
		var err error
		if lines, err = strconv.Atoi(n); err != nil {
			text(w, http.StatusBadRequest, "lines: want a number")
			return
		}
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	control, to := http.NewResponseController(w), json.NewEncoder(w)
	if control.Flush() != nil {
		return // the client has left
	}
	for line := range s.opts.Logs(r.Context(), id, lines, q.Get("follow") != "") {
		deadline := control.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if errors.Join(deadline, to.Encode(line), control.Flush()) != nil {
			return // likewise
		}
	}
}

func (s *Server) json(w http.ResponseWriter, code int, value any) {
	body, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		s.log.Error("encode status", "err", err)
		text(w, http.StatusInternalServerError, "the status cannot be encoded")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // a client who has left is no error
}

func text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(line + "\n")) //nolint:gosec // plain text; a client who has left is no error
}
