package sync_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	tenantsync "github.com/terrane/terrane/sync"
	"github.com/terrane/terrane/sync/storetest"
	"github.com/terrane/terrane/tenant"
)

// The figures are the time from a deploy returning until the release is at the
// Publisher; each round is 20 deploys into one of 20 tenants.

func BenchmarkCopyToPublish(b *testing.B) {
	p := newFolderPlace(b)
	store := p.Store()
	store.Poll, store.Folder.Settle = 0, 0 // as on an edge
	measure(b, store, p, func(*storetest.Edge) {})
}

func BenchmarkPushToPublish(b *testing.B) {
	b.Run("poll=1s", func(b *testing.B) {
		p := newGitPlace(b).serveHTTP(b)
		store := p.Store()
		store.Poll = time.Second
		measure(b, store, p, func(*storetest.Edge) {})
	})
	b.Run("nudge", func(b *testing.B) {
		p := newGitPlace(b).serveHTTP(b)
		store := p.Store()
		store.Poll = time.Hour
		measure(b, store, p, func(e *storetest.Edge) { e.Nudge("") })
	})
}

func measure(b *testing.B, store tenantsync.Store, p storetest.Place, pushed func(*storetest.Edge)) {
	b.Helper()
	tree := storetest.Tree{}
	for i := range 20 {
		tree[fmt.Sprintf("t%d/index.wasm", i)] = storetest.Module
	}
	p.Deploy(b, tree)
	e := storetest.Start(b, tenantsync.Options{Data: b.TempDir(), Stores: []tenantsync.Store{store}})
	e.AwaitMirrored(b)
	var took []time.Duration
	for b.Loop() {
		for i := range 20 {
			v := strconv.Itoa(i) + time.Now().String()
			tree["t3/version"] = v
			p.Deploy(b, tree)
			begin := time.Now()
			pushed(e)
			e.AwaitContent(b, tenant.ID(store.Prefix+"t3"), "version", v)
			took = append(took, time.Since(begin))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1e3, "ms-median")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1e3, "ms-worst")
}

// BenchmarkFirstMirror is the time until 1,000 tenants with 300 MB are published
// for the first time, and until a restart has published them from the mirror.
func BenchmarkFirstMirror(b *testing.B) {
	tree := storetest.Tree{}
	for i := range 1000 {
		noise := make([]byte, 300<<10)
		random := rand.New(rand.NewPCG(1, uint64(i))) // data that does not compress
		for j := range noise {
			noise[j] = byte(random.Uint32())
		}
		tree[fmt.Sprintf("t%d/data", i)] = string(noise)
	}
	for name, place := range map[string]func() storetest.Place{
		"folder": func() storetest.Place { return newFolderPlace(b) },
		"git":    func() storetest.Place { return newGitPlace(b).serveHTTP(b) },
	} {
		b.Run(name, func(b *testing.B) {
			p := place()
			p.Deploy(b, tree)
			store := p.Store()
			store.Poll = time.Hour
			for b.Loop() {
				o := tenantsync.Options{Data: b.TempDir(), Stores: []tenantsync.Store{store}}
				for _, unit := range []string{"s-first", "s-restart"} {
					begin := time.Now()
					e := storetest.Start(b, o)
					e.AwaitMirrored(b)
					e.Await(b, "all are live", func() bool { return len(e.Live()) == 1000 })
					b.ReportMetric(time.Since(begin).Seconds(), unit)
					e.Stop(b)
				}
			}
		})
	}
}
