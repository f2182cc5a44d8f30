package fetch

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/fault"
)

// Options of a Client.
type Options struct {
	Allow        []string // host patterns of the operator; nil allows all
	Deny         []string // networks and host patterns, addresses among them
	AllowPrivate bool     // for labs: private addresses and those of Own and the host too; never link-local ones or those of clouds' metadata
	Own          Infrastructure
	From         netip.Addr    // what a local site sees as the client's address; zero: 192.0.0.8 (RFC 7600)
	Roots        []byte        // PEM of CAs, besides the system's
	Resolver     *net.Resolver // nil: the system's
	Timeout      time.Duration // per request, redirects and body included; 0: 30 s
	// Local returns the handler of a URL that this very process serves, nil for any
	// other: its address is refused like all of our own, and need not be dialed.
	Local   func(*url.URL) http.Handler
	Metrics prometheus.Registerer
}

const (
	defaultTimeout  = 30 * time.Second
	maxRedirects    = 10
	maxHeader       = 64 << 10 // bytes of a response's header
	maxFields       = 500      // lines of it
	idleTimeout     = 60 * time.Second
	connectTimeout  = 10 * time.Second
	defaultAgent    = "terrane"
	headerUserAgent = "User-Agent"
)

// Client is a hostcalls.Fetcher. One serves all tenants of a process.
type Client struct {
	policy  policy
	timeout time.Duration
	pools   *pools
	local   local
	own     *own // nil: none
	judge   func(netip.Addr) error
	metrics metrics
}

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of
// the table [fetch].
func (o Options) Check() error {
	var f fault.List
	for i, p := range o.Allow {
		f.AddErr(fmt.Sprintf("allow[%d]", i), checkPattern(p))
	}
	for i, d := range o.Deny {
		_, _, err := parseDeny([]string{d})
		f.AddErr(fmt.Sprintf("deny[%d]", i), err)
	}
	_, err := rootCAs(o.Roots)
	f.AddErr("roots", err)
	if o.Timeout < 0 {
		f.Add("timeout", "%v: want 0 or more", o.Timeout)
	}
	return f.Err()
}

// New returns a Client. The caller closes it. Its error joins every fault of the options
// (Options.Check).
func New(o Options) (*Client, error) {
	g := guard{reserved: reserved(), own: newOwn(o.Own)}
	if o.AllowPrivate {
		g = guard{reserved: metadata()}
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	g.denied, _, _ = parseDeny(o.Deny) // checked
	c, err := build(o, g.check)
	if err == nil {
		c.own = g.own
	}
	return c, err
}

// build makes a Client that dials what judge accepts.
func build(o Options, judge func(netip.Addr) error) (*Client, error) {
	_, hosts, err := parseDeny(o.Deny)
	if err != nil {
		return nil, err
	}
	roots, err := rootCAs(o.Roots)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{
		Timeout:  connectTimeout,
		Resolver: cmp.Or(o.Resolver, &net.Resolver{PreferGo: true}),
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return refuse("no address")
			}
			return judge(to.Addr())
		},
	}
	c := &Client{
		judge:  judge,
		policy: policy{o.Allow, hosts}, timeout: o.Timeout, local: local{o.Local, o.From}, metrics: newMetrics(o.Metrics),
	}
	if c.policy.allow == nil {
		c.policy.allow = []string{"*"}
	}
	if !c.local.from.IsValid() {
		c.local.from = netip.AddrFrom4([4]byte{192, 0, 0, 8})
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	c.pools = newPools(rooted(dialer), func(dial dialFunc) *http.Transport {
		return &http.Transport{ // no proxy: it would be dialed in place of the address judged
			DialContext:            dial,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    connectTimeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           maxIdleTenant,
			MaxIdleConnsPerHost:    maxIdlePerHost,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeader,
		}
	})
	return c, nil
}

// rooted dials names as they are, without the host's search domains.
func rooted(d *net.Dialer) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return d.DialContext(ctx, network, net.JoinHostPort(root(host), port))
	}
}

// root is name with the trailing dot that ends the search for longer names.
func root(name string) string {
	if _, err := netip.ParseAddr(name); err == nil || name == "" || name[len(name)-1] == '.' {
		return name
	}
	return name + "."
}

func rootCAs(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in PEM")
	}
	return pool, nil
}

// Judge returns an error unless a connection to ip is one that guests may make.
func (c *Client) Judge(ip netip.Addr) error { return c.judge(ip) }

// Close closes idle connections, and waits for a lookup that is in progress. No Fetch may be
// under way.
func (c *Client) Close() {
	c.pools.close()
	if c.own != nil {
		c.own.looking.Wait()
	}
}

// Fetch implements hostcalls.Fetcher. It follows redirects, each within the policy.
func (c *Client) Fetch(ctx context.Context, r *hostcalls.FetchRequest) (*hostcalls.FetchResponse, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	p := c.pools.acquire(r.Tenant)
	end := sync.OnceFunc(func() { cancel(); c.pools.release(p) })
	resp, err := c.fetch(ctx, r, p) //nolint:bodyclose // the caller closes it, by the body below
	c.metrics.observe(err, time.Since(start))
	if err != nil {
		end()
		return nil, explain(err)
	}
	return &hostcalls.FetchResponse{
		Code: resp.StatusCode, Header: resp.Header, Length: resp.ContentLength,
		Body:    &body{ReadCloser: resp.Body, resp: resp, cancel: cancel, end: end},
		Trailer: func() http.Header { return resp.Trailer },
	}, nil
}

func (c *Client) fetch(ctx context.Context, r *hostcalls.FetchRequest, p *pool) (*http.Response, error) {
	if err := c.policy.check(r.URL, r.Host, r.Allow); err != nil {
		return nil, err
	}
	var content io.Reader = bytes.NewReader(r.Body)
	if r.Stream != nil {
		content = r.Stream
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL.String(), content)
	if err != nil {
		return nil, err
	}
	if r.Stream != nil {
		req.ContentLength = r.Length
	}
	if r.Trailer != nil && (r.Stream == nil || r.Length < 0) {
		sendTrailer(req, r)
	}
	req.Header, req.Host = r.Header.Clone(), r.Host
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if req.Header[headerUserAgent] == nil {
		req.Header[headerUserAgent] = []string{defaultAgent}
	}
	client := http.Client{
		Transport: &hop{&c.local, p.transport},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if r.NoRedirects {
				return http.ErrUseLastResponse
			}
			if len(via) > maxRedirects {
				return refuse("more than %d redirects", maxRedirects)
			}
			next.Response = nil // or each response's header would be held until the last one
			return c.policy.check(next.URL, next.Host, r.Allow)
		},
	}
	return client.Do(req)
}

// sendTrailer lets the trailer follow the request's body, which is sent in chunks then. HTTP/2
// sends it only where its names are known before.
func sendTrailer(req *http.Request, r *hostcalls.FetchRequest) {
	req.ContentLength = -1
	req.GetBody = nil
	req.Trailer = http.Header{}
	if r.Stream == nil {
		for name := range r.Trailer() {
			req.Trailer[name] = nil
		}
	}
	req.Body = &trailing{req.Body, req.Trailer, r.Trailer}
}

// trailing is a body that is followed by a trailer.
type trailing struct {
	io.ReadCloser
	to   http.Header
	from func() http.Header
}

// Read notes the trailer at the end, which net/http looks at then.
func (t *trailing) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		maps.Copy(t.to, t.from())
	}
	return n, err
}

// hop sends one request, to a site of this process or over the tenant's connections.
type hop struct {
	local   *local
	network *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (h *hop) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	handler, err := h.local.find(req)
	switch {
	case err != nil:
		return nil, err
	case handler != nil:
		resp, err = h.local.serve(handler, req)
	default:
		resp, err = h.network.RoundTrip(req)
	}
	if err == nil {
		if err = checkHeader(resp.Header); err != nil {
			_ = resp.Body.Close() // of no use
			return nil, err
		}
	}
	return resp, err
}

// checkHeader holds for a response what the transport does not count, and for one of a
// local site everything.
func checkHeader(h http.Header) error {
	fields, size := 0, 0
	for name, values := range h {
		fields += len(values)
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if fields > maxFields || size > maxHeader {
		return &failure{fmt.Sprintf("the upstream's header has more than %d lines or %d bytes", maxFields, maxHeader), nil, hostcalls.FaultHeader}
	}
	return nil
}

// body ends the request when it is closed.
type body struct {
	io.ReadCloser
	resp   *http.Response
	cancel context.CancelFunc
	end    func()
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		if bad := checkHeader(b.resp.Trailer); bad != nil {
			b.resp.Trailer = nil
			return n, bad
		}
	} else if err != nil {
		err = explain(err)
	}
	return n, err
}

// Close ends what is left of the request, before it waits for whoever answers.
func (b *body) Close() error {
	b.cancel()
	defer b.end()
	return b.ReadCloser.Close()
}

// failure is a failed fetch in words that tell nothing of the host's network.
type failure struct {
	text  string
	cause error
	fault hostcalls.Fault
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

// Fault implements hostcalls.FetchError.
func (f *failure) Fault() hostcalls.Fault { return f.fault }

func explain(err error) error {
	var (
		known   *failure
		refused *Refusal
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
	)
	text, fault := "the upstream could not be reached", hostcalls.FaultConnect
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &known):
		return known
	case errors.As(err, &dns) && dns.IsNotFound:
		text, fault = "the host's name has no address", hostcalls.FaultName
	case errors.As(err, &dns):
		text, fault = "the host's name could not be resolved", hostcalls.FaultResolver
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		text, fault = "the upstream did not answer in time", hostcalls.FaultTimeout
	case errors.Is(err, context.Canceled):
		text, fault = "the request was cancelled", hostcalls.FaultOther
	case errors.As(err, &cert):
		text, fault = fmt.Sprintf("the upstream's certificate is not good: %v", cert.Err), hostcalls.FaultCertificate
	case errors.Is(err, http.ErrSchemeMismatch):
		text, fault = "the upstream does not speak TLS", hostcalls.FaultTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		text, fault = "the upstream refused the connection", hostcalls.FaultRefused
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		text, fault = "the upstream closed the connection too early", hostcalls.FaultClosed
	}
	return &failure{text, err, fault}
}
