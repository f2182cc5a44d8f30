package storage

import (
	"context"
	"time"
)

// keepLease calls beat, with 1, 2 and so on, four times in a lease, until it reports that
// the lock is lost: we stalled for longer than a lease. stop ends that, and waits for it.
func keepLease(lease time.Duration, beat func(ctx context.Context, n int) bool) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(lease / 4)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if !beat(ctx, n) {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
