package parts

import (
	"context"
	"errors"
	"fmt"
)

// Part is one long-running piece of a process. Run returns when ctx ends and
// everything it started has ended.
type Part struct {
	Name string
	Run  func(ctx context.Context) error
}

// Run starts the parts in order, and stops them in reverse order, each one
// waiting for the one before: users end before what they use. It stops when ctx
// ends or a part does, and returns the errors of all.
func Run(ctx context.Context, parts []Part) error {
	type running struct {
		cancel context.CancelFunc
		done   chan error
	}
	started := make([]running, len(parts))
	ended := make(chan struct{}, len(parts))
	for i, p := range parts {
		// A part outlives ctx: it ends when its turn comes.
		partCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r := running{cancel, make(chan error, 1)}
		started[i] = r
		go func() {
			r.done <- p.Run(partCtx)
			ended <- struct{}{}
		}()
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	var errs []error
	for i := len(parts) - 1; i >= 0; i-- {
		started[i].cancel()
		if err := <-started[i].done; err != nil && !errors.Is(err, context.Canceled) {
			errs = append(errs, fmt.Errorf("%s: %w", parts[i].Name, err))
		}
	}
	return errors.Join(errs...)
}
