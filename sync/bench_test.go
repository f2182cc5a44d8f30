package sync_test

import (
	"fmt"
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
