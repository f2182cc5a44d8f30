package state_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/certs/certstest"
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
		return a.KV(name, state.Cautious), b.KV(name, state.Cautious)
	})
}
