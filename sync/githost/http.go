package githost

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	idleTime   = time.Minute // without a byte, of a client that is to send or read
	maxRequest = 16 << 20    // bytes of what a fetch asks
)

// Handler serves git's smart HTTP protocol, as repositories at the root of a host. Each
// request needs a pusher's token as password; the user name is ignored.
func (h *Host) Handler() http.Handler { return http.HandlerFunc(h.serveHTTP) }

func (h *Host) serveHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case <-h.ready:
	default:
		h.unavailable(w, "this edge is just starting: try again")
		return
	}
	s, advertise, ok := h.parse(w, r)
	if !ok || !h.login(w, r, s) {
		return
	}
	head := w.Header()
	head.Set("Cache-Control", "no-cache, no-store")
	client := &peer{rc: http.NewResponseController(w), w: w, r: r.Body}
	s.protocol, s.out = r.Header.Get("Git-Protocol"), client
	s.from = network(r.RemoteAddr).String()
	leave, err := h.request(r.Context(), s)
	if err != nil {
		h.finish(w, s, client, err)
		return
	}
	defer leave()
	if err := h.open(r.Context(), s.repo); err != nil {
		h.log.Error("cannot make a repository", "store", s.repo.Prefix, "err", err)
		h.finish(w, s, client, err)
		return
	}
	if advertise {
		head.Set("Content-Type", "application/x-"+s.service+"-advertisement")
		line := "# service=" + s.service + "\n"
		client.first = packet(line) + "0000"
		h.finish(w, s, client, h.advertise(r.Context(), s))
		return
	}
	head.Set("Content-Type", "application/x-"+s.service+"-result")
	s.flags = []string{"--stateless-rpc"}
	most := int64(maxRequest)
	if s.service == receivePack {
		most += s.repo.MaxPush
	}
	in := io.Reader(client)
	if r.Header.Get("Content-Encoding") == "gzip" {
		if in, err = gzip.NewReader(io.LimitReader(client, most)); err != nil {
			http.Error(w, "the request is not gzip, as it says", http.StatusBadRequest)
			return
		}
	}
	if s.request, err = h.newSpool(s.who); err == nil {
		defer s.request.Close() //nolint:errcheck // it has no name
		err = s.request.take(in, most)
	}
	if err == nil {
		err = h.serve(r.Context(), s)
	}
	h.finish(w, s, client, err)
}

func (h *Host) finish(w http.ResponseWriter, s *session, client *peer, err error) {
	if err == nil {
		return
	}
	h.log.Debug("git over HTTP", "store", s.repo.Prefix, "service", s.service, "pusher", s.who.Name, "err", err)
	if client.wrote {
		return // the client has git's own words, or sees a cut answer
	}
	w.Header().Del("Content-Type")
	if errors.Is(err, errBusy) {
		h.unavailable(w, err.Error())
		return
	}
	http.Error(w, "this edge failed on its repository; its log says more", http.StatusInternalServerError)
}

func (h *Host) unavailable(w http.ResponseWriter, text string) {
	w.Header().Set("Retry-After", "5")
	http.Error(w, text, http.StatusServiceUnavailable)
}

// parse finds out what is asked of which repository. If it cannot, it has answered.
func (h *Host) parse(w http.ResponseWriter, r *http.Request) (s *session, advertise, ok bool) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	s = &session{}
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(path, "/info/refs"):
		path, advertise = strings.TrimSuffix(path, "/info/refs"), true
		s.service = r.URL.Query().Get("service")
	case r.Method == http.MethodPost:
		end := strings.LastIndexByte(path, '/')
		path, s.service = path[:max(end, 0)], path[end+1:]
	}
	s.repo = h.find(path)
	if s.repo == nil || (s.service != uploadPack && s.service != receivePack) {
		notFound(w, r)
		return nil, false, false
	}
	return s, advertise, true
}

func notFound(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "here are git repositories: git clone https://"+r.Host+"/NAME, where NAME is the prefix of a store, or a tenant's repository below it", http.StatusNotFound)
}

// login finds the pusher. If there is none, it has answered.
func (h *Host) login(w http.ResponseWriter, r *http.Request, s *session) bool {
	if h.strikes.out(r.RemoteAddr) {
		h.metrics.logins.WithLabelValues("http").Inc()
		w.Header().Set("Retry-After", "60")
		http.Error(w, "too many failed logins from your network: wait a minute", http.StatusTooManyRequests)
		return false
	}
	_, token, given := r.BasicAuth()
	var err error
	if given {
		if s.who, err = s.repo.byToken(token); err != nil {
			h.log.Error("cannot read who may push: nobody can", "store", s.repo.Prefix, "err", err)
			h.unavailable(w, "this edge cannot read who may push; its log says more")
			return false
		}
	}
	switch {
	case s.who == nil:
		if given {
			h.strikes.add(r.RemoteAddr)
			h.metrics.logins.WithLabelValues("http").Inc()
		}
		w.Header().Set("Www-Authenticate", `Basic realm="terrane: a pusher's token as password", charset="UTF-8"`)
		http.Error(w, "want a pusher's token as password", http.StatusUnauthorized)
		return false
	case !s.who.finds(s.repo, s.service):
		notFound(w, r)
		return false
	case s.service == receivePack && !s.who.writes(s.repo):
		http.Error(w, "this token may read and not push", http.StatusForbidden)
		return false
	}
	return true
}

// peer is the client's side of a request. Each read and write may take idleTime.
type peer struct {
	rc    *http.ResponseController
	w     io.Writer
	r     io.Reader
	first string // to be written before anything else
	wrote bool
}

// Read implements io.Reader.
func (p *peer) Read(b []byte) (int, error) {
	_ = p.rc.SetReadDeadline(time.Now().Add(idleTime)) // every listener of ours can
	n, err := p.r.Read(b)
	if errors.Is(err, io.EOF) {
		_ = p.rc.SetReadDeadline(time.Time{}) // or the request would end while it waits for the release
	}
	return n, err
}

// Write implements io.Writer.
func (p *peer) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(idleTime)) // likewise
	if !p.wrote {
		p.wrote = true
		if _, err := io.WriteString(p.w, p.first); err != nil {
			return 0, err
		}
	}
	n, err := p.w.Write(b)
	if err == nil {
		err = p.rc.Flush()
	}
	return n, err
}
