package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
)

// Options of a Client.
type Options struct {
	Allow        []string      // host patterns of the operator; nil allows all
	AllowPrivate bool          // for labs: private addresses and Own too; never link-local ones or those of clouds' metadata
	Own          []netip.Addr  // the edge's, judged as private
	Roots        []byte        // PEM of CAs, besides the system's
	Resolver     Resolver      // nil: the system's
	Timeout      time.Duration // per request, redirects and body included; 0: 30 s
	// Local returns the handler of a URL that this very process serves, nil for any
	// other: its address is refused like all of our own, and need not be dialed.
	Local   func(*url.URL) http.Handler
	Metrics prometheus.Registerer
}

const (
	defaultTimeout  = 30 * time.Second
	maxRedirects    = 10
	maxHeader       = 256 << 10 // bytes of a response's header
	maxIdle         = 256
	maxIdlePerHost  = 16
	idleTimeout     = 60 * time.Second
	connectTimeout  = 10 * time.Second
	defaultAgent    = "terrane"
	headerUserAgent = "User-Agent"
)

// Client is a hostcalls.Fetcher. One serves all tenants of a process.
type Client struct {
	allow     []string
	timeout   time.Duration
	transport *http.Transport
	trip      http.RoundTripper // transport, or local
	metrics   metrics
}

// New checks the options. The Client is closed by Close.
func New(o Options) (*Client, error) {
	if o.AllowPrivate {
		return build(o, newMetadata().check)
	}
	return build(o, newAddresses(o.Own).check)
}

// build makes a Client that dials what judge accepts.
func build(o Options, judge func(netip.Addr) error) (*Client, error) {
	var errs []error
	for _, p := range o.Allow {
		errs = append(errs, checkPattern(p))
	}
	roots, err := rootCAs(o.Roots)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	dialer := &net.Dialer{
		Timeout:  connectTimeout,
		Resolver: resolver(o.Resolver),
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return refuse("no address")
			}
			return judge(to.Addr())
		},
	}
	c := &Client{allow: o.Allow, timeout: o.Timeout, metrics: newMetrics(o.Metrics)}
	if c.allow == nil {
		c.allow = []string{"*"}
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	c.transport = &http.Transport{ // no proxy: it would be dialed in place of the address judged
		DialContext:            rooted(dialer),
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
	}
	c.trip = c.transport
	if o.Local != nil {
		c.trip = &local{o.Local, c.transport}
	}
	return c, nil
}

// rooted dials names as they are, without the host's search domains.
func rooted(d *net.Dialer) func(ctx context.Context, network, address string) (net.Conn, error) {
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
		return nil, errors.New("roots: no certificate in PEM")
	}
	return pool, nil
}

// Close closes idle connections. No Fetch may be under way.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Fetch implements hostcalls.Fetcher. It follows redirects, each within the policy.
func (c *Client) Fetch(ctx context.Context, r *hostcalls.FetchRequest) (*hostcalls.FetchResponse, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	resp, err := c.fetch(ctx, r) //nolint:bodyclose // the caller closes it, by the body below
	c.metrics.observe(err, time.Since(start))
	if err != nil {
		cancel()
		return nil, explain(err)
	}
	return &hostcalls.FetchResponse{
		Code: resp.StatusCode, Header: resp.Header, Length: resp.ContentLength,
		Body: &body{ReadCloser: resp.Body, cancel: cancel},
	}, nil
}

func (c *Client) fetch(ctx context.Context, r *hostcalls.FetchRequest) (*http.Response, error) {
	judge := func(u *url.URL) error {
		if !allowed(c.allow, u) {
			return refuse("the host %.100q is not among those that this edge lets guests fetch from", u.Host)
		}
		if r.Allow != nil && !allowed(r.Allow, u) {
			return refuse("the host %.100q is not in fetch.allow of terrane.toml", u.Host)
		}
		return nil
	}
	if err := judge(r.URL); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL.String(), bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	req.Header, req.Host = r.Header.Clone(), r.Host
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if req.Header[headerUserAgent] == nil {
		req.Header[headerUserAgent] = []string{defaultAgent}
	}
	client := http.Client{
		Transport: c.trip,
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return refuse("more than %d redirects", maxRedirects)
			}
			return judge(next.URL)
		},
	}
	return client.Do(req)
}

// body ends the request's context when it is closed.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = explain(err)
	}
	return n, err
}

// Close ends what is left of the request, before it waits for whoever answers.
func (b *body) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// failure is a failed fetch in words that tell nothing of the host's network.
type failure struct {
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

func explain(err error) error {
	var (
		refused *Refusal
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
	)
	text := "the upstream could not be reached"
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &dns) && dns.IsNotFound:
		text = "the host's name has no address"
	case errors.As(err, &dns):
		text = "the host's name could not be resolved"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		text = "the upstream did not answer in time"
	case errors.Is(err, context.Canceled):
		text = "the request was cancelled"
	case errors.As(err, &cert):
		text = fmt.Sprintf("the upstream's certificate is not good: %v", cert.Err)
	case errors.Is(err, http.ErrSchemeMismatch):
		text = "the upstream does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		text = "the upstream refused the connection"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		text = "the upstream closed the connection too early"
	}
	return &failure{text, err}
}
