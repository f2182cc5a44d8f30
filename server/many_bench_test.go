package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/server"
	"github.com/terrane/terrane/tenant"
)

var (
	manyDeployed = flag.Int("many.deployed", 2000, "modules that BenchmarkManyModules deploys")
	manyUsed     = flag.Int("many.used", 200, "how many of them it asks")
	manyLoaded   = flag.Int64("many.loaded", 1<<30, "bytes that those loaded at a time may take")
	manyGuest    = flag.String("many.guest", "../examples/hello-c/hello.wasm", "the guest they are variants of, which says \"world\"")
)

// variants are the blobs of modules that differ in one word, made when they are read.
type variants struct {
	wasm   []byte
	at     int
	byHash map[tenant.Hash]int
}

func (v *variants) make(n int) []byte {
	wasm := bytes.Clone(v.wasm)
	copy(wasm[v.at:], fmt.Sprintf("%05d", n))
	return wasm
}

// Open implements server.Blobs.
func (v *variants) Open(h tenant.Hash) (io.ReadSeekCloser, error) {
	n, ok := v.byHash[h]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return struct {
		io.ReadSeeker
		io.Closer
	}{bytes.NewReader(v.make(n)), io.NopCloser(nil)}, nil
}

// BenchmarkManyModules deploys many different modules of 100 tenants, asks some of them,
// and restarts on the code that is on disk. Figures of memory are without garbage and beside what the process had
// before, but for the peak, which is all it ever had, of this client too.
func BenchmarkManyModules(b *testing.B) {
	wasm := []byte(guest(b, *manyGuest))
	blobs := &variants{wasm, bytes.LastIndex(wasm, []byte("world")), map[tenant.Hash]int{}}
	snapshots := make([]*tenant.Snapshot, 100)
	for i := range snapshots {
		snapshots[i] = &tenant.Snapshot{ID: tenant.ID(fmt.Sprintf("/git/t%d", i)), Revision: "r", Files: map[string]tenant.File{}}
	}
	for n := range *manyDeployed {
		h := tenant.Hash(sha256.Sum256(blobs.make(n)))
		blobs.byHash[h] = n
		snapshots[n%100].Files[fmt.Sprintf("m%d.wasm", n)] = tenant.File{Hash: h, Size: int64(len(wasm))}
	}
	dir := b.TempDir()
	base := measure(b).resident
	deploy := func(use func(*edge)) (took time.Duration, compiled float64) {
		reg := prometheus.NewRegistry()
		eng, err := buildEngine(engineOptions{cacheDir: dir, metrics: reg})
		if err != nil {
			b.Fatal(err)
		}
		e := startEdge(b, edgeOptions{engine: eng,
			sites: func(o *server.SitesOptions) {
				o.Blobs, o.ModuleBytes, o.Logger = blobs, *manyLoaded, slog.New(slog.DiscardHandler)
			},
			server: func(o *server.Options) { o.ServePlain = true }})
		began := time.Now()
		for i, s := range snapshots {
			e.zone.set(tenant.Host(fmt.Sprintf("t%d.example", i)), verified(s.ID))
			if err := e.sites.Publish(b.Context(), s); err != nil {
				b.Fatal(err)
			}
		}
		took = time.Since(began)
		use(e)
		compiled = counted(b, reg, "terrane_engine_compilations_total")
		if err := errors.Join(e.stop(), e.sites.Close(context.Background()), eng.Close(context.Background())); err != nil {
			b.Error(err)
		}
		return took, compiled
	}
	mib := func(name string) {
		b.ReportMetric(float64(measure(b).resident-base)/(1<<20), "MiB-"+name)
	}
	for b.Loop() {
		took, _ := deploy(func(e *edge) {
			mib("deployed")
			c := e.client()
			for n := range *manyUsed {
				n *= *manyDeployed / *manyUsed
				get(b, c, fmt.Sprintf("http://t%d.example/m%d", n%100, n)).want(b, http.StatusOK, fmt.Sprintf("%05d", n))
			}
			mib("used")
		})
		b.ReportMetric(took.Seconds(), "s-deploy")
		took, compiled := deploy(func(*edge) {})
		b.ReportMetric(took.Seconds(), "s-restart")
		var most syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &most); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(most.Maxrss)/(1<<10), "MiB-peak")
		if compiled != 0 {
			b.Errorf("%v modules were compiled again after a restart", compiled)
		}
	}
}
