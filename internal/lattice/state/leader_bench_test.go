package state_test

import (
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/terrane/terrane/internal/lattice/latticetest"
)

// BenchmarkLeader measures the longest time between two confirmed writes of a cluster
// of three, at edges that are processes of their own, when the one that leads is killed,
// and when it is stopped in order. An operation is one such end; the figures to read
// are median-ms and worst-ms.
func BenchmarkLeader(b *testing.B) {
	for _, c := range []struct {
		name string
		end  os.Signal
	}{{"killed", syscall.SIGKILL}, {"stopped", syscall.SIGTERM}} {
		b.Run(c.name, func(b *testing.B) {
			edges := threeEdges(b)
			running := map[string]*process{}
			var w confirmed
			for i := range edges {
				running[edges[i].Name] = w.start(b, &edges[i])
			}
			var took []time.Duration
			for b.Loop() {
				leader := ""
				latticetest.Await(b, func() bool { leader, _ = w.now(); return leader != "" }, nil)
				w.more(b, 200)
				w.reset()
				if err := running[leader].cmd.Process.Signal(c.end); err != nil {
					b.Fatal(err)
				}
				<-running[leader].done
				w.more(b, 200)
				_, longest := w.now()
				took = append(took, longest)
				w.reset() // whoever is new tells who leads
				for i := range edges {
					if edges[i].Name == leader {
						running[leader] = w.start(b, &edges[i])
					}
				}
			}
			slices.Sort(took)
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(ms(took[len(took)/2]), "median-ms")
			b.ReportMetric(ms(took[len(took)-1]), "worst-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}
