package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/certs"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// blobs is a mirror in memory.
type blobs struct {
	mu     sync.Mutex
	byHash map[tenant.Hash][]byte
}

func (b *blobs) put(content string) tenant.File {
	h := tenant.Hash(sha256.Sum256([]byte(content)))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byHash[h] = []byte(content)
	return tenant.File{Hash: h, Size: int64(len(content))}
}

func (b *blobs) Open(h tenant.Hash) (io.ReadSeekCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	content, ok := b.byHash[h]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", h, fs.ErrNotExist)
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(content), io.NopCloser(nil)}, nil
}

// zone answers for DNS: hosts that it does not have are denied.
type zone struct {
	mu     sync.Mutex
	byHost map[tenant.Host]tenant.Verdict
}

func (z *zone) set(h tenant.Host, v tenant.Verdict) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.byHost[h] = v
}

func (z *zone) VerifyFrom(_ context.Context, h tenant.Host, _ netip.Addr) tenant.Verdict {
	z.mu.Lock()
	defer z.mu.Unlock()
	if v, ok := z.byHost[h]; ok {
		return v
	}
	return tenant.Verdict{Standing: tenant.Denied, Reason: "there is no TXT record at _terrane." + string(h)}
}

func verified(id tenant.ID) tenant.Verdict {
	return tenant.Verdict{Standing: tenant.Verified, Tenant: id, Reason: "verified"}
}

// edge is a running server, with all that it needs.
type edge struct {
	t     testing.TB
	blobs *blobs
	zone  *zone
	sites *server.Sites
	ca    *certs.Internal
	srv   *server.Server

	http, https string // addresses
	stop        func() error
	log         *syncBuffer // of tenants
}

type edgeOptions struct {
	engine engine.Engine
	sites  func(*server.SitesOptions)
	server func(*server.Options)
}

func startEdge(t testing.TB, o edgeOptions) *edge {
	t.Helper()
	e := &edge{
		t:     t,
		blobs: &blobs{byHash: make(map[tenant.Hash][]byte)},
		zone:  &zone{byHost: make(map[tenant.Host]tenant.Verdict)},
		log:   new(syncBuffer),
	}
	so := server.SitesOptions{
		Engine: o.engine, Blobs: e.blobs, Verifier: e.zone,
		Guest: func(s *tenant.Snapshot, limits tenant.Limits) *hostcalls.Tenant {
			return &hostcalls.Tenant{ID: s.ID, Limits: limits, Edge: "test1", Logger: e.log}
		},
		Limits: tenant.Limits{Memory: 16 << 20, CPU: 2 * time.Second, Wall: 5 * time.Second, RequestBody: 256 << 10, Concurrency: 8},
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if o.sites != nil {
		o.sites(&so)
	}
	e.sites = must(server.NewSites(so))
	e.ca = must(certs.NewInternal(certs.InternalOptions{Dir: t.TempDir(), Permit: e.sites.Permit}))
	opts := server.Options{
		Sites: e.sites, Edge: "test1", HTTP: []string{"127.0.0.1:0"}, HTTPS: []string{"127.0.0.1:0"}, TLS: e.ca.TLSConfig(),
		Logger: so.Logger,
	}
	if o.server != nil {
		o.server(&opts)
	}
	e.srv = must(server.New(opts))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.srv.Run(ctx) }()
	e.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := errors.Join(e.stop(), e.sites.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-e.srv.Ready():
	case err := <-done:
		done <- err
		t.Fatalf("Run: %v", err)
	}
	plain, secure := e.srv.Addrs()
	e.http, e.https = plain[0].String(), secure[0].String()
	return e
}

// snapshot makes a snapshot of the files, given as name, content, name, content...
func (e *edge) snapshot(id tenant.ID, revision tenant.Revision, files ...string) *tenant.Snapshot {
	s := &tenant.Snapshot{ID: id, Revision: revision, Time: time.Now(), Files: make(map[string]tenant.File)}
	for i := 0; i < len(files); i += 2 {
		s.Files[files[i]] = e.blobs.put(files[i+1])
	}
	return s
}

// deploy publishes the files at host, which has no dash in its first label, for
// the tenant of that label.
func (e *edge) deploy(host tenant.Host, files ...string) *tenant.Snapshot {
	e.t.Helper()
	label, _, _ := strings.Cut(string(host), ".")
	id := tenant.ID("/git/" + label)
	e.zone.set(host, verified(id))
	s := e.snapshot(id, "r1", files...)
	if err := e.sites.Publish(context.Background(), s); err != nil {
		e.t.Fatal(err)
	}
	return s
}

// await polls until cond holds.
func (e *edge) await(what string, cond func() bool) {
	e.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			e.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// client trusts the edge's CA and sends all hosts to it. It does not follow redirects.
func (e *edge) client() *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.ca.RootPEM())
	tr := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to := e.https
			if strings.HasSuffix(addr, ":80") {
				to = e.http
			}
			return new(net.Dialer).DialContext(ctx, "tcp", to)
		},
	}
	e.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// answer is a response, read whole.
type answer struct {
	*http.Response
	body string
}

func do(t testing.TB, c *http.Client, req *http.Request) answer {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		t.Fatalf("%s: %v", req.URL, err)
	}
	return answer{resp, string(body)}
}

func get(t testing.TB, c *http.Client, url string, header ...string) answer {
	t.Helper()
	return do(t, c, request(t, http.MethodGet, url, nil, header...))
}

func request(t testing.TB, method, url string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

func (a answer) want(t testing.TB, code int, contains string) {
	t.Helper()
	if a.StatusCode != code || !strings.Contains(a.body, contains) {
		t.Errorf("%s %s = %d %q; want %d with %q", a.Request.Method, a.Request.URL, a.StatusCode, a.body, code, contains)
	}
}

func guest(t testing.TB, path string) string {
	t.Helper()
	wasm, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(wasm)
}

func closed(t testing.TB, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// syncBuffer keeps what is written and logged, for tests to wait for.
type syncBuffer struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.text.Write(p)
}

// Log implements hostcalls.Logger.
func (b *syncBuffer) Log(req *hostcalls.Request, level slog.Level, text string) {
	if _, err := fmt.Fprintf(b, "%s %s %s\n", level, req.ID, text); err != nil {
		panic(err)
	}
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *syncBuffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Reset()
}

// wait returns once the text contains want.
func (b *syncBuffer) wait(t testing.TB, want string) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		b.mu.Lock()
		text := b.text.String()
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		if strings.Contains(text, want) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("no %q in %q", want, text)
		}
	}
}
