package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/server"
)

// BenchmarkNeighbour measures the p99 of one tenant's requests, alone and beside
// another tenant of whom 1,000 guests, of 20 modules, never end.
func BenchmarkNeighbour(b *testing.B) {
	e := startEdge(b, edgeOptions{engine: newEngine(b),
		sites: func(o *server.SitesOptions) {
			o.Limits.CPU, o.Limits.Wall, o.Limits.Concurrency = time.Minute, time.Minute, 1000
			o.Logger = slog.New(slog.DiscardHandler)
		},
		server: func(o *server.Options) { o.ServePlain = true }})
	e.deploy("good.example", "index.wasm", guest(b, "../examples/hello-wat/hello.wasm"))
	const modules = 20
	var files []string
	for i := range modules {
		files = append(files, fmt.Sprintf("m%d.wasm", i), guest(b, "testdata/loop.wasm")+fmt.Sprintf("\x00\x03\x01x%c", i)) // a section that means nothing
	}
	e.deploy("bad.example", files...)
	c := e.client()
	p99 := func() time.Duration {
		var took []time.Duration
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
			start := time.Now()
			get(b, c, "http://good.example/").want(b, http.StatusOK, "Hello")
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	for b.Loop() {
		quiet := p99()
		ctx, leave := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		bad := e.client()
		for i := range 1000 {
			wg.Go(func() {
				req := request(b, http.MethodGet, fmt.Sprintf("http://bad.example/m%d", i%modules), nil).WithContext(ctx)
				for ctx.Err() == nil {
					if resp, err := bad.Do(req); err == nil {
						closed(b, resp.Body) // one of full was in its place
					}
				}
			})
		}
		for !full(b, bad) { // until all of them are in flight
		}
		noisy := p99()
		leave()
		wg.Wait()
		b.ReportMetric(float64(quiet.Microseconds()), "quiet-p99-us")
		b.ReportMetric(float64(noisy.Microseconds()), "noisy-p99-us")
		b.ReportMetric(noisy.Seconds()/quiet.Seconds(), "x")
	}
}

// full reports whether the bad tenant's places are taken.
func full(b *testing.B, c *http.Client) bool {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 100*time.Millisecond)
	defer cancel()
	resp, err := c.Do(request(b, http.MethodGet, "http://bad.example/m0", nil).WithContext(ctx))
	if err != nil {
		return false // it spins
	}
	closed(b, resp.Body)
	return resp.StatusCode == http.StatusServiceUnavailable
}
