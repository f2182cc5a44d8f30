package acme_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/certs/storage"
)

func TestMain(m *testing.M) {
	// certmagic never ends its rate limiter.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.(*RingBufferRateLimiter).loop"))
}

func newFolder(t *testing.T, dir string, lease time.Duration) *storage.Folder {
	t.Helper()
	f, err := storage.NewFolder(storage.FolderOptions{Dir: dir, Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newInternal(t *testing.T, permit certs.Permit) *certs.Internal {
	t.Helper()
	c, err := certs.NewInternal(certs.InternalOptions{Dir: t.TempDir(), Permit: permit})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func startPebble(t *testing.T) *certstest.Pebble {
	t.Helper()
	t.Parallel()
	return certstest.StartPebble(t, certstest.PebbleOptions{})
}

// validateAt lets both challenges arrive at e.
func validateAt(p *certstest.Pebble, e *edge) {
	p.HTTP.To(e.http)
	p.TLS.To(e.tls)
}

// edge is an ACME with listeners.
type edge struct {
	acme      *acme.Manager
	http, tls string
	stop      func()
}

// startEdge runs an ACME that trusts p, on the storage of dir unless o has another.
func startEdge(t *testing.T, p *certstest.Pebble, dir string, clock *clock, o acme.Options) *edge {
	t.Helper()
	if o.Storage == nil {
		o.Storage = newFolder(t, dir, 2*time.Second)
	}
	if o.CAs == nil {
		o.CAs = []string{p.URL}
	}
	if o.Permit == nil {
		o.Permit = certstest.Permit
	}
	if o.Email == "" { // certmagic would take that of any other instance in the process
		o.Email = "ops@terrane.example"
	}
	o.Roots, o.Every = append(o.Roots, p.Roots...), 50*time.Millisecond
	o.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	a, err := acme.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if clock != nil {
		acme.SetNow(a, clock.now)
	}
	return serveEdge(t, a)
}

func serveEdge(t *testing.T, a *acme.Manager) *edge {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e := &edge{acme: a}
	quiet := log.New(io.Discard, "", 0)
	plain := &http.Server{Handler: a.HTTPHandler(http.NotFoundHandler()), ErrorLog: quiet}
	secure := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: quiet}
	var wg sync.WaitGroup
	for i, s := range []*http.Server{plain, secure} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		*[]*string{&e.http, &e.tls}[i] = ln.Addr().String()
		if s == secure {
			ln = tls.NewListener(ln, a.TLSConfig())
		}
		wg.Go(func() { _ = s.Serve(ln) })
	}
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	e.stop = sync.OnceFunc(func() {
		cancel()
		_, _ = plain.Close(), secure.Close()
		wg.Wait()
	})
	t.Cleanup(e.stop)
	return e
}

// get is the certificate that the edge shows for host to those who trust p.
func (e *edge) get(t *testing.T, p *certstest.Pebble, host string) (*x509.Certificate, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	conn, err := (&tls.Dialer{Config: certstest.Trust(p.Issuer, host)}).DialContext(ctx, "tcp", e.tls)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

func (e *edge) mustGet(t *testing.T, p *certstest.Pebble, host string) *x509.Certificate {
	t.Helper()
	cert, err := e.get(t, p, host)
	if err != nil {
		t.Fatalf("%s: %v", host, err)
	}
	return cert
}

// clock is ahead of the real one.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }
