package latticetest

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Run runs a part until the test ends or stop is called, and waits for it.
func Run(t testing.TB, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Patience is how long a test waits for what must happen. Only a hang takes so long, on
// whatever machine.
const Patience = 5 * time.Minute

// Await polls until cond holds, for at most Patience. why, if any, says what is missing.
func Await(t testing.TB, cond func() bool, why func() string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(Patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline:
			if why == nil {
				why = func() string { return "waited in vain" }
			}
			t.Fatal(why())
		}
	}
}
