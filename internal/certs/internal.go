package certs

import (
	"container/list"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/terrane/terrane/tenant"
)

// InternalOptions are what NewInternal takes.
type InternalOptions struct {
	// Dir holds the authority's key; it is made if missing. Edges that share it,
	// or copies of it, share the root.
	Dir      string
	Permit   Permit                // asked at each handshake
	Lifetime time.Duration         // of a certificate; default 7 days
	Cache    int                   // certificates kept in memory; default 10,000
	Metrics  prometheus.Registerer // nil registers nothing
}

// Internal is a certificate authority that issues on demand. It is safe for
// concurrent use.
type Internal struct {
	opts   InternalOptions
	ca     *authority
	group  singleflight.Group
	issues prometheus.Counter

	mu     sync.Mutex
	byHost map[string]*list.Element // of *tls.Certificate; guarded by mu
	recent *list.List               // most recently used first; guarded by mu
}

// NewInternal loads the authority in o.Dir, or makes it.
func NewInternal(o InternalOptions) (*Internal, error) {
	if o.Dir == "" || o.Permit == nil {
		return nil, errors.New("certs: internal mode wants a folder and a permit")
	}
	if o.Lifetime <= 0 {
		o.Lifetime = 7 * 24 * time.Hour
	}
	if o.Cache <= 0 {
		o.Cache = 10_000
	}
	ca, err := openAuthority(o.Dir)
	if err != nil {
		return nil, err
	}
	c := &Internal{opts: o, ca: ca, byHost: make(map[string]*list.Element), recent: list.New(),
		issues: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "terrane_certs_issued_total", Help: "Certificates made by the internal authority.",
		})}
	if o.Metrics != nil {
		err = o.Metrics.Register(c.issues)
	}
	return c, err
}

// RootPEM is the root certificate that clients must trust.
func (c *Internal) RootPEM() []byte { return c.ca.rootPEM() }

// TLSConfig makes a configuration for one listener or more.
func (c *Internal) TLSConfig() *tls.Config { return NewTLSConfig(c.admit, c.getCertificate) }

func (c *Internal) admit(hello *tls.ClientHelloInfo) error {
	host, err := tenant.ParseHost(ServerName(hello))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoName, err)
	}
	return c.opts.Permit(hello.Context(), host, Source(hello))
}

func (c *Internal) getCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	host := ServerName(hello)
	if cert := c.cached(host); cert != nil {
		return cert, nil
	}
	cert, err, _ := c.group.Do(host, func() (any, error) {
		if cert := c.cached(host); cert != nil { // made since, by a flight that has landed
			return cert, nil
		}
		return c.issue(host)
	})
	if err != nil {
		return nil, fmt.Errorf("issue a certificate for %s: %w", host, err)
	}
	return cert.(*tls.Certificate), nil
}

// cached returns the host's certificate while more than a third of its life is left, and none
// that is not valid yet: this clock was ahead when it was made.
func (c *Internal) cached(host string) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byHost[host]
	if !ok {
		return nil
	}
	cert := e.Value.(*tls.Certificate)
	if now := time.Now(); cert.Leaf.NotAfter.Sub(now) < c.opts.Lifetime/3 || now.Before(cert.Leaf.NotBefore) {
		return nil
	}
	c.recent.MoveToFront(e)
	return cert
}

func (c *Internal) issue(host string) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		NotBefore:    now.Add(-backdate),
		NotAfter:     now.Add(c.opts.Lifetime),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{host},
	}
	if len(host) <= 64 { // RFC 5280 A.1
		template.Subject = pkix.Name{CommonName: host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.ca.cert, key.Public(), c.ca.key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
	c.issues.Inc()
	c.keep(host, cert)
	return cert, nil
}

func (c *Internal) keep(host string, cert *tls.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byHost[host]; ok {
		e.Value = cert
		c.recent.MoveToFront(e)
		return
	}
	c.byHost[host] = c.recent.PushFront(cert)
	if c.recent.Len() > c.opts.Cache {
		oldest := c.recent.Remove(c.recent.Back()).(*tls.Certificate)
		delete(c.byHost, oldest.Leaf.DNSNames[0])
	}
}
