package acme

import (
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
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/tenant"
)

// Options are what New takes.
type Options struct {
	CAs     []string        // directory URLs, tried in this order
	Storage storage.Storage // shared by all edges behind one address
	Key     []byte          // encrypts what Storage keeps, with AES-256-GCM; at least 32 bytes, or nil
	// Permit is asked before a host gets its first certificate at this edge, on behalf
	// of a visitor at source, and before each renewal, when source is invalid; an error refuses.
	Permit certs.Permit

	EAB      map[string]EAB // by directory URL: how accounts are bound; optional
	Email    string         // where a CA may write to; optional
	Roots    []byte         // PEM of authorities that are trusted beside the system's, for a private CA
	SelfHost tenant.Host    // a name of the edge's own, which gets a self-signed certificate; optional
	Quota    int            // new names per registrable domain and week, over all edges; default 40
	Timeout  time.Duration  // for one CA to issue; default 1 min
	Workers  int            // orders at a time; default 16
	Cache    int            // certificates in memory, of about 5 KiB; default 50,000
	Every    time.Duration  // between two looks for what is to be renewed; default 1 min

	Logger  *slog.Logger          // nil discards
	Metrics prometheus.Registerer // nil registers nothing
}

// EAB binds an account to one that the operator has at a CA (RFC 8555 7.3.4). It counts
// when the account is made.
type EAB struct {
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

// New checks o. Certificates come while Run runs. One per process: certmagic keeps
// challenges, by host, and an e-mail address in tables of the process.
func New(o Options) (*Manager, error) {
	if o.Storage == nil || o.Permit == nil || len(o.CAs) == 0 {
		return nil, errors.New("acme: a storage, a permit and the directory URL of a CA are needed")
	}
	seen := make(map[string]bool)
	for _, s := range o.CAs {
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "https" || u.Host == "" || seen[s] {
			return nil, fmt.Errorf("acme: CA %q: want the https:// URL of an ACME directory, once", s)
		}
		seen[s] = true
	}
	for s, eab := range o.EAB {
		if _, err := base64.RawURLEncoding.DecodeString(eab.Key); err != nil || !seen[s] || eab.KeyID == "" || eab.Key == "" {
			return nil, fmt.Errorf("acme: account binding of %q: want the URL of one of the CAs, a key id, and its key in base64url", s)
		}
	}
	setDefault(&o.Quota, 40)
	setDefault(&o.Timeout, time.Minute)
	setDefault(&o.Workers, 16)
	setDefault(&o.Cache, 50_000)
	setDefault(&o.Every, time.Minute)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
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
	if len(o.Roots) > 0 {
		if a.roots, err = x509.SystemCertPool(); err != nil {
			a.roots = x509.NewCertPool()
		}
		if !a.roots.AppendCertsFromPEM(o.Roots) {
			return nil, errors.New("acme: no certificate in the PEM of roots")
		}
	}
	if o.SelfHost != "" {
		if a.self, err = certs.SelfSigned(string(o.SelfHost)); err != nil {
			return nil, err
		}
	}
	a.metrics, err = newMetrics(a, o.Metrics)
	return a, err
}

func setDefault[T int | time.Duration](v *T, value T) {
	if *v <= 0 {
		*v = value
	}
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
