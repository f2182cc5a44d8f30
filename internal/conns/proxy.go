package conns

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"
)

// BehindProxies reads the PROXY header (v1 and v2) of connections that come from
// trusted addresses, so that visitors' addresses are their own. Such a connection
// must have one: guessing would let a visitor of the balancer write it. Anyone else
// who sends one gets no answer. ln is one of this Limiter.
//
// A connection without a valid header is closed, counted, and named in the log.
func (l *Limiter) BehindProxies(ln net.Listener, trusted []netip.Prefix, timeout time.Duration) net.Listener {
	if len(trusted) == 0 {
		return ln
	}
	return &proxies{ln, l, trusted, timeout}
}

type proxies struct {
	net.Listener
	limiter *Limiter
	trusted []netip.Prefix
	timeout time.Duration
}

// Accept implements net.Listener.
func (p *proxies) Accept() (net.Conn, error) {
	accepted, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := accepted.(*Conn)
	from, to := addrOf(c.RemoteAddr()).Addr(), addrOf(c.LocalAddr()).Addr()
	policy := proxyproto.REQUIRE
	switch {
	case !slices.ContainsFunc(p.trusted, func(t netip.Prefix) bool { return t.Contains(from) }):
		return c, nil
	case from == to: // this machine asks itself, as the health check does
		policy = proxyproto.USE
	}
	first := &recorder{Conn: c}
	return &proxied{
		Conn: proxyproto.NewConn(first, proxyproto.WithPolicy(policy), proxyproto.SetReadHeaderTimeout(p.timeout),
			proxyproto.ValidateHeader(func(h *proxyproto.Header) error {
				if from := addrOf(h.SourceAddr).Addr(); !h.Command.IsLocal() && from.IsValid() {
					p.limiter.moveTo(c, from)
				}
				return nil
			})),
		first: first, limiter: p.limiter,
	}, nil
}

// proxied is a connection of a balancer.
type proxied struct {
	*proxyproto.Conn
	first   *recorder
	limiter *Limiter
	once    sync.Once
	err     error // of the header; set by once
}

// Read implements net.Conn.
func (p *proxied) Read(b []byte) (int, error) {
	p.once.Do(func() {
		if _, p.err = p.Conn.Read(nil); p.err != nil {
			p.limiter.refused(p.first, p.err)
		}
	})
	if p.err != nil {
		return 0, p.err
	}
	return p.Conn.Read(b)
}

// recorder remembers how a connection begins.
type recorder struct {
	*Conn
	seen []byte
}

const maxSeen = 108 // what a PROXY header of version 1 may have

// Read implements net.Conn.
func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	if room := maxSeen - len(r.seen); room > 0 {
		r.seen = append(r.seen, b[:min(n, room)]...)
	}
	return n, err
}

// Raw is for Of.
func (r *recorder) Raw() net.Conn { return r.Conn }

// What a balancer's connection has in place of a valid header.
const (
	headerMissing   = "missing"   // something else, such as a TLS handshake
	headerMalformed = "malformed" // a header that breaks the protocol
	headerNothing   = "nothing"   // it was closed, or nothing came: some balancers probe so
)

func (l *Limiter) refused(first *recorder, err error) {
	kind := headerMalformed
	switch seen := first.seen; {
	case len(seen) == 0:
		kind = headerNothing
	case errors.Is(err, proxyproto.ErrNoProxyProtocol):
		kind = headerMissing
	}
	l.metrics.proxies[kind].Inc()
	if kind != headerNothing {
		l.proxies.warn(time.Now(), addrOf(first.RemoteAddr()).Addr(), kind, first.seen, err)
	}
}

// warnings bound what the log has of refused headers.
type warnings struct {
	log *slog.Logger

	mu      sync.Mutex
	last    time.Time
	omitted int
}

func (w *warnings) warn(now time.Time, peer netip.Addr, kind string, seen []byte, err error) {
	w.mu.Lock()
	if now.Sub(w.last) < 10*time.Second {
		w.omitted++
		w.mu.Unlock()
		return
	}
	omitted := w.omitted
	w.last, w.omitted = now, 0
	w.mu.Unlock()
	w.log.Warn("closed a balancer's connection: no valid PROXY header", "peer", peer, "header", kind, "seen", strconv.QuoteToASCII(string(seen)),
		"fix", proxyFix(seen), "omitted", omitted, "err", err)
}

// proxyFix says what to change at a balancer that begins a connection so.
func proxyFix(seen []byte) string {
	switch line, _, _ := bytes.Cut(seen, []byte("\r\n")); {
	case bytes.HasPrefix(seen, []byte{0x16, 3}):
		return "this is a TLS handshake: have the balancer send the PROXY header, or take it out of https.proxy_protocol"
	case bytes.HasPrefix(seen, []byte("PROXY TCP6 ")) && bytes.IndexByte(line, '.') >= 0:
		return "the header mixes IPv4 and IPv6 addresses, as nginx does with set_real_ip_from: have the balancer before nginx reach nginx by the visitor's family"
	case bytes.HasPrefix(seen, []byte("PROXY ")):
		return "have the balancer send the header as the PROXY protocol has it, in one piece"
	}
	return "have the balancer send the PROXY header (version 1 or 2) first, or take it out of https.proxy_protocol"
}
