package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
	"github.com/terrane/terrane/server/internal/blobs"
	"github.com/terrane/terrane/server/internal/share"
	"github.com/terrane/terrane/tenant"
)

// everyHost is alice's.
type everyHost struct{}

func (everyHost) VerifyFrom(context.Context, tenant.Host, netip.Addr) tenant.Verdict {
	return tenant.Verdict{Standing: tenant.Verified, Tenant: "/git/alice"}
}

// stubEngine makes a hello of every module.
type stubEngine struct{ engine.Engine }

func (stubEngine) Compile(context.Context, []byte, engine.Limits) (engine.Module, error) {
	return hello{}, nil
}

// emptyFiles has empty files alone.
type emptyFiles struct{}

var noBytes = tenant.Hash(sha256.Sum256(nil))

func (emptyFiles) Open(h tenant.Hash) (io.ReadSeekCloser, error) {
	if h != noBytes {
		return nil, errors.New("no content")
	}
	return struct {
		*bytes.Reader
		io.Closer
	}{bytes.NewReader(nil), io.NopCloser(nil)}, nil
}

// hello is a module.
type hello struct{ engine.Module }

func (hello) Run(_ context.Context, x *hostcalls.Exchange) error {
	x.Response().Body = append(x.Response().Body, "hello"...)
	return nil
}

// sink is a response that nobody reads.
type sink http.Header

func (s sink) Header() http.Header         { return http.Header(s) }
func (s sink) WriteHeader(int)             {}
func (s sink) Write(b []byte) (int, error) { return len(b), nil }

// newHandler is the way of a request without its connection and its guest.
func newHandler(tb testing.TB) func() {
	tb.Helper()
	sites, err := NewSites(SitesOptions{
		Engine: stubEngine{}, Blobs: emptyFiles{}, Verifier: everyHost{},
		Guest: func(*tenant.Snapshot, tenant.Limits) *hostcalls.Tenant { return &hostcalls.Tenant{} },
	})
	if err != nil {
		tb.Fatal(err)
	}
	s, err := New(Options{Sites: sites, HTTP: []string{"127.0.0.1:0"}, ServePlain: true, AccessLog: io.Discard, Edge: "test1"})
	if err != nil {
		tb.Fatal(err)
	}
	snap := &tenant.Snapshot{ID: "/git/alice", Revision: "r1", Files: map[string]tenant.File{"index.wasm": {Hash: noBytes}}}
	if err := sites.Publish(tb.Context(), snap); err != nil {
		tb.Fatal(err)
	}
	req := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, "http://alice.example/", http.NoBody)
	return func() { s.servePlain(make(sink), req) }
}

func TestHandlerAllocations(t *testing.T) {
	// The header's map and its values, the request's id, its deadline.
	const want = 7
	if got := testing.AllocsPerRun(1000, newHandler(t)); got > want {
		t.Errorf("%v allocations per request, want at most %d", got, want)
	}
}

func BenchmarkHandler(b *testing.B) {
	handle := newHandler(b)
	b.ReportAllocs()
	for b.Loop() {
		handle()
	}
}

// A guest does not speak for the edge: another edge would take its answer for one that
// was never begun.
func TestGuestsAreNotEdges(t *testing.T) {
	h := http.Header{}
	(&visit{id: "1"}).copyHeader(h, http.Header{"Terrane-Not-Begun": {"1"}, "Terrane_edge": {"x"}, "X-A": {"b"}}, "0")
	if len(h) != 3 || h.Get("X-A") != "b" || h.Get("Terrane-Request-Id") != "1" || h.Get("Content-Length") != "0" {
		t.Errorf("header %v", h)
	}
}

// TestPageIsNotEncoded: a page that takes the place of a compressed file is plain text.
func TestPageIsNotEncoded(t *testing.T) {
	for name, size := range map[string]int64{"no room for another open file": blobs.MaxKept + 1, "no content": 1} {
		t.Run(name, func(t *testing.T) {
			sites, err := NewSites(SitesOptions{
				Engine: stubEngine{}, Blobs: emptyFiles{}, Verifier: everyHost{},
				Guest: func(*tenant.Snapshot, tenant.Limits) *hostcalls.Tenant { return &hostcalls.Tenant{} },
			})
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(Options{Sites: sites, HTTP: []string{"127.0.0.1:0"}, ServePlain: true, AccessLog: io.Discard, Edge: "test1"})
			if err != nil {
				t.Fatal(err)
			}
			s.files = share.NewPool(0)
			snap := &tenant.Snapshot{ID: "/git/alice", Files: map[string]tenant.File{"a.css": {Size: size}, "a.css.gz": {Size: size}}}
			if err := sites.Publish(t.Context(), snap); err != nil {
				t.Fatal(err)
			}
			req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://alice.example/a.css", http.NoBody)
			req.Header.Set("Accept-Encoding", "gzip")
			w := httptest.NewRecorder()
			s.servePlain(w, req)
			if w.Code < 500 || w.Header().Get("Content-Encoding") != "" || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%d %v", w.Code, w.Header())
			}
		})
	}
}
