package server_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

// counted is the value of a metric.
func counted(t testing.TB, reg prometheus.Gatherer, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestNoRequestWaitsForTheCompiler asks three modules, of which two fit into memory, after
// they were deployed, after they were unloaded, and after a restart.
func TestNoRequestWaitsForTheCompiler(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name     string
		compiled float64 // by the deploys
	}{{"first start", 3}, {"restart", 0}} {
		reg := prometheus.NewRegistry()
		eng, err := buildEngine(engineOptions{cacheDir: dir, metrics: reg})
		if err != nil {
			t.Fatal(err)
		}
		const room = 150 << 10
		e := startEdge(t, edgeOptions{engine: eng, sites: func(o *server.SitesOptions) { o.ModuleBytes, o.Metrics = room, reg }})
		want := map[tenant.Host]string{"alice.example": "Hello", "bob.example": "/", "carol.example": "made"}
		e.deploy("alice.example", "index.wasm", guest(t, "../examples/hello-wat/hello.wasm"))
		e.deploy("bob.example", "index.wasm", guest(t, "testdata/path.wasm"))
		e.deploy("carol.example", "index.wasm", guest(t, "testdata/created.wasm"))
		if n := counted(t, reg, "terrane_server_modules_loaded_bytes"); n == 0 || n > room {
			t.Errorf("%s: %v bytes of modules are loaded", tt.name, n)
		}
		c := e.client()
		var wg sync.WaitGroup
		for host, text := range want {
			for range 2 {
				wg.Go(func() {
					for range 10 {
						a := get(t, c, "https://"+string(host)+"/")
						if a.StatusCode/100 != 2 || !strings.Contains(a.body, text) {
							t.Errorf("%s: %s: %d %q", tt.name, host, a.StatusCode, a.body)
						}
					}
				})
			}
		}
		wg.Wait()
		if n := counted(t, reg, "terrane_engine_compilations_total"); n != tt.compiled {
			t.Errorf("%s: %v modules were compiled, want %v", tt.name, n, tt.compiled)
		}
		if n := counted(t, reg, "terrane_server_modules_loads_total"); n == 0 {
			t.Errorf("%s: no module was unloaded, so none was loaded again", tt.name)
		}
		if err := errors.Join(e.stop(), e.sites.Close(context.Background())); err != nil {
			t.Error(err)
		}
		if n := counted(t, reg, "terrane_server_modules_loaded_bytes"); n != 0 {
			t.Errorf("%s: %v bytes are loaded of no module", tt.name, n)
		}
		if err := eng.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
