package state_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/certs/certstest"
	"github.com/terrane/terrane/internal/certs/storage"
	"github.com/terrane/terrane/internal/lattice/latticetest"
	"github.com/terrane/terrane/internal/lattice/state"
)

// TestCertificates keeps certificates and their locks in a cluster.
func TestCertificates(t *testing.T) {
	t.Parallel()
	net := latticetest.Start(t, latticetest.Region{Name: "ams", Edges: 3})
	o := state.Options{Bucket: "terrane_certs"}
	a, _ := run(t, net.Node("ams1"), o)
	b, _ := run(t, net.Node("ams2"), o)
	up(t, a)
	up(t, b)
	var n atomic.Int32
	certstest.RunShared(t, 2*time.Second, func(*testing.T) (hostcalls.KV, hostcalls.KV) {
		name := fmt.Sprint("certs", n.Add(1))
		refreshed := func(s *state.Store) hostcalls.KV {
			return storage.Refreshed(s.KV(name, state.Near), func(ctx context.Context) error { return s.Refresh(ctx, name) })
		}
		return refreshed(a), refreshed(b)
	})
}
