package acme_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/campaign"
	"github.com/terrane/terrane/internal/certs/acme"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/tenant"
)

// TestCampaignACMEFlood has two client networks ask for names that verify and that the CA
// does not issue for, as fast as they can. New domains that a third network asks for get
// their certificates at the same time.
func TestCampaignACMEFlood(t *testing.T) {
	tries, each := campaign.Tries(100, 5000), campaign.Tries(1, 5)
	p := startPebble(t)
	const workers, share, quota = 8, 4 + 2, 40 // the share of both networks
	dir := t.TempDir()
	e := startEdge(t, p, dir, nil, acme.Options{Quota: quota, Workers: workers, Cache: 2000,
		Permit: func(context.Context, tenant.Host, netip.Addr) error { return nil }})
	p.HTTP.To(validatesHonest(t, e.http))
	p.TLS.Shut()
	asked, honest, lost := 0, 0, 0
	before := memory()
	for kind, name := range map[string]string{ // the host that a number is put into
		"names of a wildcard": "r%d.flooded.example", "domains that are refused": "www.refused%d.example",
		"domains whose validation hangs": "www.hanging%d.example",
	} {
		orders, begun := p.Orders(t), time.Now()
		ctx, stop := context.WithCancel(t.Context())
		var flood sync.WaitGroup
		var next, served atomic.Int64
		for range 16 {
			flood.Go(func() {
				for i := next.Add(1); ctx.Err() == nil && (int(i) <= tries || int(served.Load()) < each); i = next.Add(1) {
					if askFrom(ctx, fmt.Sprintf("127.0.%d.9", 8+i%2), e.tls, fmt.Sprintf(name, i)) == nil {
						t.Errorf("%s: a certificate without a validation", kind)
					}
				}
			})
		}
		// Not by the count of orders: those of the flood before may still come.
		_, domain, _ := strings.Cut(strings.ReplaceAll(name, "%d", "*"), ".")
		certstest.Eventually(t, "the flood has an order", func() bool {
			counted, err := filepath.Glob(filepath.Join(dir, "terrane/quotas", domain))
			return err == nil && len(counted) > 0
		})
		var slowest time.Duration
		for range each {
			at := time.Now()
			honest++
			if _, err := e.get(t, p, fmt.Sprintf("www.honest%d.example", honest)); err != nil {
				lost++
				t.Errorf("during a flood of %s: %v", kind, err)
			}
			served.Add(1)
			slowest = max(slowest, time.Since(at))
		}
		certstest.Eventually(t, "all names are asked for", func() bool { return int(next.Load()) > tries })
		stop() // what hangs
		flood.Wait()
		asked += int(next.Load()) - 16
		made, most := p.Orders(t)-orders-each, 2*share*(1+int(time.Since(begun)/time.Second))
		if strings.Contains(name, "flooded") {
			most = min(most, 2*quota) // by either challenge
		}
		if made > most {
			t.Errorf("%s: %d orders, want at most %d", kind, made, most)
		}
		t.Logf("%s: %d names, %d orders in %s, an honest domain waited for %s at most", kind, next.Load()-16, made, time.Since(begun), slowest)
	}
	if grown := memory() - before; grown > 64<<20 {
		t.Errorf("memory has grown by %d bytes", grown)
	}
	names, err := os.ReadFile(filepath.Join(dir, "terrane/quotas/flooded.example"))
	if n := strings.Count(string(names), ".flooded.example"); err != nil || n > quota {
		t.Errorf("%d names of the wildcard got orders, %v", n, err)
	}
	campaign.Row(t, "ACME: two networks ask for names that verify and get no certificate: of a wildcard, of many domains, with validations that hang", asked,
		fmt.Sprintf("%d of %d new domains of others without a certificate, quotas held, memory bounded", lost, honest))
}

func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// askFrom is a handshake for host from an address of loopback.
func askFrom(ctx context.Context, from, to, host string) error {
	d := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}},
		Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}
	conn, err := d.DialContext(ctx, "tcp", to)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// validatesHonest passes the CA on to an edge for honest domains. It does not answer for
// hanging ones, and says 404 for others.
func validatesHonest(t *testing.T, to string) string {
	t.Helper()
	edge := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", to, r.In.Host
	}}
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.Host, "www.honest"):
			edge.ServeHTTP(w, r)
		case strings.HasPrefix(r.Host, "www.hanging"):
			select {
			case <-ended:
			case <-r.Context().Done():
			}
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(func() { close(ended); s.Close() })
	return s.Listener.Addr().String()
}
