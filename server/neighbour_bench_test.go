package server_test

import (
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/terrane/terrane/server"
)

// BenchmarkNeighbour measures the p99 of one tenant's requests, alone and beside
// another tenant whose 1,000 visitors all ask for a guest that never ends.
func BenchmarkNeighbour(b *testing.B) {
	e := startEdge(b, edgeOptions{engine: newEngine(b),
		sites: func(o *server.SitesOptions) {
			o.Limits.CPU, o.Limits.Concurrency = time.Second, 64
			o.Logger = slog.New(slog.DiscardHandler)
		},
		server: func(o *server.Options) { o.ServePlain = true }})
	e.deploy("good.example", "index.wasm", guest(b, "../examples/hello-wat/hello.wasm"))
	e.deploy("bad.example", "index.wasm", guest(b, "testdata/loop.wasm"))
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
		stop := make(chan struct{})
		var wg sync.WaitGroup
		bad := e.client()
		for range 1000 {
			wg.Go(func() {
				for {
					get(b, bad, "http://bad.example/")
					select {
					case <-stop:
						return
					case <-time.After(time.Second): // as Retry-After says
					}
				}
			})
		}
		noisy := p99()
		close(stop)
		wg.Wait()
		b.ReportMetric(float64(quiet.Microseconds()), "quiet-p99-us")
		b.ReportMetric(float64(noisy.Microseconds()), "noisy-p99-us")
		b.ReportMetric(noisy.Seconds()/quiet.Seconds(), "x")
	}
}
