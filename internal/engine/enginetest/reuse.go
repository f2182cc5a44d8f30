package enginetest

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/terrane/terrane/hostcalls"
	"github.com/terrane/terrane/internal/engine"
)

// RunReuse wants an instance to be used again if its guest has returned, and never if that was
// ended, or has changed what cannot be put back.
func RunReuse(t *testing.T, newEngine NewCached) {
	const (
		requests = 4
		returns  = 1            // instance, that of Compile
		ends     = requests     // of which the first is that of Compile
		changes  = requests + 1 // that of Compile was not kept
	)
	for guest, want := range map[string]int{
		"hello": returns, "exit0": returns, "deep": returns, "nomemory": returns, "vector": returns,
		"tableset": changes, "tablegrow": changes, "datadrop": changes,
		"unreachable": ends, "bounds": ends, "divide": ends, "indirect": ends, "recurse": ends, "nest": ends,
		"growfault": ends, "refuse": ends, "exit3": ends, "spin": ends, "startspin": ends, "hostspin": ends,
	} {
		t.Run(guest, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			s := start(t, func(t testing.TB, funcs []hostcalls.Func) engine.Engine { return newEngine(t, funcs, "", reg) })
			m := s.compile(guest, engine.Limits{Memory: 32 * mib, CPU: 20 * time.Millisecond})
			for range requests {
				_, _ = request(t.Context(), m) // how it ends is tested elsewhere
			}
			if n := counted(t, reg, "terrane_engine_instances_total"); n != want {
				t.Errorf("%d instances for %d requests, want %d", n, requests, want)
			}
		})
	}
}
