package server

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/server/internal/rules"
	"github.com/terrane/terrane/server/internal/share"
	"github.com/terrane/terrane/tenant"
)

// visit is the state of one request. Visits are pooled: nothing keeps one, nor
// what it points to, beyond the handler's return.
type visit struct {
	http.ResponseWriter // written to through WriteHeader and Write below, which count

	srv   *Server
	r     *http.Request
	conn  *conns.Conn // nil: the request came over none of the listeners
	share *share.Hold // nil: nothing that it holds or transfers is counted
	kind  share.Kind  // of what its answer may take
	id    string
	start time.Time
	from  netip.Addr  // see client
	host  tenant.Host // empty if the Host header is no domain name
	place place

	code    int // 0 until the header is written
	written int64
	note    string // why it failed, for the access log

	guest  hostcalls.Request
	body   []byte
	held   int64                                        // bytes taken from Server.bodies
	ends   time.Time                                    // of the guest
	stream func(*hostcalls.Response) (io.Writer, error) // v.beginStream, bound once

	placed    bool  // it holds one of the tenant's places
	own       bool  // the answer is a file or a page of ours, not a module's
	forwarded bool  // by another edge
	elsewhere bool  // answered by another edge, whose name the response bears
	task      *Task // instead of a visitor's request; nil: none
	ran       bool  // a guest has begun, so that the request may have had effects
	refused   bool  // for want of room, before a guest ran

	streaming bool // the guest sends its response in chunks
	broken    bool // and failed amid them
}

func (s *Server) servePlain(w http.ResponseWriter, r *http.Request) { s.serve(w, r, false) }

func (s *Server) serveSecure(w http.ResponseWriter, r *http.Request) { s.serve(w, r, true) }

func (s *Server) serve(w http.ResponseWriter, r *http.Request, secure bool) {
	s.visit(w, r, func(ctx context.Context, v *visit) { v.route(ctx, secure) })
}

// visit answers one request by do, unless the server is closing.
func (s *Server) visit(w http.ResponseWriter, r *http.Request, do func(context.Context, *visit)) {
	v := s.visits.Get().(*visit)
	v.begin(w, r)
	defer v.end(r.Context())
	if s.enter() {
		do(r.Context(), v)
	} else {
		v.page(http.StatusServiceUnavailable, errShutDown.Error())
	}
}

func (v *visit) begin(w http.ResponseWriter, r *http.Request) {
	v.ResponseWriter, v.r, v.start, v.id = w, r, time.Now(), v.srv.ids.next()
	if v.conn = conns.FromContext(r.Context()); v.conn != nil {
		v.conn.Begin(v.start)
		v.conn.Watch(r)
	}
	if r.Body != http.NoBody && r.ContentLength != 0 {
		v.bodyDeadline(v.start.Add(v.srv.bodyTime(r.ContentLength)))
		v.answerBy(v.start.Add(v.srv.bodyTime(r.ContentLength) + v.srv.answerTime()))
	}
}

// end accounts for the visit and frees what it held. It runs deferred, so that a
// panic in the host costs one request.
func (v *visit) end(ctx context.Context) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler: // the response of another edge broke off
		v.note, v.broken = "broken off", true
	default:
		v.panicked(p)
	}
	s := v.srv
	if v.place.release != nil {
		v.place.release.done(ctx)
	}
	v.letGo()
	s.leave()
	took := time.Since(v.start)
	if v.conn != nil {
		v.conn.End(v.start.Add(took), ctx.Err() != nil)
	}
	if v.host != SelfHost || !v.client().IsLoopback() { // the edge's own question, each second
		s.metrics.finished(v.code, took)
		s.access.log(v, took)
	}
	body := v.body[:0]
	if cap(body) > keepBuffer+1 {
		body = nil
	}
	broken := v.broken
	*v = visit{srv: s, body: body, stream: v.stream}
	s.visits.Put(v)
	if broken {
		panic(http.ErrAbortHandler) // ends the connection, so that the visitor sees that more should have come
	}
}

func (v *visit) panicked(p any) {
	v.srv.log.Error("panic in a request", "host", v.host, "request", v.id, "err", p, "stack", string(debug.Stack()))
	v.note = "panic"
	if v.code == 0 {
		v.page(http.StatusInternalServerError, "this edge failed to answer")
	}
}

// WriteHeader implements http.ResponseWriter. It adds what every response carries.
func (v *visit) WriteHeader(code int) {
	if v.code == 0 {
		v.code = code
		h := v.Header()
		if !v.elsewhere {
			h["Terrane-Edge"] = v.srv.edge
		}
		if v.place.verdict.Preview {
			h["X-Robots-Tag"] = []string{"noindex"}
		}
		if v.place.release != nil {
			h["Terrane-Revision"] = v.place.release.revisionHeader
		}
		if v.own && code >= http.StatusBadRequest {
			brief(h)
		}
		if code == http.StatusPreconditionFailed {
			delete(h, "Content-Length") // http.ServeContent sends nothing after all
		}
		if v.srv.hsts != nil && v.r.TLS != nil && h["Strict-Transport-Security"] == nil {
			h["Strict-Transport-Security"] = v.srv.hsts
		}
		if id := h["Terrane-Request-Id"]; len(id) != 1 || id[0] != v.id {
			h["Terrane-Request-Id"] = []string{v.id}
		}
	}
	v.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (v *visit) Write(b []byte) (int, error) {
	if v.code == 0 {
		v.WriteHeader(http.StatusOK)
	}
	var n int
	for {
		more, err := v.writePart(b[n:])
		if n += more; err != nil || n == len(b) {
			return n, err
		}
	}
}

// writePart writes b, or a chunk of it if the answer is counted.
func (v *visit) writePart(b []byte) (n int, err error) {
	if v.share == nil {
		n, err = v.ResponseWriter.Write(b) //nolint:gosec // tenants answer what they like
	} else {
		v.share.Begin(share.Writing)
		n, err = v.ResponseWriter.Write(b[:min(len(b), writeChunk)]) //nolint:gosec // likewise
		v.share.Done(n)
	}
	v.written += int64(n)
	if v.conn != nil && err == nil && v.r.Context().Err() == nil { // HTTP/2 takes a little for a stream that was reset
		v.conn.Progress()
	}
	return n, err
}

// Unwrap serves http.ResponseController.
func (v *visit) Unwrap() http.ResponseWriter { return v.ResponseWriter }

// bodyDeadline bounds the reading of the body, whoever does it. The zero time
// takes the bound away.
func (v *visit) bodyDeadline(t time.Time) {
	if err := http.NewResponseController(v.ResponseWriter).SetReadDeadline(t); err != nil {
		v.srv.log.Debug("set read deadline", "request", v.id, "err", err)
	}
}

// writeDeadline gives the response of n bytes time enough for a slow visitor.
// Small ones have the listener's own deadline.
func (v *visit) writeDeadline(n int64) {
	if n <= keepBuffer {
		return
	}
	v.answerBy(time.Now().Add(transferTime(v.srv.opts.WriteTimeout, n)))
}

// answerBy bounds the writing of the answer.
func (v *visit) answerBy(t time.Time) {
	if err := http.NewResponseController(v.ResponseWriter).SetWriteDeadline(t); err != nil {
		v.srv.log.Debug("set write deadline", "request", v.id, "err", err)
	}
}

// route finds who answers.
func (v *visit) route(ctx context.Context, secure bool) {
	for name := range v.r.Header {
		if ofEdges(name) {
			delete(v.r.Header, name)
		}
	}
	host, err := tenant.ParseHost(v.r.Host)
	if err != nil {
		v.page(http.StatusNotFound, "no site bears this name: "+err.Error())
		return
	}
	v.host = host
	if secure && !sameName(v.r.TLS.ServerName, v.r.Host, host) {
		v.page(http.StatusMisdirectedRequest, "the name of the TLS handshake and the Host header differ")
		return
	}
	path := v.r.URL.Path
	if !safePath(path) {
		v.page(http.StatusBadRequest, `the path has "..", a backslash, a NUL, or no leading slash`)
		return
	}
	if host == SelfHost {
		v.self()
		return
	}
	if own := v.srv.opts.Hosts[host]; own != nil {
		if secure {
			own.ServeHTTP(v, v.r)
		} else {
			v.redirect(http.StatusPermanentRedirect, "https://"+string(host)+v.srv.httpsPort+v.requestURI())
		}
		return
	}
	if path == WebhookPath && v.srv.opts.Webhook != nil {
		v.srv.opts.Webhook.ServeHTTP(v, v.r)
		return
	}
	v.place = v.srv.opts.Sites.find(ctx, host, v.client())
	switch {
	case path == wellKnown:
		v.report()
	case v.place.release == nil:
		v.nothingHere()
	case !secure && !v.srv.opts.ServePlain:
		v.redirect(http.StatusPermanentRedirect, "https://"+string(host)+v.srv.httpsPort+v.requestURI())
	case !v.place.release.allowed(v.start):
		v.retryLater(http.StatusTooManyRequests, "rate", "this site gets more requests than its owner allows")
	case !v.livesHere():
		v.forward(ctx)
	default:
		v.answer(ctx)
	}
}

// answer serves what the release has at the path.
func (v *visit) answer(ctx context.Context) {
	r := v.place.release
	path := v.r.URL.Path
	t := r.paths.Resolve(path)
	if r.redirects != nil {
		if m, ok := r.redirects.Find(string(v.host), path, t.Kind != tenant.NotFound && !t.Fallback); ok && v.apply(ctx, m) {
			return
		}
	}
	v.show(ctx, t)
}

// apply does what a line of _redirects says. It is false for a line that leads
// nowhere.
func (v *visit) apply(ctx context.Context, m rules.Match) bool {
	if !m.Stays() {
		to := m.Location(v.r.URL.RawQuery)
		if to != "" {
			v.redirect(m.Status(), to)
		}
		return to != ""
	}
	t := v.place.release.paths.Resolve(m.Path())
	switch {
	case m.Status() == http.StatusOK:
		v.show(ctx, t)
	case t.Kind == tenant.Static:
		v.notFound(ctx, t.File)
	default:
		v.notFound(ctx, "")
	}
	return true
}

// show answers with a target of the release.
func (v *visit) show(ctx context.Context, t tenant.Target) {
	switch t.Kind {
	case tenant.Static:
		v.static(ctx, t.File)
	case tenant.Module:
		v.module(ctx, t)
	case tenant.Redirect:
		to := v.r.URL.EscapedPath() + "/"
		if q := v.r.URL.RawQuery; q != "" {
			to += "?" + q
		}
		v.redirect(http.StatusPermanentRedirect, to)
	case tenant.NotFound:
		v.notFound(ctx, t.File)
	}
}

// sameName reports whether the handshake was for the host of the request.
func sameName(sni, header string, host tenant.Host) bool {
	if sni == header {
		return true
	}
	h, err := tenant.ParseHost(sni)
	return err == nil && h == host
}

// safePath reports whether p is absolute and free of what leads astray in file
// systems, programs and logs.
func safePath(p string) bool {
	if p == "" || p[0] != '/' || strings.ContainsAny(p, "\\\x00") {
		return false
	}
	return !strings.Contains(p, "/..") || !strings.Contains(p+"/", "/../")
}

// requestURI is the request's path and query as the visitor wrote them.
func (v *visit) requestURI() string {
	if uri := v.r.RequestURI; uri != "" && uri[0] == '/' {
		return uri
	}
	return v.r.URL.RequestURI()
}

// client is the visitor's address; invalid if there is no visitor.
func (v *visit) client() netip.Addr {
	if !v.from.IsValid() {
		ap, _ := netip.ParseAddrPort(v.r.RemoteAddr) // of a task: none
		v.from = ap.Addr().Unmap()
	}
	return v.from
}
