package acme

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/fault"
	"github.com/terrane/terrane/tenant"
)

// Options are what New takes.
type Options struct {
	CAs     []string        // directory URLs, tried in this order; nil: LetsEncrypt
	Storage storage.Storage // shared by all edges behind one address
	Key     []byte          // encrypts what Storage keeps, with AES-256-GCM; at least 32 bytes, or nil
	// Permit is asked before a host gets its first certificate at this edge, on behalf
	// of a visitor at source, and before each renewal, when source is invalid; an error refuses.
	Permit certs.Permit

	EAB      []EAB         // how accounts are bound, at most one for a CA; optional
	Email    string        // where a CA may write to; optional
	Roots    []byte        // PEM of authorities that are trusted beside the system's, for a private CA
	SelfHost tenant.Host   // a name of the edge's own, which gets a self-signed certificate; optional
	Quota    int           // new names per registrable domain and week, over all edges; default 40
	Timeout  time.Duration // for one CA to issue; default 1 min
	Workers  int           // orders at a time; default 16
	Cache    int           // certificates in memory, of about 5 KiB; default 50,000
	Every    time.Duration // between two looks for what is to be renewed; default 1 min

	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil registers nothing
}

// EAB binds an account to one that the operator has at a CA (RFC 8555 7.3.4). It counts
// when the account is made.
type EAB struct {
	CA    string // one of Options.CAs
	KeyID string
	Key   string // base64url, as the CA gives it out
}

// Manager gets certificates from authorities that speak RFC 8555, at the first handshake
// for a host, and renews those in memory. Edges that share a storage answer each
// other's challenges, and make one order for a name among them.
//
// What is in memory and valid is served without asking anyone. It is safe for
// concurrent use.
type Manager struct {
	opts    Options
	log     *slog.Logger
	storage storage.Storage
	roots   *x509.CertPool
	self    *tls.Certificate
	now     func() time.Time
	metrics *metrics

	certs    *lru[*entry]
	failures *lru[remembered]
	spent    *lru[spentQuota] // by registrable domain
	loads    singleflight.Group

	mu      sync.Mutex
	flights map[string]*flight // guarded by mu

	jobs     chan *flight
	renewals chan string
	started  atomic.Bool
	cas      atomic.Pointer[[]*ca] // nil before Run
	ready    chan struct{}         // closed when cas is set
	done     chan struct{}         // closed when Run has ended
}

// LetsEncrypt is the directory URL of the authority that is asked by default.
const LetsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// Check returns every fault in o, joined: each is a *fault.Fault, whose key is that of
// the table [tls].
func (o Options) Check() error {
	o = o.withDefaults()
	var f fault.List
	if len(o.CAs) == 0 {
		f.Add("ca", "want the directory URL of at least one authority")
	}
	for i, s := range o.CAs {
		key := fmt.Sprintf("ca[%d]", i)
		if u, err := url.Parse(s); err != nil || u.Scheme != "https" || u.Host == "" {
			f.Add(key, "%q: want the https URL of an ACME directory", s)
		} else if slices.Contains(o.CAs[:i], s) {
			f.Add(key, "%q is listed twice", s)
		}
	}
	for i, b := range o.EAB {
		key := fmt.Sprintf("eab[%d].", i)
		if !slices.Contains(o.CAs, b.CA) || slices.ContainsFunc(o.EAB[:i], func(c EAB) bool { return c.CA == b.CA }) {
			f.Add(key+"ca", "%q: want one of ca, once", b.CA)
		}
		if b.KeyID == "" {
			f.Add(key+"kid", "want the key identifier that the authority gave you")
		}
		if k, err := base64.RawURLEncoding.DecodeString(b.Key); err != nil || len(k) == 0 {
			f.Add(key+"key", "want the key that the authority gave you, in base64url without padding")
		}
	}
	if n := len(o.Key); o.Key != nil && n < storage.MinSecret {
		f.Add("key", "the secret has %d characters: want at least %d of them", n, storage.MinSecret)
	}
	_, err := rootCAs(o.Roots)
	f.AddErr("roots", err)
	return f.Err()
}

func (o Options) withDefaults() Options {
	if o.CAs == nil {
		o.CAs = []string{LetsEncrypt}
	}
	o.Quota = cmp.Or(o.Quota, 40)
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	o.Workers = cmp.Or(o.Workers, 16)
	o.Cache = cmp.Or(o.Cache, 50_000)
	o.Every = cmp.Or(o.Every, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// rootCAs are the system's authorities and those in pem; nil without pem.
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

// New returns a Manager. Certificates come while Run runs. There is one per process:
// certmagic keeps challenges, by host, and an e-mail address in tables of the process. The
// error joins every fault of the options (Options.Check).
func New(o Options) (*Manager, error) {
	if o.Storage == nil || o.Permit == nil {
		return nil, errors.New("acme: want a storage and a permit")
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	a := &Manager{opts: o, log: o.Logger, storage: storage.Unsealed(storage.Bounded(o.Storage)), now: time.Now,
		certs: newLRU[*entry](o.Cache), failures: newLRU[remembered](o.Cache), spent: newLRU[spentQuota](o.Cache),
		flights: make(map[string]*flight), jobs: make(chan *flight, 16*o.Workers), renewals: make(chan string),
		ready: make(chan struct{}), done: make(chan struct{})}
	var err error
	if o.Key != nil {
		if a.storage, err = storage.Sealed(storage.Bounded(o.Storage), o.Key); err != nil {
			return nil, err
		}
	}
	if a.roots, err = rootCAs(o.Roots); err != nil {
		return nil, err
	}
	if o.SelfHost != "" {
		if a.self, err = certs.SelfSigned(string(o.SelfHost)); err != nil {
			return nil, err
		}
	}
	a.metrics, err = newMetrics(a, o.Metrics)
	return a, err
}

// acmeALPN is the protocol of TLS-ALPN-01 (RFC 8737).
const acmeALPN = "acme-tls/1"

// TLSConfig makes a configuration for one listener or more, which answers TLS-ALPN-01
// challenges too.
func (a *Manager) TLSConfig() *tls.Config {
	c := certs.NewTLSConfig(a.admit, a.getCertificate)
	c.NextProtos = append(c.NextProtos, acmeALPN)
	return c
}

// HTTPHandler answers HTTP-01 challenges that this edge or another one has to meet,
// and leaves all else to next. It belongs on port 80.
func (a *Manager) HTTPHandler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cas := a.cas.Load()
		if cas == nil || !certmagic.LooksLikeHTTPChallenge(r) || len(r.URL.Path) > 256 {
			next.ServeHTTP(w, r)
			return
		}
		for _, c := range *cas {
			if c.issuer.HandleHTTPChallenge(w, r) {
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Run makes orders and renews certificates until ctx ends, and waits for what is in
// progress. It runs once.
func (a *Manager) Run(ctx context.Context) error {
	if a.started.Swap(true) {
		return errors.New("acme: Run was called before")
	}
	defer close(a.done)
	// certmagic listens for challenges itself where it finds a port free. It gets one
	// that is taken: challenges come to the edge's own listeners.
	busy, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("acme: reserve a port: %w", err)
	}
	cache, cas := a.newCAs(busy.Addr().(*net.TCPAddr).Port)
	defer cache.Stop()
	a.cas.Store(&cas)
	close(a.ready)

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer context.AfterFunc(ctx, func() { _ = busy.Close() })()
		for {
			conn, err := busy.Accept()
			if err != nil {
				return nil //nolint:nilerr // closed, as ctx has ended
			}
			_ = conn.Close()
		}
	})
	for range a.opts.Workers {
		g.Go(func() error { return a.work(ctx) })
	}
	g.Go(func() error { return a.findRenewals(ctx) })
	g.Go(func() error { return a.clean(ctx) })
	return g.Wait()
}

// work makes one order or renewal at a time.
func (a *Manager) work(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-a.jobs:
			a.land(ctx, f)
		case host := <-a.renewals:
			a.renew(ctx, host)
		}
	}
}
