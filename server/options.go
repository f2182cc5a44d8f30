package server

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/internal/conns"
	"github.com/terrane/terrane/tenant"
)

// Options are what New takes.
type Options struct {
	Sites *Sites
	Edge  string // this edge's name, for Terrane-Edge
	// Region is this edge's. Sites that live in others are answered by way of
	// Elsewhere, or not at all if that is nil.
	Region    string
	Elsewhere Elsewhere

	HTTP  []string // addresses to listen on, "host:port"; port 0 takes a free one
	HTTPS []string
	// TLS is used as it is, not cloned, so that its session-ticket keys can be
	// changed while it serves. NextProtos must have "h2" for HTTP/2.
	TLS *tls.Config
	// ServePlain shows sites over HTTP too, instead of redirecting to HTTPS.
	ServePlain bool
	// HTTPSPort is the port that redirects lead to. Default: that of the first
	// HTTPS listener.
	HTTPSPort int

	// ProxyProtocol has the addresses of balancers, whose connections must begin
	// with a PROXY header.
	ProxyProtocol []netip.Prefix
	// HSTS tells visitors for how long to come by HTTPS only (RFC 6797), unless the
	// tenant says so itself. 0: they are not told.
	HSTS time.Duration

	// Refused names the newest revision of a tenant that did not go live, and why.
	// Nil: none ever is.
	Refused func(id tenant.ID) (revision tenant.Revision, reason string, refused bool)

	// Challenges wraps the plain listener's handler, to answer a CA's HTTP-01 challenges
	// (RFC 8555 8.3) before anything else; nil: nothing does.
	Challenges func(next http.Handler) http.Handler
	// Hosts are names of the edge's own, each served over HTTPS by a handler and by no
	// tenant.
	Hosts map[tenant.Host]http.Handler
	// Webhook takes word of pushes at WebhookPath of every host; nil: none does.
	Webhook http.Handler

	// Connections bound those of all listeners, NetworkConnections those of a client network
	// (an IPv4 /24, an IPv6 /48). Default: as package conns has it, from the limit on open files.
	Connections, NetworkConnections int

	HeaderTimeout time.Duration // for a request's head and a TLS handshake; default 10 s
	BodyTimeout   time.Duration // for a request's body, and 1 s more per 64 KiB; default 30 s
	WriteTimeout  time.Duration // for a response, and 1 s more per 64 KiB; default 30 s
	IdleTimeout   time.Duration // for the next request of a connection; default 2 min
	Drain         time.Duration // for requests in flight when Run's ctx ends; default 15 s
	HeaderBytes   int           // of a request's head; default 64 KiB
	// BufferBytes bound the bodies over 4 KiB that are held at a time, of all tenants. A tenant,
	// or a client network, holds as much as it leaves free at most; what goes beyond is answered
	// with 503. Default: 512 MiB, or three times the largest request and its answer.
	BufferBytes int64
	// OpenFiles bound the files over 64 KiB that are being sent, divided likewise. Default: an
	// eighth of the limit on open files, from 16 to 4096.
	OpenFiles int

	// Listener wraps each listener, below PROXY headers and TLS; nil: none is wrapped.
	Listener func(net.Listener) net.Listener

	Logger    *slog.Logger          // nil discards
	AccessLog io.Writer             // takes one JSON line per request, in blocks; nil: no log
	Metrics   prometheus.Registerer // nil registers nothing
}

func (o *Options) check() error {
	if o.Sites == nil {
		return errors.New("server: no sites")
	}
	if len(o.HTTP)+len(o.HTTPS) == 0 {
		return errors.New("server: no address to listen on")
	}
	if len(o.HTTPS) > 0 && o.TLS == nil {
		return errors.New("server: HTTPS wants a TLS configuration")
	}
	if o.TLS != nil && !slices.Contains(o.TLS.NextProtos, "http/1.1") {
		return errors.New(`server: the TLS configuration does not offer "http/1.1"`)
	}
	return nil
}

func (o *Options) setDefaults() {
	for _, d := range []struct {
		at *time.Duration
		to time.Duration
	}{
		{&o.HeaderTimeout, 10 * time.Second},
		{&o.BodyTimeout, 30 * time.Second},
		{&o.WriteTimeout, 30 * time.Second},
		{&o.IdleTimeout, 2 * time.Minute},
		{&o.Drain, 15 * time.Second},
	} {
		if *d.at <= 0 {
			*d.at = d.to
		}
	}
	if o.HeaderBytes <= 0 {
		o.HeaderBytes = 64 << 10
	}
	if l := &o.Sites.opts.Limits; o.BufferBytes <= 0 {
		o.BufferBytes = max(512<<20, 3*(cmp.Or(l.RequestBody, defaultRequestBody)+l.ResponseBody))
	}
	if o.OpenFiles <= 0 {
		o.OpenFiles = min(max(16, conns.Descriptors()/8), 4096)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Listener == nil {
		o.Listener = func(ln net.Listener) net.Listener { return ln }
	}
	if o.Refused == nil {
		o.Refused = func(tenant.ID) (tenant.Revision, string, bool) { return "", "", false }
	}
}

// slowest is the slowest transfer that is waited for, in bytes per second.
const slowest = 64 << 10

// transferTime is how long a body of n bytes may take.
func transferTime(base time.Duration, n int64) time.Duration {
	return base + time.Duration(n/slowest)*time.Second
}
