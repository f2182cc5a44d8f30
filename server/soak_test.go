package server_test

import (
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/server"
)

var soakRequests = flag.Int64("soak.requests", 10_000, "how many requests TestSoak makes")

// footprint is what a process holds.
type footprint struct {
	descriptors, mappings, goroutines int
	resident                          int64 // bytes
}

func (f footprint) String() string {
	return fmt.Sprintf("%d descriptors, %d mappings, %d goroutines, %d KiB resident", f.descriptors, f.mappings, f.goroutines, f.resident>>10)
}

// measure returns the present footprint, without what is only garbage.
func measure(t testing.TB) (f footprint) {
	t.Helper()
	runtime.GC() // twice: the first runs what finalizers free
	debug.FreeOSMemory()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc to count descriptors in: ", err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscanf(line, "%d kB", &f.resident); err != nil {
		t.Fatal(err)
	}
	f.descriptors, f.mappings, f.goroutines, f.resident = len(entries), bytes.Count(maps, []byte("\n")), runtime.NumGoroutine(), f.resident<<10
	return f
}

// settled returns the footprint once all connections of the client are gone.
func settled(t *testing.T, c *http.Client) footprint {
	t.Helper()
	c.CloseIdleConnections()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	f := measure(t)
	for quiet := 0; quiet < 5; <-tick.C {
		g := measure(t)
		if quiet++; g.goroutines != f.goroutines || g.descriptors != f.descriptors {
			quiet = 0
		}
		f = g
	}
	return f
}

// TestSoak makes many requests that end in every way, and wants no more to be held after
// them than after the first ones. make soak has it make a million.
func TestSoak(t *testing.T) {
	e := startEdge(t, edgeOptions{engine: newEngine(t),
		sites: func(o *server.SitesOptions) {
			o.Limits.Concurrency = 64
			o.Logger = slog.New(slog.DiscardHandler)
		},
		server: func(o *server.Options) { o.ServePlain = true }})
	e.deploy("alice.example",
		"index.wasm", guest(t, "../examples/hello-wat/hello.wasm"), "rust.wasm", guest(t, "../examples/hello-rust/hello.wasm"),
		"echo.wasm", guest(t, "testdata/echo.wasm"), "trap.wasm", guest(t, "testdata/trap.wasm"), "greedy.wasm", guest(t, "testdata/greedy.wasm"))
	c := e.client()
	c.Transport.(*http.Transport).MaxIdleConnsPerHost = 16
	body := strings.Repeat("x", 64<<10)
	visit := func(n int64) {
		switch n % 100 {
		case 0:
			get(t, c, "http://alice.example/trap").want(t, http.StatusInternalServerError, "")
		case 1:
			get(t, c, "http://alice.example/greedy").want(t, http.StatusServiceUnavailable, "")
		case 2, 3:
			do(t, c, request(t, http.MethodPost, "http://alice.example/echo", strings.NewReader(body))).want(t, 200, "x")
		default:
			get(t, c, []string{"http://alice.example/", "http://alice.example/rust"}[n%2]).want(t, 200, "Hello")
		}
	}
	run := func(total int64) {
		var n atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for i := n.Add(1); i <= total && !t.Failed(); i = n.Add(1) {
					visit(i)
				}
			})
		}
		wg.Wait()
		e.log.reset()
	}
	const first = 2000
	run(first)
	before := settled(t, c)
	run(*soakRequests)
	after := settled(t, c)
	t.Logf("after %d requests: %v", first, before)
	t.Logf("after %d more: %v", *soakRequests, after)
	// Go maps and unmaps its heap in pieces.
	if after.descriptors > before.descriptors || after.mappings > before.mappings+50 || after.goroutines > before.goroutines {
		t.Error("something is left behind")
	}
	if after.resident > before.resident*5/4+16<<20 {
		t.Error("memory has grown")
	}
}
